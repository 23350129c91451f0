"""Lists of serialised KeyValues in, the attributes of a batch of spans or resources out."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import any_values, wire
from farebox_processor.attribute_columns import Attributes

__all__ = ["first_of_each", "read_attributes"]

_Rows: TypeAlias = npt.NDArray[np.int64]

_LONGEST_KEY: Final = 256
"""Characters of a key that are kept; nothing that is priced has a longer name."""


def read_attributes(lists: pa.ListArray, requests: _Rows, most: _Rows) -> tuple[Attributes, _Rows]:
    """Read the attributes of each row: the first `most` of them, a number per row.

    Returns also the rows (of the lists) with an attribute that could not be read, ascending.
    """
    rows, raw = first_of_each(lists, most)
    read, places = wire.KEY_VALUE.read_each_once(raw, requests[rows])
    value = read.batch.column("value")
    keys = read.batch.column("key").dictionary_encode()
    different = {
        "key_id": pl.Series(keys.indices).cast(pl.UInt32),
        **_value_columns(value.flatten(), longest=_longest(raw)),
    }
    attributes = Attributes(
        rows=rows.astype(np.uint32),
        which=places.astype(np.uint32),
        different=pl.DataFrame(different),
        keys=_shortened(pl.Series(keys.dictionary), _longest(keys.dictionary), _LONGEST_KEY),
    )
    return attributes, np.unique(rows[read.undecodable])


def first_of_each(lists: pa.ListArray, most: _Rows) -> tuple[_Rows, pa.Array]:
    """Return the row of each kept item and the items: of each list the first `most[row]`."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    items = lists.flatten()
    counts = np.diff(offsets)
    kept = np.minimum(counts, most)
    rows = np.repeat(np.arange(len(counts)), kept)
    if kept.sum() == counts.sum():
        return rows, items
    starts = offsets[:-1] - offsets[0] - (np.cumsum(kept) - kept)
    return rows, items.take(pa.array(np.arange(len(rows)) + starts[rows]))


def _value_columns(fields: list[pa.Array], *, longest: int) -> dict[str, pl.Series]:
    """Return the columns of ATTRIBUTES that hold an AnyValue, whose `fields` these are."""
    kind = np.zeros(len(fields[0]), dtype=np.uint8)
    for number, values in enumerate(fields, start=any_values.TEXT):
        if values.null_count < len(values):
            kind[values.is_valid().to_numpy(zero_copy_only=False)] = number
    text, boolean, integer, double, *raws = fields
    return {
        "kind": pl.Series(kind),
        "text": _shortened(_series(text, pl.String()), longest, any_values.LONGEST),
        "boolean": _series(boolean, pl.Boolean()),
        "integer": _series(integer, pl.Int64()),
        "double": _series(double, pl.Float64()),
        "raw": _first_given(raws),
    }


def _first_given(raws: list[pa.Array]) -> pl.Series:
    given = [_series(raw, pl.Binary()) for raw in raws if raw.null_count < len(raw)]
    if len(given) > 1:
        return pl.select(pl.coalesce(given)).to_series()
    return given[0] if given else _nulls(pl.Binary(), len(raws[0]))


def _series(array: pa.Array, dtype: pl.DataType) -> pl.Series:
    if array.null_count == len(array):
        return _nulls(dtype, len(array))
    return pl.Series(array)


def _nulls(dtype: pl.DataType, height: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, height)


def _shortened(texts: pl.Series, longest: int, limit: int) -> pl.Series:
    return texts.str.head(limit) if longest > limit else texts


def _longest(raw: pa.Array) -> int:
    """Return the size in bytes of the longest item."""
    offsets = np.frombuffer(raw.buffers()[1], dtype=np.int32)[raw.offset :][: len(raw) + 1]
    return int(np.diff(offsets).max(initial=0))
