"""Values of rows of traces in, the different ones of each trace out, sorted."""

import numpy as np
import polars as pl

from farebox_processor.attribute_maps import lists_of, offsets_of
from farebox_processor.rollup.facts import ranks_of
from farebox_processor.rollup.tree import Index

__all__ = ["count_different", "list_different"]


def count_different(traces: int, of: pl.Series, values: pl.Series) -> pl.Series:
    """Return how many different values the rows of each trace have; `of` is the trace of a row."""
    trace, _ = _different(traces, of, values)
    return pl.Series(values.name, np.bincount(trace, minlength=traces), dtype=pl.UInt32)


def list_different(traces: int, of: pl.Series, values: pl.Series) -> pl.Series:
    """Return the different values that the rows of each trace have, sorted."""
    trace, rows = _different(traces, of, values)
    return lists_of(values[pl.Series(rows, dtype=pl.UInt32)], offsets_of(trace, traces))


def _different(traces: int, of: pl.Series, values: pl.Series) -> tuple[Index, Index]:
    """Return, sorted, the trace of each different value and a row that has the value."""
    ranks = ranks_of(values)
    count = int(ranks.max(initial=-1)) + 1
    rows = np.flatnonzero(ranks >= 0)
    ranks = ranks[rows]
    pairs = of.to_numpy()[rows] * count + ranks
    # The rows of a trace lie together and mostly say the same: few pairs are left to sort. (To
    # sort is quicker here than numpy.unique, which hashes.)
    pairs = _without_runs(np.sort(_without_runs(pairs)))
    row_of_rank = np.empty(count, dtype=np.int64)
    row_of_rank[ranks] = rows
    trace, rank = np.divmod(pairs, max(count, 1))
    return trace, row_of_rank[rank]


def _without_runs(numbers: Index) -> Index:
    """Leave out what equals the number before it."""
    is_other = np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]
    different: Index = numbers[is_other]
    return different
