"""Attributes in, one map of texts per row out: how ClickHouse keeps what a span carries.

Most attributes repeat what others say. A map therefore holds numbers, and a dictionary says which
texts they stand for: so it goes to ClickHouse, which takes it for the map of texts that it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import any_values
from farebox_processor.any_values import Rows
from farebox_processor.attribute_columns import Attributes

__all__ = [
    "Dictionary",
    "Entries",
    "attribute_maps",
    "coded_maps",
    "lists_of",
    "offsets_of",
]

_Mask: TypeAlias = npt.NDArray[np.bool_]
_Rows: TypeAlias = npt.NDArray[np.int64]

_LONGEST: Final = 65_536
"""Characters of a value that are stored."""

_SPARSE: Final = 64
"""Marking cells costs a byte each: with so many per attribute, sorting is cheaper."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The texts that the numbers in some maps stand for, each text once."""

    keys: pl.Series
    values: pl.Series

    def decode(self, maps: pl.Series) -> pl.Series:
        """Return maps of texts for maps of numbers."""
        return pl.Series(maps.name, self.encode(maps).cast(pa.map_(pa.string(), pa.string())))

    def encode(self, maps: pl.Series) -> pa.MapArray:
        """Return the maps as Arrow's, with this dictionary for keys and for values."""
        numbers = maps.rechunk().to_arrow()
        return pa.MapArray.from_arrays(
            numbers.offsets,
            pa.DictionaryArray.from_arrays(numbers.keys, _as_strings(self.keys)),
            pa.DictionaryArray.from_arrays(numbers.items, _as_strings(self.values)),
        )


@dataclass(frozen=True, slots=True)
class Entries:
    """What the maps of some rows hold, one entry after another."""

    rows: _Rows
    """Ascending."""
    keys: pl.Series
    key_ids: _Rows
    """Which of `keys` each entry has."""
    values: pl.Series
    value_ids: _Rows
    """Which of `values` each entry has."""

    @classmethod
    def of_columns(cls, rows: pl.Series, columns: pl.DataFrame) -> "Entries":
        """Return an entry per value, under the name of its column; null is none.

        `rows`, ascending, says whose each row of `columns` is.
        """
        values = pl.concat([column.cast(pl.String).alias("") for column in columns], rechunk=True)
        is_told = values.is_not_null().to_numpy().reshape(columns.width, columns.height)
        at, column = np.nonzero(is_told.T)
        return cls(
            rows=rows.to_numpy().astype(np.int64)[at],
            keys=pl.Series(columns.columns),
            key_ids=column,
            values=values,
            value_ids=column * columns.height + at,
        )


def coded_maps(
    attributes: Attributes,
    height: int,
    *,
    without: Callable[[pl.Series], pl.Series],
    more: Entries | None = None,
) -> tuple[pl.Series, Dictionary]:
    """Return a Map(UInt32, UInt32) per row, and the dictionary of its numbers.

    `without` says which of the distinct keys to leave out. `more` comes behind what is left. Of
    two values under one key of `attributes` the last is kept.
    """
    entries = [_entries_of(attributes, without), *([] if more is None else [more])]
    places, offsets = _places([each.rows for each in entries], height)
    keys, different_keys = _coded([(each.keys, each.key_ids) for each in entries], places)
    values, different_values = _coded(
        [(_shortened(each.values), each.value_ids) for each in entries], places
    )
    maps = pa.MapArray.from_arrays(pa.array(offsets.astype(np.int32)), keys, values)
    return pl.Series(maps), Dictionary(different_keys, different_values)


def attribute_maps(
    attributes: Attributes, height: int, *, without: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Return a Map(String, String) per row; see coded_maps."""
    maps, dictionary = coded_maps(attributes, height, without=without)
    return dictionary.decode(maps)


def offsets_of(rows: npt.NDArray[Any], height: int) -> _Rows:
    """Return where the items of each row begin, and where the last end; `rows` is sorted."""
    return np.searchsorted(rows, np.arange(height + 1))


def lists_of(items: pl.Series, offsets: _Rows) -> pl.Series:
    """Return a list per row, of items that lie one after another."""
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), items.to_arrow()))


def _as_strings(texts: pl.Series) -> pa.Array:
    return texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def _places(lists: Sequence[_Rows], height: int) -> tuple[list[_Rows], _Rows]:
    """Return the place of each entry of several lists of them, and where each row begins.

    `lists` hold the row of each entry, ascending. In a row those of the first list come first.
    """
    counts = [np.bincount(rows, minlength=height) for rows in lists]
    offsets = np.append(0, np.cumsum(sum(counts)))
    begins, places = offsets[:-1], []
    for rows, count in zip(lists, counts, strict=True):
        place = (begins - (np.cumsum(count) - count))[rows]
        place += np.arange(len(rows))
        places.append(place)
        begins = begins + count
    return places, offsets


def _coded(
    lists: Sequence[tuple[pl.Series, _Rows]], places: Sequence[_Rows]
) -> tuple[pa.Array, pl.Series]:
    """Return a number for the text of each entry, in its place, and the texts that they stand for.

    Of each list: texts, and which of them each entry has.
    """
    texts = pl.concat([texts.alias("text") for texts, _ in lists], rechunk=True).fill_null("")
    told = texts.to_frame().with_row_index("at")
    first = told.select(pl.col("at").first().over("text")).to_series()
    is_first = first == told["at"]
    numbers = (is_first.cum_sum() - 1).to_numpy().astype(np.uint32)[first.to_numpy()]
    coded = np.empty(sum(map(len, places)), dtype=np.uint32)
    begin = 0
    for (of_list, ids), place in zip(lists, places, strict=True):
        coded[place] = numbers[begin : begin + len(of_list)][ids]
        begin += len(of_list)
    return pa.array(coded), texts.filter(is_first)


def _shortened(values: pl.Series) -> pl.Series:
    if (values.str.len_bytes() > _LONGEST).any():
        return values.str.head(_LONGEST)
    return values


def _entries_of(attributes: Attributes, without: Callable[[pl.Series], pl.Series]) -> Entries:
    rows, key_ids = attributes.rows.astype(np.int64), attributes.key_ids()
    which = attributes.which
    is_kept = _is_kept(rows, key_ids, without(attributes.keys).to_numpy())
    if not is_kept.all():
        rows, key_ids, which = rows[is_kept], key_ids[is_kept], which[is_kept]
    carried, place = any_values.used(which, len(attributes.different))
    texts, of_carried = any_values.rendered(attributes.different, carried)
    return Entries(
        rows=rows,
        keys=attributes.keys,
        key_ids=key_ids.astype(np.int64),
        values=texts,
        value_ids=of_carried[place[which]].astype(np.int64),
    )


def _is_kept(rows: _Rows, key_ids: Rows, unwanted: _Mask) -> _Mask:
    """Mark the entries whose key is wanted, the last one of each row and key."""
    kept: _Mask = ~unwanted[key_ids]
    cells = rows * len(unwanted) + key_ids
    if _some_are_repeated(cells, bound=int(cells.max(initial=-1)) + 1):
        _, last = np.unique(cells[::-1], return_index=True)
        is_last = np.zeros(len(cells), dtype=np.bool_)
        is_last[len(cells) - 1 - last] = True
        kept &= is_last
    return kept


def _some_are_repeated(cells: _Rows, bound: int) -> bool:
    if bound > _SPARSE * len(cells):
        in_order = np.sort(cells)
        return bool((in_order[1:] == in_order[:-1]).any())
    is_taken = np.zeros(bound, dtype=np.bool_)
    is_taken[cells] = True
    return int(np.count_nonzero(is_taken)) < len(cells)
