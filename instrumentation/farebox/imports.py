"""Something to be done to a module goes in; it is done as soon as the module is imported.

So that a service does not import, and wait for, every library that happens to be installed.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from farebox._guard import note_fault

__all__ = ["forget_imports", "when_imported"]

_waiting: Final[dict[str, Callable[[], None]]] = {}
_finding: Final = threading.local()
_FOLLOWED: Final = "_farebox_follows"
"""Attribute of a loader's `exec_module` that is followed already."""


def when_imported(module: str, act: Callable[[], None]) -> bool:
    """Run `act` now if a module is imported already, else once it is; return whether it ran."""
    if module in sys.modules:
        _run(module, act)
        return True
    _waiting[module] = act
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    return False


def forget_imports() -> None:
    """Do nothing any more to modules that are not imported yet."""
    _waiting.clear()
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


class _Finder(MetaPathFinder):
    """Finds nothing itself: has the other finders find the module, and follows its execution."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting or getattr(_finding, "now", False):
            return None
        _finding.now = True
        try:
            spec = _found_by_others(fullname, path, target)
            if spec is not None and spec.loader is not None:
                _follow(spec.loader)
            return spec
        except Exception as error:  # the import itself goes on without us
            note_fault("import", error)
            return None
        finally:
            _finding.now = False


_FINDER: Final = _Finder()


def _found_by_others(
    fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is not _FINDER and find is not None:
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                return spec
    return None


def _follow(loader: Any) -> None:
    # One loader may stand for many modules (that of an archive does), and what was found may be
    # found again, by a check whether it is installed, before anybody imports it.
    if hasattr(loader.exec_module, _FOLLOWED):
        return
    execute = loader.exec_module

    def execute_and_act(module: ModuleType) -> None:
        # The loader is seen as it was by whoever asks the module for it.
        vars(loader).pop("exec_module", None)
        execute(module)
        act = _waiting.pop(module.__name__, None)
        if act is not None:
            _run(module.__name__, act)

    setattr(execute_and_act, _FOLLOWED, True)
    loader.exec_module = execute_and_act


def _run(module: str, act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # whoever imports the module must not suffer
        note_fault(f"instrumenting {module}", error)
