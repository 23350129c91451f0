"""Attributes in, one column per key out: what a dialect or a dashboard asks a span for.

`cells = gather(attributes, height, keys)` looks every key up once; `cells.texts(...)`,
`cells.integers(...)` and the others then cost one gather each, however many keys are asked for.
Ask `gather` for all keys that may matter, and then read only those in `cells.present`: of 150
wanted keys a batch holds some 25, and a column that is null throughout costs as much as a full one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor import any_values
from farebox_processor.any_values import EMPTY, Rows
from farebox_processor.folded import Codes

__all__ = ["Attributes", "Cells", "gather", "texts"]

_KINDS: Final = {
    "integer": any_values.INTEGER,
    "double": any_values.DOUBLE,
    "boolean": any_values.BOOLEAN,
}
_PIECE: Final = 65_536
"""Attributes that are put in their places at once."""

_EXACT_DOUBLE: Final = 2.0**53
"""Above it a double no longer tells neighbouring whole numbers apart."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a batch of spans or resources, in the order sent, one after another.

    An attribute that many of them carry is held once: what is read, is read of `different`.
    """

    rows: Rows
    """Row of the span (or of the resource) that carries each attribute, ascending."""
    which: Rows
    """Row of each attribute in `different`."""
    different: pl.DataFrame
    """frames.ATTRIBUTES: the different attributes; some may be carried by nobody."""
    keys: pl.Series
    """The different keys, each in the place of its `key_id`."""

    def __len__(self) -> int:
        return len(self.rows)

    def key_ids(self) -> Rows:
        """Return the place in `keys` of the key of each attribute."""
        ids: Rows = self.different["key_id"].to_numpy()[self.which]
        return ids

    def where(self, kept: npt.NDArray[np.bool_]) -> "Attributes":
        """Return those of the attributes that are marked."""
        return replace(self, rows=self.rows[kept], which=self.which[kept])

    def rows_with(self, keys: Collection[str]) -> Rows:
        """Return the rows that carry any of `keys`, ascending, each once."""
        wanted = self.keys.is_in(list(keys)).to_numpy()
        carrying: Rows = np.unique(self.rows[wanted[self.key_ids()]] if wanted.any() else _NO_ROWS)
        return carrying


_NO_ROWS: Final = np.empty(0, dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Cells:
    """The attributes of `height` spans (or resources) under some keys, ready to be read.

    Every method takes the keys to read (default: those present) and returns a frame of `height`
    rows with one column per key, in the order asked; a key that is not present is null throughout.
    Of a key that a span carries twice the last value counts.
    """

    different: pl.DataFrame
    """frames.ATTRIBUTES"""
    height: int
    present: tuple[str, ...]
    """Those of the wanted keys that occur at all, in the order wanted."""
    _key_ids: tuple[int, ...]
    """The place of each present key among all keys of the batch."""
    _grid: Rows
    """Row of `different` for each present key (first axis) and span; its height where none."""

    def are_given(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return where a cell holds a value, be it one that makes no sense: Boolean, no nulls."""
        is_given = np.append(self.different["kind"].to_numpy() != EMPTY, False)
        return self._columns(pl.Series(is_given[self._rows(keys)]), keys)

    def texts(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as text: String, null where absent, an empty value or an empty text.

        Text is as sent; integers and doubles in decimal, booleans as true and false; arrays and
        maps as JSON ("<too deep>" beyond 30 levels); bytes as base64.
        """
        return self._columns(any_values.as_text(self.different, self._rows(keys)), keys)

    def codes(self, keys: Collection[str], most: int) -> dict[str, Codes]:
        """Return a number per row for each of `keys` that has at most so many different values.

        Rows of one number have one value; 0 stands for none. `most` is 254 or less: a number is a
        byte.
        """
        key_ids = self.different["key_id"].to_numpy()
        counts = np.bincount(key_ids, minlength=max(self._key_ids, default=0) + 1)
        few = np.flatnonzero((counts <= most)[key_ids])
        few = few[np.argsort(key_ids[few], kind="stable")]
        begins = np.searchsorted(key_ids[few], key_ids[few])
        numbers = np.zeros(len(key_ids) + 1, dtype=np.uint8)
        numbers[few] = np.arange(len(few)) - begins + 1
        return {
            key: (numbers[self._grid[at]], int(counts[key_id]) + 1)
            for at, (key, key_id) in enumerate(zip(self.present, self._key_ids, strict=True))
            if key in keys and counts[key_id] <= most
        }

    def at(self, rows: npt.NDArray[np.int64]) -> "Cells":
        """Return the cells of some rows."""
        return replace(self, height=len(rows), _grid=self._grid[:, rows])

    def integers(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a whole number: Int64, null where it is absent or is none.

        Integers; doubles and texts of doubles without a fraction up to 2^53; texts of integers.
        Not booleans. For nonsense (NaN, 1.5, "twelve", 2^63) it is null where `are_given` is true.
        """
        text, double = pl.col("text"), pl.col("double")
        number = pl.coalesce(double, text.cast(pl.Float64, strict=False))
        is_whole = (number.floor() == number) & (number.abs() <= _EXACT_DOUBLE)
        whole = pl.when(is_whole).then(number).cast(pl.Int64, strict=False)
        read = pl.coalesce("integer", text.cast(pl.Int64, strict=False), whole)
        return self._read(keys, plain="integer", otherwise=read)

    def doubles(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a number: Float64, null where it is absent or is none.

        Doubles as sent (NaN and infinities too), integers, texts of numbers. Not booleans.
        """
        text = pl.col("text").cast(pl.Float64, strict=False)
        read = pl.coalesce("double", pl.col("integer").cast(pl.Float64), text)
        return self._read(keys, plain="double", otherwise=read)

    def booleans(self, keys: Sequence[str] | None = None) -> pl.DataFrame:
        """Return each cell as a truth value: Boolean; the texts true and false count, any case."""
        text = pl.col("text").str.to_lowercase()
        spelt = pl.when(text == "true").then(True).when(text == "false").then(False)
        return self._read(keys, plain="boolean", otherwise=pl.coalesce("boolean", spelt))

    def _read(self, keys: Sequence[str] | None, *, plain: str, otherwise: pl.Expr) -> pl.DataFrame:
        """Return the column `plain`; where it does not say it all, what else says it."""
        rows = self._rows(keys)
        if any_values.are_all(self.different, rows, _KINDS[plain]):
            return self._columns(any_values.gathered(self.different[plain], rows), keys)
        told = self.different.select("text", "integer", "double", "boolean")
        asked, place = any_values.used(rows, told.height)
        told = told.select(pl.all().gather(asked))
        read = told[plain]
        if read.null_count():
            read = told.select(otherwise).to_series()
        return self._columns(any_values.gathered(read, place[rows]), keys)

    def _rows(self, keys: Sequence[str] | None) -> Rows:
        """Return the rows of `different` for the present ones of `keys`, key after key."""
        if keys is None:
            return self._grid.reshape(-1)
        at = {key: index for index, key in enumerate(self.present)}
        return self._grid[[at[key] for key in keys if key in at]].reshape(-1)

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


def gather(attributes: Attributes, height: int, keys: Sequence[str]) -> Cells:
    """Find the cells of `height` rows under `keys`."""
    known = {name: key_id for key_id, name in enumerate(attributes.keys.to_list())}
    present = tuple(key for key in dict.fromkeys(keys) if key in known)
    # A row of the grid per key, and a last one for what nobody asked for.
    begins = np.full(len(known), len(present) * height, dtype=np.int64)
    begins[[known[key] for key in present]] = np.arange(len(present)) * height
    grid = np.full((len(present) + 1) * height, len(attributes.different), dtype=np.uint32)
    begin = begins[attributes.different["key_id"].to_numpy()]
    # Of repeated indices numpy keeps the last assignment: the last of two equal keys wins. A piece
    # at a time stays in the processor's cache, which takes half as long.
    for start in range(0, len(attributes), _PIECE):
        piece = slice(start, start + _PIECE)
        place = begin[attributes.which[piece]]
        place += attributes.rows[piece]
        grid[place] = attributes.which[piece]
    return Cells(
        attributes.different,
        height,
        present,
        tuple(known[key] for key in present),
        grid.reshape(len(present) + 1, height)[:-1],
    )


def texts(attributes: Attributes, height: int, keys: Sequence[str]) -> pl.DataFrame:
    """Return one String column per key, null where absent; see Cells.texts."""
    return gather(attributes, height, keys).texts(keys)
