"""Attributes in, one map of texts per row out: how ClickHouse keeps what a span carries."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import any_values
from farebox_processor.attribute_columns import Attributes

__all__ = ["attribute_maps", "lists_of", "offsets_of"]

_Mask: TypeAlias = npt.NDArray[np.bool_]

_LONGEST: Final = 65_536
"""Characters of a value that are stored."""


def attribute_maps(
    attributes: Attributes,
    height: int,
    *,
    without: Callable[[pl.Series], pl.Series],
    more: pl.DataFrame | None = None,
) -> pl.Series:
    """Return a Map(String, String) per row.

    `without` says which of the distinct keys to leave out. `more` holds further entries: row, key
    and value, sorted by row. Of two values under one key the last is kept.
    """
    attributes = attributes.where(_kept(attributes, without))
    rows = attributes.rows
    keys = attributes.keys.gather(attributes.key_ids())
    values = any_values.as_text(attributes.different, attributes.which)
    if more is not None:
        rows = np.concatenate([rows, more["row"].to_numpy()])
        order = np.argsort(rows, kind="stable")
        rows, merged = rows[order], pl.Series(order)
        keys = pl.concat([keys, more["key"]])[merged]
        values = pl.concat([values, more["value"]])[merged]
    if (values.str.len_bytes() > _LONGEST).any():
        values = values.str.head(_LONGEST)
    offsets = pa.array(offsets_of(rows, height).astype(np.int32))
    texts = values.fill_null("").to_arrow()
    return pl.Series(pa.MapArray.from_arrays(offsets, keys.to_arrow(), texts))


def offsets_of(rows: npt.NDArray[Any], height: int) -> npt.NDArray[np.int64]:
    """Return where the items of each row begin, and where the last end; `rows` is sorted."""
    return np.searchsorted(rows, np.arange(height + 1))


def lists_of(items: pl.Series, offsets: npt.NDArray[np.int64]) -> pl.Series:
    """Return a list per row, of items that lie one after another."""
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), items.to_arrow()))


def _kept(attributes: Attributes, without: Callable[[pl.Series], pl.Series]) -> _Mask:
    unwanted = without(attributes.keys).to_numpy()
    key_ids = attributes.key_ids()
    kept: _Mask = ~unwanted[key_ids]
    cells = attributes.rows.astype(np.int64) * (len(attributes.keys) + 1) + key_ids
    in_order = np.sort(cells)
    if (in_order[1:] == in_order[:-1]).any():
        _, last = np.unique(cells[::-1], return_index=True)
        is_last = np.zeros(len(cells), dtype=np.bool_)
        is_last[len(cells) - 1 - last] = True
        kept &= is_last
    return kept
