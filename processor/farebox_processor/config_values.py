"""One setting: its declaration, its value from YAML or the environment, its text when shown."""

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import yaml

from farebox_processor.errors import ConfigError

__all__ = ["Secret", "convert", "from_text", "is_secret", "setting", "shown", "unknown_key"]

_Value = TypeVar("_Value")

_MASK: Final = "***"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that is never shown whole: not by str(), repr() or format(), nor in JSON.

    Of an address (`clickhouse://user:password@host/db?option=1`) everything but the password and
    the options is shown; of anything else, nothing. `reveal()` is the only way to the text.
    """

    _text: str

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __str__(self) -> str:
        if not self._text or self._text.startswith("embedded:"):
            return self._text
        scheme, mark, rest = self._text.partition("://")
        if not mark:
            return _MASK
        credentials, at, host = rest.partition("?")[0].rpartition("@")
        return (
            f"{scheme}://{credentials.partition(':')[0]}:{_MASK}@{host}"
            if at
            else f"{scheme}://{host}"
        )

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


def setting(
    default: _Value,
    meaning: str,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    choices: Sequence[str] = (),
) -> _Value:
    """Declare a field of a configuration class: its default, its meaning, its bounds."""
    given: dict[str, Any] = {"default": default}
    if isinstance(default, dict):
        given = {"default_factory": default.copy}
    declared: Any = field(
        **given,
        metadata={
            "meaning": meaning,
            "at_least": at_least,
            "at_most": at_most,
            "choices": tuple(choices),
        },
    )
    return typing.cast("_Value", declared)


def unknown_key(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not known, with the one that was probably meant."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return ConfigError(f"{what}: {name!r} is not known; {hint}")


def is_secret(annotation: Any) -> bool:
    """Tell whether a field of this type may be given as `<name>_file`."""
    return annotation is Secret


def from_text(text: str, annotation: Any) -> object:
    """Return what a text of the environment stands for, still unchecked.

    Texts stay as they are, lists are separated by commas, everything else is read as YAML.
    """
    if _accepts_text(annotation):
        return text
    if typing.get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return typing.cast("object", yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def convert(value: object, annotation: Any, declared: Field[Any], name: str) -> object:
    """Return `value` as the type that the field was declared with.

    Raises ConfigError where it has another type or lies outside the field's bounds.
    """
    if typing.get_origin(annotation) is tuple:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise ConfigError(f"{name}: expected a list of texts, found {value!r}")
        return tuple(typing.get_args(annotation)[0](part) for part in value)
    if typing.get_origin(annotation) is Mapping:
        return _texts_by_name(value, name)
    if annotation is Secret and isinstance(value, str):
        return Secret(value)
    if annotation is Secret:
        raise ConfigError(f"{name}: expected a text, found {type(value).__name__}")
    expected = _plain_type(annotation)
    # A boolean is an integer in Python, but `port: yes` is a mistake.
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{name}: expected {_name_of(expected)}, found {value!r}")
    _check_bounds(value, declared, name)
    return value


def shown(value: object) -> str:
    """Return a value as YAML of one line, without what is secret."""
    plain: object = value
    if isinstance(value, Secret):
        plain = str(value)
    elif isinstance(value, tuple):
        plain = [str(part) for part in value]
    elif isinstance(value, Mapping):
        plain = {name: list(texts) for name, texts in value.items()}
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _texts_by_name(value: object, name: str) -> dict[str, tuple[str, ...]]:
    """Return a mapping of names to texts; one text alone, or none, may stand without a list."""
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: expected names with lists of texts, found {value!r}")
    read: dict[str, tuple[str, ...]] = {}
    for key, given in value.items():
        texts = [given] if isinstance(given, str) else given or []
        if not isinstance(texts, list) or not all(isinstance(part, str) for part in texts):
            raise ConfigError(f"{name}.{key}: expected a list of texts, found {given!r}")
        read[str(key)] = tuple(texts)
    return read


def _check_bounds(value: object, declared: Field[Any], name: str) -> None:
    bounds = declared.metadata
    if bounds["choices"] and value not in bounds["choices"]:
        raise ConfigError(f"{name}: expected one of {', '.join(bounds['choices'])}, found {value}")
    if isinstance(value, int) and bounds["at_least"] is not None and value < bounds["at_least"]:
        raise ConfigError(f"{name}: must be at least {bounds['at_least']}, found {value}")
    if isinstance(value, int) and bounds["at_most"] is not None and value > bounds["at_most"]:
        raise ConfigError(f"{name}: must be at most {bounds['at_most']}, found {value}")


def _plain_type(annotation: Any) -> type:
    """Return the type behind `T | None`; null in a file means: leave the default."""
    if isinstance(annotation, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    return typing.cast("type", annotation)


def _accepts_text(annotation: Any) -> bool:
    expected = _plain_type(annotation)
    return isinstance(expected, type) and issubclass(expected, (str, Secret))


def _name_of(expected: type) -> str:
    return {bool: "true or false", int: "a whole number"}.get(expected, "a text")
