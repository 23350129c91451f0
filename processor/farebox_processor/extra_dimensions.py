"""Configured dimensions: maps of them in, one column per dimension out, and back.

What is said of one dimension has nothing to do with the others, so whatever chooses between spans
or traces does it column by column, as for the dimensions that are built in.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from farebox.attributes import EXTRA_PREFIX
from farebox_processor.errors import ConfigError
from farebox_processor.frames import EXTRA_DIMENSIONS, TRACES

__all__ = [
    "attributes_of",
    "check_extra_dimensions",
    "columns_of",
    "in_map",
    "mapped",
    "spread",
]

_PREFIX: Final = "dimensions."
_MOST: Final = 16
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN: Final = frozenset(TRACES) | {"tier", "plan", "model", "provider", "user", "service"}
"""What stands beside the configured dimensions of a conversation, or filters it."""


def check_extra_dimensions(extra: Mapping[str, tuple[str, ...]]) -> None:
    """Raise ConfigError for names that cannot be used, and for too many of them."""
    for name in extra:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f"dimensions.extra: found the name {name!r}; write lower case letters, digits and"
                " _, at most 40, a letter first"
            )
        if name in _TAKEN:
            raise ConfigError(
                f"dimensions.extra: {name!r} is a column of conversations already; choose another"
                " name"
            )
    if len(extra) > _MOST:
        raise ConfigError(f"dimensions.extra: found {len(extra)} names; at most {_MOST} are kept")


def attributes_of(name: str, configured: Iterable[str]) -> tuple[str, ...]:
    """Return where a dimension is read from: what our instrumentation writes, then those named."""
    return tuple(dict.fromkeys((EXTRA_PREFIX + name, *configured)))


def spread(maps: pl.Series) -> list[pl.Series]:
    """Return one String column per dimension that some map holds, null where it does not."""
    if not maps.map.len().max():
        return []
    names = maps.map.keys().explode().drop_nulls().unique().sort()
    return [maps.map.get(name).alias(_PREFIX + name) for name in names]


def columns_of(frame: pl.DataFrame) -> list[str]:
    """Return the columns of `frame` that `spread` made, in the order of their names."""
    return sorted(name for name in frame.columns if name.startswith(_PREFIX))


def mapped(values: pl.DataFrame) -> pl.Expr:
    """Return `dimensions`, the map of each row of `values`, without nulls.

    The columns are those of `spread`, or have the names of dimensions.
    """
    if not values.width:
        return pl.lit({}, dtype=EXTRA_DIMENSIONS).alias("dimensions")
    columns = values.select(sorted(values.columns)).get_columns()
    told = np.column_stack([column.is_not_null().to_numpy() for column in columns])
    row, place = np.nonzero(told)
    names = pl.Series([column.name.removeprefix(_PREFIX) for column in columns])
    flat = pl.concat([column.alias("") for column in columns])
    entries = pa.MapArray.from_arrays(
        pa.array(np.append(0, np.cumsum(told.sum(axis=1))).astype(np.int32)),
        names[pl.Series(place)].to_arrow(),
        flat[pl.Series(place * values.height + row)].to_arrow(),
    )
    return pl.lit(pl.Series("dimensions", entries, dtype=EXTRA_DIMENSIONS))


def in_map(name: str | pl.Expr) -> pl.Expr:
    """Return the value of a configured dimension, null where it is not known."""
    return pl.col("dimensions").map.get(name)
