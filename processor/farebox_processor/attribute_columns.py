"""Long attributes in, one column per key out: what a dialect or a dashboard asks a span for.

`cells = gather(attributes, height, keys)` looks every key up once; `cells.texts(...)`,
`cells.integers(...)` and the others then cost one gather each, however many keys are asked for.
Ask `gather` for all keys that may matter, and then read only those in `cells.present`: of 150
wanted keys a batch holds some 25, and a column that is null throughout costs as much as a full one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from farebox_processor import any_values
from farebox_processor.any_values import ABSENT, Rows

__all__ = ["Cells", "gather", "key_names", "positions", "texts", "with_key_ids"]

_EXACT_DOUBLE: Final = 2.0**53
"""Above it a double no longer tells neighbouring whole numbers apart."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The attributes of `height` spans (or resources) under some keys, ready to be read.

    Every method takes the keys to read (default: those present) and returns a frame of `height`
    rows with one column per key, in the order asked; a key that is not present is null throughout.
    Of a key that a span carries twice the last value counts.
    """

    attributes: pl.DataFrame
    height: int
    present: tuple[str, ...]
    """Those of the wanted keys that occur at all, in the order wanted."""
    _grid: Rows
    """Row of `attributes` for each present key (first axis) and span; ABSENT where none."""

    def positions(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the row of `attributes` that holds each cell: UInt32, null where absent."""
        return self._columns(self._index(keys), keys)

    def kinds(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return what each cell holds, as frames.ATTRIBUTES numbers the kinds: UInt8."""
        return self._columns(self.attributes["kind"][self._index(keys)], keys)

    def texts(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as text: String, null where absent or an empty value.

        Text is as sent; integers and doubles in decimal, booleans as true and false; arrays and
        maps as JSON ("<too deep>" beyond 30 levels); bytes as base64.
        """
        return self._columns(any_values.as_text(self.attributes, self._rows(keys)), keys)

    def integers(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a whole number: Int64, null where it is absent or is none.

        Integers; doubles and texts of doubles without a fraction up to 2^53; texts of integers.
        Not booleans. For nonsense (NaN, 1.5, "twelve", 2^63) it is null where `kinds` is not.
        """
        rows = self._index(keys)
        integer = self.attributes["integer"][rows]
        if integer.null_count() == rows.null_count():
            return self._columns(integer, keys)
        text = pl.lit(self.attributes["text"][rows])
        double = pl.lit(self.attributes["double"][rows])
        number = pl.coalesce(double, text.cast(pl.Float64, strict=False))
        is_whole = (number.floor() == number) & (number.abs() <= _EXACT_DOUBLE)
        whole = pl.when(is_whole).then(number).cast(pl.Int64, strict=False)
        read = pl.coalesce(integer, text.cast(pl.Int64, strict=False), whole)
        return self._columns(pl.select(read).to_series(), keys)

    def doubles(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a number: Float64, null where it is absent or is none.

        Doubles as sent (NaN and infinities too), integers, texts of numbers. Not booleans.
        """
        rows = self._index(keys)
        double = self.attributes["double"][rows]
        integer = self.attributes["integer"][rows].cast(pl.Float64)
        text = self.attributes["text"][rows].cast(pl.Float64, strict=False)
        return self._columns(pl.select(pl.coalesce(double, integer, text)).to_series(), keys)

    def booleans(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a truth value: Boolean; the texts true and false count, any case."""
        rows = self._index(keys)
        text = pl.lit(self.attributes["text"][rows]).str.to_lowercase()
        spelt = pl.when(text == "true").then(True).when(text == "false").then(False)
        read = pl.coalesce(self.attributes["boolean"][rows], spelt)
        return self._columns(pl.select(read).to_series(), keys)

    def _rows(self, keys: Sequence[str] | None) -> Rows:
        """Return the rows of `attributes` for the present ones of `keys`, key after key."""
        if keys is None:
            return self._grid.reshape(-1)
        at = {key: index for index, key in enumerate(self.present)}
        return self._grid[[at[key] for key in keys if key in at]].reshape(-1)

    def _index(self, keys: Sequence[str] | None) -> pl.Series:
        """Return the same with null for ABSENT."""
        rows = self._rows(keys)
        return pl.Series(pa.array(rows, mask=rows == ABSENT))

    def _columns(self, flat: pl.Series, keys: Sequence[str] | None) -> pl.DataFrame:
        """Cut what `_rows` made one column into one column per key."""
        present = set(self.present)
        absent = pl.Series([None], dtype=flat.dtype).new_from_index(0, self.height)
        columns, start = [], 0
        for key in self.present if keys is None else keys:
            if key in present:
                columns.append(flat.slice(start, self.height).alias(key))
                start += self.height
            else:
                columns.append(absent.alias(key))
        return pl.DataFrame(columns)


def gather(attributes: pl.DataFrame, height: int, keys: Sequence[str]) -> Cells:
    """Find the cells of `height` rows under `keys` in long attributes (frames.ATTRIBUTES)."""
    attributes = with_key_ids(attributes)
    key_ids = attributes["key_id"].to_numpy()
    known = {name: key_id for key_id, name in enumerate(key_names(attributes))}
    present = tuple(key for key in dict.fromkeys(keys) if key in known)
    slots = np.full(len(known), -1, dtype=np.int32)
    slots[[known[key] for key in present]] = np.arange(len(present), dtype=np.int32)
    slot = slots[key_ids]
    found = np.flatnonzero(slot >= 0)
    grid = np.full((len(present), height), ABSENT, dtype=np.uint32)
    # Of repeated indices numpy keeps the last assignment: the last of two equal keys wins.
    grid[slot[found], attributes["row"].to_numpy()[found]] = found
    return Cells(attributes, height, present, grid)


def positions(attributes: pl.DataFrame, height: int, keys: Sequence[str]) -> pl.DataFrame:
    """Return, per key, the row of `attributes` that holds the cell: UInt32, null where absent."""
    return gather(attributes, height, keys).positions(keys)


def texts(attributes: pl.DataFrame, height: int, keys: Sequence[str]) -> pl.DataFrame:
    """Return one String column per key, null where absent; see Cells.texts."""
    return gather(attributes, height, keys).texts(keys)


def key_names(attributes: pl.DataFrame) -> list[str | None]:
    """Return the distinct keys, each in the place of its `key_id`; None for ids not in use."""
    key_ids = attributes["key_id"].to_numpy()
    ids = int(key_ids.max()) + 1 if len(key_ids) else 0
    sample = np.full(ids, ABSENT, dtype=np.uint32)
    sample[key_ids] = np.arange(len(key_ids), dtype=np.uint32)
    return attributes["key"][pl.Series(pa.array(sample, mask=sample == ABSENT))].to_list()


def with_key_ids(attributes: pl.DataFrame) -> pl.DataFrame:
    """Return attributes that say which keys are the same; decoded ones already do."""
    if "key_id" in attributes.columns:
        return attributes
    return attributes.with_columns(key_id=pl.col("key").rank("dense").cast(pl.UInt32) - 1)
