"""Which columns a frame has in, expressions that work without the others out.

Of the columns that a span could have a batch holds a few, and a column of nulls costs as much as a
full one. A stage therefore writes its steps for the columns that are there; they are made once per
combination of columns, of which a deployment has a handful.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final, TypeAlias, TypeVar

import polars as pl

from farebox_processor.folded import Folded

__all__ = ["NO_NUMBER", "NO_TEXT", "SHAPES", "Given", "Step", "apply"]

_Frame = TypeVar("_Frame", pl.DataFrame, Folded)

Step: TypeAlias = Mapping[str, pl.Expr]
"""Columns that are made at once, each from those of the steps before."""

NO_NUMBER: Final = pl.lit(None, dtype=pl.Int64)
NO_TEXT: Final = pl.lit(None, dtype=pl.String)

SHAPES: Final = 256
"""Combinations of columns whose expressions are kept; beyond, they are made again."""


class Given:
    """The columns that are there."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def any(self, *names: str) -> bool:
        """Return whether one of `names` is there."""
        return not self.names.isdisjoint(names)

    def number(self, name: str) -> pl.Expr:
        """Return the column `name`, or nulls of its type."""
        return pl.col(name) if name in self.names else NO_NUMBER

    def text(self, name: str) -> pl.Expr:
        """Return the column `name`, or nulls of its type."""
        return pl.col(name) if name in self.names else NO_TEXT

    def first_text(self, *names: str) -> pl.Expr:
        """Return the first of the columns that is not null."""
        held = [pl.col(name) for name in names if name in self.names]
        return pl.coalesce(held) if held else NO_TEXT

    def sum(self, *names: str) -> pl.Expr:
        """Return the sum of the columns, where a null is 0; null where all of them are."""
        held = [pl.col(name) for name in names if name in self.names]
        if len(held) < 2:
            return held[0] if held else NO_NUMBER
        total = reduce(lambda one, other: one + other, (column.fill_null(0) for column in held))
        return pl.when(pl.any_horizontal(column.is_not_null() for column in held)).then(total)


def apply(frame: _Frame, steps: Sequence[Step]) -> _Frame:
    """Return `frame` with the columns of all steps."""
    for step in steps:
        frame = frame.with_columns(**step)
    return frame
