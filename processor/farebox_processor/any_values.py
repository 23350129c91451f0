"""Values of attributes in, text out: numbers in decimal, arrays and maps as JSON, bytes as base64.

An array or a map stays protobuf bytes until somebody reads it; most are content that nobody
does. What is read is decoded once per distinct value, by hand: protobuf's own decoder refuses a
whole message for one bad byte, and takes 25 bytes of memory for each byte of a hostile one.
"""

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = [
    "ABSENT",
    "DEEPEST",
    "LONGEST",
    "TOO_DEEP",
    "TOO_LONG",
    "UNDECODABLE",
    "as_text",
    "raw_as_text",
]

Rows: TypeAlias = npt.NDArray[np.uint32]
ABSENT: Final = np.uint32(2**32 - 1)
"""In place of a row that does not exist."""

EMPTY, TEXT, BOOLEAN, INTEGER, DOUBLE, ARRAY, MAP, BYTES = range(8)
"""frames.ATTRIBUTES.kind: the number of the field in OTLP's AnyValue."""

DEEPEST: Final = 30
"""Arrays and maps nested deeper than this become TOO_DEEP; protobuf's own limit lies near it."""
TOO_DEEP: Final = "<too deep>"
LONGEST: Final = 2**20
"""Characters of a text, bytes of an array or a map, that are read: JSON with usage in it fits."""
TOO_LONG: Final = "<too long>"
UNDECODABLE: Final = "<undecodable>"

_Value: TypeAlias = "bool | int | float | str | list[_Value] | dict[str, _Value] | None"
_Renderer: TypeAlias = Callable[[pl.DataFrame, pl.Series], tuple[pl.Series, Any]]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def as_text(attributes: pl.DataFrame, rows: Rows) -> pl.Series:
    """Return these rows of frames.ATTRIBUTES as text; null for an empty value or an empty text.

    A row that is the height of `attributes` stands for none, and is null as well.
    """
    if are_all(attributes, rows, TEXT):
        return gathered(_not_empty(attributes["text"]), rows)
    asked, place = used(rows, len(attributes))
    texts, place_of_asked = rendered(attributes, asked)
    is_empty = (texts == "").fill_null(False).to_numpy()
    told = np.where(is_empty[place_of_asked], np.uint32(len(texts)), place_of_asked)
    return gathered(texts, np.append(told, np.uint32(len(texts)))[place][rows])


def _not_empty(texts: pl.Series) -> pl.Series:
    is_empty = texts == ""
    return texts.set(is_empty, None) if is_empty.any() else texts


def are_all(attributes: pl.DataFrame, rows: Rows, kind: int) -> bool:
    """Return whether all of these rows that there are hold values of one kind."""
    is_other = np.append(attributes["kind"].to_numpy() != kind, False)
    return not is_other[rows].any()


def gathered(values: pl.Series, rows: Rows) -> pl.Series:
    """Return the values at `rows`; null for a row that is as large as their number."""
    # Of one chunk a gather is ten times as quick as of two.
    with_null = pl.concat([values, pl.Series([None], dtype=values.dtype)], rechunk=True)
    return with_null.gather(rows)


def used(rows: Rows, height: int) -> tuple[Rows, Rows]:
    """Return which of so many rows occur among `rows`, ascending, and the place of each in that.

    What lies at `height` is no row; its place is behind all others.
    """
    is_used = np.zeros(height + 1, dtype=np.bool_)
    is_used[rows] = True
    occurring = np.flatnonzero(is_used[:height]).astype(np.uint32)
    places = np.full(height + 1, len(occurring), dtype=np.uint32)
    places[occurring] = np.arange(len(occurring), dtype=np.uint32)
    return occurring, places


