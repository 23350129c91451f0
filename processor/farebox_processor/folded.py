"""Columns of which most repeat from row to row in, what follows from them out: worked out once.

Spans are many; the combinations of scope, operation, model, finish reason and the other words on
them are a handful. Those columns are kept once per combination, and an expression over nothing
else is worked out there, whoever writes it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Codes", "Folded", "combine", "concat", "gathered"]

Codes: TypeAlias = tuple[npt.NDArray[Any], int]
"""A number per row, and what all of them are smaller than."""

_HEIGHT: Final = ""
"""A column of nothing: a frame without columns forgets how many rows it has."""

_LARGEST_CODE: Final = 2**62


@dataclass(frozen=True, slots=True)
class Folded:
    """A frame in two: columns by row, and columns by combination of words.

    A column may stand in both; then they say the same.
    """

    rows: pl.DataFrame
    """One row per span."""
    words: pl.DataFrame
    """One row per combination."""
    group: pl.Series
    """UInt32: the row of `words` of each span."""

    @classmethod
    def of(cls, rows: pl.DataFrame, words: pl.DataFrame, group: pl.Series) -> "Folded":
        """Return a frame whose halves keep their heights, whatever columns they lose."""
        nothing = pl.Series(_HEIGHT, [None], dtype=pl.Null)
        return cls(
            rows.with_columns(nothing.new_from_index(0, len(group))),
            words.with_columns(nothing.new_from_index(0, words.height)),
            group,
        )

    @property
    def columns(self) -> list[str]:
        """The names of all columns, each once."""
        return [name for name in dict.fromkeys((*self.words.columns, *self.rows.columns)) if name]

    def __getitem__(self, name: str) -> pl.Series:
        """Return a column, by row."""
        if name in self.rows.columns:
            return self.rows[name]
        return self.words[name].gather(self.group)

    def distinct(self, name: str) -> pl.Series:
        """Return the different values of a column."""
        return (self.words if name in self.words.columns else self.rows)[name].unique()

    def with_columns(self, **columns: pl.Expr) -> "Folded":
        """Return the frame with more columns, or others, like pl.DataFrame.with_columns.

        What an expression follows from is told by the columns it names: it holds no Series.
        """
        of_words, of_rows = self._parted(columns)
        words, rows = self.words, self.rows
        if of_words:
            # So few rows are not worth a second processor.
            words = words.with_columns_seq(**of_words)
        if of_rows:
            asked = {root for read in of_rows.values() for root in read.meta.root_names()}
            rows = self._spread(asked).rows.with_columns(**of_rows)
        return Folded(_without(rows, of_words), _without(words, of_rows), self.group)

    def select(self, **columns: pl.Expr) -> "Folded":
        """Return a frame of these columns alone."""
        made = self.with_columns(**columns)
        return made.drop(set(made.columns) - columns.keys())

    def drop(self, names: Collection[str]) -> "Folded":
        """Return a frame without some columns."""
        return Folded(_without(self.rows, names), _without(self.words, names), self.group)

    def filter(self, mask: pl.Series) -> "Folded":
        """Return the rows that are marked, with the combinations that occur among them."""
        kept = self.group.filter(mask)
        group, first = combine([(kept.to_numpy(), self.words.height)], len(kept))
        return Folded(self.rows.filter(mask), self.words[kept.to_numpy()[first]], group)

    def unfold(self) -> pl.DataFrame:
        """Return all columns by row."""
        words = _without(self.words, self.rows.columns)
        return _without(gathered(self.rows, words, self.group), [_HEIGHT])

    def spread_out(self, names: Collection[str]) -> "Folded":
        """Return the same with some columns by row alone, if it has them."""
        mine = [name for name in self.words.columns if name in names]
        return Folded(self._spread(mine).rows, _without(self.words, mine), self.group)

    def _parted(self, columns: dict[str, pl.Expr]) -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
        """Return those that follow from words alone, and the others."""
        known = set(self.words.columns)
        of_words = {
            name: read for name, read in columns.items() if known.issuperset(read.meta.root_names())
        }
        return of_words, {name: columns[name] for name in columns.keys() - of_words.keys()}

    def _spread(self, names: Iterable[str]) -> "Folded":
        """Return the same with some columns of the words by row too."""
        missing = [name for name in names if name not in self.rows.columns]
        if not missing:
            return self
        return Folded(gathered(self.rows, self.words[missing], self.group), self.words, self.group)


def combine(codes: Sequence[Codes], height: int) -> tuple[pl.Series, npt.NDArray[np.int64]]:
    """Return the combination that each row has, numbered from 0, and a row that has each."""
    if not height:
        return pl.Series("group", [], dtype=pl.UInt32), np.empty(0, dtype=np.int64)
    combined, size = np.zeros(height, dtype=np.int64), 1
    for code, below in codes:
        if size > _LARGEST_CODE // below:
            group, first = _numbered(combined)
            combined, size = group.to_numpy().astype(np.int64), len(first)
        combined *= below
        combined += code
        size *= below
    return _numbered(combined)


def _numbered(codes: npt.NDArray[np.int64]) -> tuple[pl.Series, npt.NDArray[np.int64]]:
    """Number the different codes from 0; return the number of each row, and a row of each."""
    rows = pl.DataFrame({"code": codes})
    first = rows.with_row_index("first").unique("code", keep="any")
    group = rows.join(first.with_row_index("group"), on="code", how="left", maintain_order="left")
    return group["group"], first["first"].to_numpy().astype(np.int64)


def concat(parts: Sequence[Folded], places: Sequence[pl.Series]) -> Folded:
    """Return the rows of all parts in one frame, each at its place; what a part lacks is null."""
    by_row = {name for part in parts for name in part.rows.columns if name}
    parts = [part.spread_out(by_row) for part in parts]
    order = pl.concat(places).arg_sort()
    starts = np.cumsum([0, *(part.words.height for part in parts)])
    groups = [part.group + int(start) for part, start in zip(parts, starts, strict=False)]
    return Folded(
        pl.concat([part.rows for part in parts], how="diagonal")[order],
        pl.concat([part.words for part in parts], how="diagonal"),
        pl.concat(groups).gather(order),
    )


def gathered(rows: pl.DataFrame, words: pl.DataFrame, group: pl.Series) -> pl.DataFrame:
    """Return `rows` with the columns of `words`, each row with those of its group.

    A column that says the same everywhere stays one value, with which all that follows is quick.
    """
    same = [column for column in words.get_columns() if column.n_unique() == 1]
    others = _without(words, [column.name for column in same])
    spread = others[group].get_columns() if others.width else []
    return rows.with_columns(*spread, *(pl.lit(column).first() for column in same))


def _without(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    kept = [name for name in frame.columns if name not in names]
    if len(kept) == frame.width:
        return frame
    return frame[kept] if kept else pl.DataFrame()
