"""A place in a YAML tree in, the value that was asked for out, or what is wrong with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

import polars as pl
from polars.exceptions import PolarsError

from farebox_processor.dialect_model import Source
from farebox_processor.errors import ConfigError

__all__ = ["At"]

_SOURCE_KEYS: Final = ("attribute", "pattern", "value", "count", "distinct", "sum")


@dataclass(frozen=True, slots=True)
class At:
    """A place in a file, which reads what stands there or says what is wrong with it."""

    file: str
    path: str = ""

    def key(self, name: str) -> "At":
        """Return the place of `name` below this one."""
        return At(self.file, f"{self.path}.{name}" if self.path else name)

    def refuse(self, found: object, allowed: str) -> NoReturn:
        """Raise ConfigError for what was found here."""
        raise ConfigError(f"{self.file}: {self.path}: found {found!r}; allowed: {allowed}")

    def text(self, found: object) -> str:
        """Return a text that is not empty."""
        if not isinstance(found, str) or not found:
            self.refuse(found, "a text")
        return found

    def texts(self, found: object) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(at.text(item) for at, item in self.items(found))

    def texts_by_name(self, found: object) -> dict[str, str]:
        """Return a mapping of names to texts."""
        return {name: self.key(name).text(item) for name, item in self.mapping(found).items()}

    def flag(self, found: object) -> bool:
        """Return true or false."""
        if not isinstance(found, bool):
            self.refuse(found, "true, false")
        return found

    def one_of(self, found: object, allowed: tuple[str, ...]) -> str:
        """Return one word of those allowed."""
        if not isinstance(found, str) or found not in allowed:
            self.refuse(found, ", ".join(allowed))
        return found

    def some_of(self, found: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of words of those allowed."""
        return tuple(at.one_of(item, allowed) for at, item in self.items(found))

    def items(self, found: object) -> Iterator[tuple["At", object]]:
        """Yield the items of a list, which may be left out, with the place of each."""
        if found is None:
            return
        if not isinstance(found, list):
            self.refuse(found, "a list")
        for number, item in enumerate(found):
            yield At(self.file, f"{self.path}[{number}]"), item

    def mapping(self, found: object, allowed: tuple[str, ...] = ()) -> dict[str, object]:
        """Return a mapping of the names allowed, or of any if none are given."""
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            self.refuse(found, "a mapping of names")
        for name in found:
            if allowed and name not in allowed:
                self.key(name).refuse(name, ", ".join(allowed))
        return dict(found)

    def pattern(self, found: object) -> str:
        """Return a regular expression that both Polars and Python understand."""
        text = self.text(found)
        try:
            re.compile(text)
            pl.Series([""]).str.contains(text)
        except (re.error, OverflowError, RecursionError, PolarsError) as error:
            self.refuse(text, f"a regular expression ({error})")
        return text

    def source(self, found: object) -> Source:
        """Return `attribute`, `attribute#key.key`, or a mapping with one way to look inside."""
        if isinstance(found, str):
            attribute, _, path = self.text(found).partition("#")
            return Source(attribute, path=tuple(path.split(".")) if path else ())
        if not isinstance(found, Mapping):
            self.refuse(found, f"an attribute, attribute#key, or {', '.join(_SOURCE_KEYS)}")
        body = self.mapping(found, _SOURCE_KEYS)
        attribute = self.key("attribute").text(body.pop("attribute", None))
        if len(body) != 1:
            self.refuse(found, f"one of {', '.join(_SOURCE_KEYS[1:])}")
        ((way, what),) = body.items()
        if way == "value":
            return Source(attribute, value=self.key(way).text(what))
        pattern = self.key(way).pattern(what)
        if way == "count":
            return Source(attribute, count=pattern)
        if way == "distinct":
            return Source(attribute, distinct=pattern)
        if re.compile(pattern).groups != 1:
            self.key(way).refuse(pattern, "a regular expression with one group")
        return (
            Source(attribute, pattern=pattern)
            if way == "pattern"
            else Source(attribute, sum=pattern)
        )

    def sources(self, found: object) -> tuple[Source, ...]:
        """Return a list of sources."""
        return tuple(at.source(item) for at, item in self.items(found))

    def sources_by_name(
        self, found: object, allowed: tuple[str, ...] = ()
    ) -> dict[str, tuple[Source, ...]]:
        """Return a mapping of names to lists of sources."""
        body = self.mapping(found, allowed)
        return {name: self.key(name).sources(item) for name, item in body.items()}