def rendered(attributes: pl.DataFrame, rows: Rows) -> tuple[pl.Series, Rows]:
    """Return the texts of these rows of frames.ATTRIBUTES, and which of them each row has."""
    kinds = attributes["kind"].to_numpy()[rows]
    place = np.arange(len(rows), dtype=np.uint32)
    texts = [attributes["text"].gather(rows)]
    height = len(rows)
    for kind, render in _RENDERERS.items():
        at = np.flatnonzero(kinds == kind)
        if len(at):
            different, which = render(attributes, pl.Series(rows[at]))
            texts.append(different)
            place[at] = which + height
            height += len(different)
    # Of one chunk a gather is ten times as quick as of two.
    return pl.concat(texts, rechunk=True), place


def raw_as_text(kind: int, raw: bytes) -> str:
    """Return an array or a map as JSON, bytes as base64; never raises.

    NaN and infinities become the texts "NaN", "Infinity" and "-Infinity", which JSON lacks.
    """
    if len(raw) > LONGEST:
        return TOO_LONG
    if kind == BYTES:
        return base64.b64encode(raw).decode("ascii")
    read = _read_array if kind == ARRAY else _read_map
    try:
        value = read(raw, 1)
    except (ValueError, IndexError, struct.error):
        return UNDECODABLE
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cast(column: str) -> _Renderer:
    def render(attributes: pl.DataFrame, rows: pl.Series) -> tuple[pl.Series, Any]:
        texts = attributes[column][rows].cast(pl.String)
        # As the collector writes them: 1 for 1.0.
        return texts.str.strip_suffix(".0") if column == "double" else texts, np.arange(len(rows))

    return render


def _decoded(kind: int) -> _Renderer:
    """Decode each distinct value once; finish reasons repeat a handful of them."""

    def render(attributes: pl.DataFrame, rows: pl.Series) -> tuple[pl.Series, Any]:
        distinct = attributes["raw"][rows].to_arrow().dictionary_encode()
        texts = [raw_as_text(kind, value) for value in distinct.dictionary.to_pylist()]
        return pl.Series(texts, dtype=pl.String), distinct.indices.to_numpy()

    return render


_RENDERERS: Final[dict[int, _Renderer]] = {
    BOOLEAN: _cast("boolean"),
    INTEGER: _cast("integer"),
    DOUBLE: _cast("double"),
    ARRAY: _decoded(ARRAY),
    MAP: _decoded(MAP),
    BYTES: _decoded(BYTES),
}
"""Per kind: the texts of some rows of ATTRIBUTES, and which one each row has."""


def _read_array(raw: bytes, depth: int) -> _Value:
    if depth > DEEPEST:
        return TOO_DEEP
    return [_read_value(item, depth) for number, item in _fields(raw) if number == 1]


def _read_map(raw: bytes, depth: int) -> _Value:
    if depth > DEEPEST:
        return TOO_DEEP
    entries: dict[str, _Value] = {}
    for number, entry in _fields(raw):
        if number == 1:
            fields = dict(_fields(entry))
            key = fields.get(1, b"").decode("utf-8", "replace")
            entries[key] = _read_value(fields.get(2, b""), depth)
    return entries


def _read_value(raw: bytes, depth: int) -> _Value:
    """Read an AnyValue; of several values in one, which protobuf forbids to write, the last."""
    value: _Value = None
    for number, field in _fields(raw):
        if number in _SCALARS:
            value = _SCALARS[number](field)
        elif number == ARRAY:
            value = _read_array(field, depth + 1)
        elif number == MAP:
            value = _read_map(field, depth + 1)
    return value


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each field; a varint as its eight bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _BYTES:
            length, at = _varint(raw, at)
        elif wire_type == _VARINT:
            value, at = _varint(raw, at)
            yield number, (value & (2**64 - 1)).to_bytes(8, "little")
            continue
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(wire_type)
        if at + length > len(raw):
            raise ValueError(length)
        yield number, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(shift)


def _double(field: bytes) -> _Value:
    (value,) = struct.unpack("<d", field)
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_SCALARS: Final[dict[int, Callable[[bytes], _Value]]] = {
    TEXT: lambda field: field.decode("utf-8", "replace"),
    BOOLEAN: any,
    INTEGER: lambda field: struct.unpack("<q", field)[0],
    DOUBLE: _double,
    BYTES: lambda field: base64.b64encode(field).decode("ascii"),
}
