"""Attributes in, one map of texts per row out: how ClickHouse keeps what a span carries.

Most attributes repeat what others say. A map therefore holds numbers, and a dictionary says which
texts they stand for: so it goes to ClickHouse, which takes it for the map of texts that it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import any_values
from farebox_processor.attribute_columns import Attributes

__all__ = ["Dictionary", "attribute_maps", "coded_maps", "lists_of", "offsets_of"]

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


def coded_maps(
    attributes: Attributes,
    height: int,
    *,
    without: Callable[[pl.Series], pl.Series],
    more: pl.DataFrame | None = None,
) -> tuple[pl.Series, Dictionary]:
    """Return a Map(UInt32, UInt32) per row, and the dictionary of its numbers.

    `without` says which of the distinct keys to leave out. `more` holds further entries: row, key
    and value, sorted by row. Of two values under one key the last is kept.
    """
    attributes = attributes.where(_kept(attributes, without))
    carried, place = any_values.used(attributes.which, len(attributes.different))
    texts, of_carried = any_values.rendered(attributes.different, carried)
    keys, key_ids = [attributes.keys], attributes.key_ids().astype(np.int64)
    values, value_ids = [texts], of_carried[place[attributes.which]].astype(np.int64)
    rows = attributes.rows.astype(np.int64)
    if more is not None:
        order = _merged(rows, more["row"].to_numpy().astype(np.int64), height)
        rows = np.concatenate([rows, more["row"].to_numpy()])[order]
        keys, key_ids = _appended(keys, key_ids, more["key"], order)
        values, value_ids = _appended(values, value_ids, more["value"], order)
    coded_keys, different_keys = _numbered(pl.concat(keys), key_ids)
    coded_values, different_values = _numbered(_shortened(pl.concat(values)), value_ids)
    offsets = pa.array(offsets_of(rows, height).astype(np.int32))
    maps = pa.MapArray.from_arrays(offsets, coded_keys, coded_values)
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


def _merged(rows: _Rows, more: _Rows, height: int) -> _Rows:
    """Return the order in which those of `more` come behind those of `rows`, row by row."""
    order = np.empty(len(rows) + len(more), dtype=np.int64)
    before = offsets_of(more, height)[rows] + np.arange(len(rows))
    order[before] = np.arange(len(rows))
    behind = offsets_of(rows, height)[more + 1] + np.arange(len(more))
    order[behind] = np.arange(len(rows), len(order))
    return order


def _appended(
    texts: list[pl.Series], ids: _Rows, more: pl.Series, order: _Rows
) -> tuple[list[pl.Series], _Rows]:
    behind = sum(map(len, texts)) + np.arange(len(more))
    return [*texts, more], np.concatenate([ids, behind])[order]


def _numbered(texts: pl.Series, ids: _Rows) -> tuple[pa.Array, pl.Series]:
    """Return the numbers of the texts at `ids`, and the different texts, each in its place."""
    encoded = texts.fill_null("").to_arrow().dictionary_encode()
    numbers = encoded.indices.to_numpy().astype(np.uint32)
    return pa.array(numbers[ids]), pl.Series(encoded.dictionary)


def _shortened(values: pl.Series) -> pl.Series:
    if (values.str.len_bytes() > _LONGEST).any():
        return values.str.head(_LONGEST)
    return values


def _kept(attributes: Attributes, without: Callable[[pl.Series], pl.Series]) -> _Mask:
    unwanted = without(attributes.keys).to_numpy()
    key_ids = attributes.key_ids()
    kept: _Mask = ~unwanted[key_ids]
    width = len(attributes.keys)
    cells = attributes.rows.astype(np.int64) * width + key_ids
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
