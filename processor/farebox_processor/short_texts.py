"""A frame in, the same with overlong texts cut: live traces are bounded by spans alone."""

from typing import Final

import polars as pl

__all__ = ["LONGEST_TEXT", "cut_texts"]

LONGEST_TEXT: Final = 1024
"""Characters of a model, a user, an id of a response that are kept of a span."""


def cut_texts(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return `frame` with texts of at most LONGEST_TEXT characters, and how many were cut."""
    # One query for all of them: a query costs more than to look at a column.
    longest = frame.select(pl.col(pl.String).str.len_bytes().max()).row(0, named=True)
    columns, cut = frame.get_columns(), 0
    for place, column in enumerate(columns):
        if (longest.get(column.name) or 0) <= LONGEST_TEXT:
            continue
        cut += int((column.str.len_chars() > LONGEST_TEXT).sum())
        # Written anew: what is cut off would stay in memory as long as what is left.
        kept = column.str.head(LONGEST_TEXT).to_arrow(compat_level=pl.CompatLevel.oldest())
        columns[place] = pl.Series(column.name, kept)
    return pl.DataFrame(columns), cut
