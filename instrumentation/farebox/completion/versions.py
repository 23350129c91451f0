"""Which versions of an SDK its wrapper was tested with."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from farebox.libraries import is_installed

__all__ = ["UnknownVersion", "known_class", "known_version"]


class UnknownVersion(Exception):
    """An SDK looks other than its wrapper expects, so the wrapper steps aside."""


def known_version(package: str, module: str, majors: range) -> bool:
    """Tell whether a package is installed; raise UnknownVersion if its major is not in `majors`."""
    if not is_installed(module):
        return False
    try:
        found = version(package)
    except PackageNotFoundError:
        raise UnknownVersion(f"{package} does not say its version") from None
    if not found.split(".")[0].isdecimal() or int(found.split(".")[0]) not in majors:
        raise UnknownVersion(
            f"version {found}, known are {majors.start} to {majors.stop - 1}; upgrade farebox"
        )
    return True


def known_class(module: str, name: str, *methods: str) -> Any:
    """Return a class of an SDK; raise UnknownVersion if it, or one of its methods, is not there."""
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise UnknownVersion(f"{module}.{name} is not there") from None
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise UnknownVersion(f"{module}.{name} has no {', '.join(missing)}")
    return found
