"""Read YAML into values that know their file and line, so that an error can name the place."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Final, NoReturn

import yaml

from farebox_processor.errors import PriceBookError

__all__ = ["Place", "read_yaml"]

_FLOAT: Final = "tag:yaml.org,2002:float"
_MAXIMUM_PRICE: Final = Decimal(1_000_000_000)
_MAXIMUM_WHOLE: Final = 1_000_000_000_000_000
_AT_MOST: Final = f"at most {_MAXIMUM_WHOLE}"
# Nanoseconds since 1970 in 64 bits end in 2262.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_DIGITS: Final = 18
"""After the point of an amount in the store."""
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a YAML file: what it holds, and where it stands."""

    file: str
    path: str
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line on which the node starts, from 1."""
        return int(self.node.start_mark.line) + 1

    def fail(self, found: str, advice: str) -> NoReturn:
        """Raise PriceBookError: where, what was found, what to do."""
        path = f"{self.path}: " if self.path else ""
        raise PriceBookError(f"{self.file}:{self.line}: {path}{found}; {advice}")

    def fields(self, allowed: tuple[str, ...], required: tuple[str, ...]) -> dict[str, "Place"]:
        """Return the entries of a mapping whose keys are all `allowed`."""
        entries = dict(self.items())
        for key, place in entries.items():
            if key not in allowed:
                near = get_close_matches(key, allowed, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(allowed)}"
                place.fail(f"unknown key '{key}'", hint)
        for key in required:
            if key not in entries:
                self.fail(f"'{key}' is missing", "add it")
        return entries

    def items(self) -> Iterator[tuple[str, "Place"]]:
        """Yield the key and the value of each entry of a mapping."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"found {self._shown}", "write a mapping of key: value")
        seen: set[str] = set()
        for key, value in self.node.value:
            name = str(key.value)
            place = Place(self.file, f"{self.path}.{name}".lstrip("."), value)
            if name in seen:
                place.fail(f"'{name}' is given twice", "keep one of them")
            seen.add(name)
            yield name, place

    def elements(self) -> list["Place"]:
        """Return the elements of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail(f"found {self._shown}", "write a list")
        return [
            Place(self.file, f"{self.path}[{position}]", node)
            for position, node in enumerate(self.node.value)
        ]

    def text(self) -> str:
        """Return a non-empty text."""
        if not isinstance(self.node, yaml.ScalarNode) or not str(self.node.value).strip():
            self.fail(f"found {self._shown}", "write a text")
        return str(self.node.value).strip()

    def texts(self) -> tuple[str, ...]:
        """Return a text, or a list of them, in lower case."""
        if isinstance(self.node, yaml.SequenceNode):
            return tuple(element.text().lower() for element in self.elements())
        return (self.text().lower(),)

    def decimal(self) -> Decimal:
        """Return an exact number ≥ 0; refuse one that YAML would read as a float."""
        text = self.text()
        if self.node.tag == _FLOAT:
            self.fail(f"found the float {text}", f'quote it, as "{text}", so that it stays exact')
        try:
            value = Decimal(text)
        except InvalidOperation:
            self.fail(f"found '{text}'", 'write a decimal number, as "2.50"')
        if not value.is_finite() or value < 0:
            self.fail(f"found {text}", "a price is a finite number, not below 0")
        if value > _MAXIMUM_PRICE:
            self.fail(f"found {_short(text)}", f"a price above {_MAXIMUM_PRICE} must be a mistake")
        # The exponent is a number, since the value is finite.
        if int(value.as_tuple().exponent) < -_DIGITS:
            self.fail(f"found {_short(text)}", f"write at most {_DIGITS} digits after the point")
        return value

    def whole(self) -> int:
        """Return a whole number above 0."""
        text = self.text()
        if (number := _whole(text)) is None:
            self.fail(f"found '{_short(text)}'", f"write a whole number above 0, {_AT_MOST}")
        return number

    def whole_key(self) -> int:
        """Return the key under which the node stands, a whole number above 0."""
        key = self.path.rpartition(".")[2]
        if (number := _whole(key)) is None:
            advice = f"write a whole number of tokens above 0, {_AT_MOST}"
            self.fail(f"found the key '{_short(key)}'", advice)
        return number

    def day(self) -> date:
        """Return a date."""
        try:
            day = date.fromisoformat(self.text())
        except ValueError:
            self.fail(f"found '{self.text()}'", "write a date, as 2026-11-21")
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            self.fail(f"found {day}", f"write a date from {_FIRST_YEAR} to {_LAST_YEAR}")
        return day

    def clock(self) -> time:
        """Return a time of the day, UTC."""
        try:
            clock = time.fromisoformat(self.text())
        except ValueError:
            self.fail(f"found '{self.text()}'", 'write a time of day, as "16:30"')
        if clock.tzinfo is not None:
            self.fail(f"found '{self.text()}'", 'write the time in UTC, as "16:30"')
        return clock

    @property
    def _shown(self) -> str:
        if isinstance(self.node, yaml.ScalarNode):
            return f"'{self.node.value}'" if self.node.value else "nothing"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a mapping"


def read_yaml(name: str, content: str) -> Place:
    """Return the root of the YAML document `content`, which errors will call `name`."""
    try:
        node = yaml.compose(content, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PriceBookError(f"{name}:{line}: {error.problem}; correct the YAML") from error
    except yaml.reader.ReaderError as error:
        line = content.count("\n", 0, error.position) + 1
        raise PriceBookError(f"{name}:{line}: {error.reason}; correct the YAML") from error
    except RecursionError as error:
        raise PriceBookError(f"{name}:1: it is nested too deep; correct the YAML") from error
    if node is None:
        raise PriceBookError(f"{name}:1: the file is empty; remove it or write entries into it")
    return Place(name, "", node)


def _whole(text: str) -> int | None:
    """Return the whole number from 1 to the maximum that `text` is; null if it is none."""
    if not text.isdecimal() or len(text) > len(str(_MAXIMUM_WHOLE)):
        return None
    return number if 0 < (number := int(text)) <= _MAXIMUM_WHOLE else None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
