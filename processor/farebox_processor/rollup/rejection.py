"""Candidates in, the same candidates out with what is billed and what was rejected for it.

Of twins the one with the best verdict is billed, then the richest, then the deepest. An inference
span around another one for the same model is a wrapper; an aggregate counts only if nothing below
it does. A rejected candidate names the span that was billed instead.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor.rollup.facts import ranks_of
from farebox_processor.rollup.tree import Tree

__all__ = ["choose_winners", "reject_covered"]


def choose_winners(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return `candidates` with the row of the `winner` of each group of `twins`."""
    best = ["has_usage", "trust", "quantities_told", "depth", "started_at"]
    winners = (
        candidates.filter(pl.col("twins").is_duplicated())
        .sort(*best, "trace_id", "span_id", descending=[True] * len(best) + [False, False])
        .unique("twins", keep="first", maintain_order=True)
        .select("twins", winner="row")
    )
    return candidates.join(winners, on="twins", how="left", maintain_order="left").with_columns(
        winner=pl.coalesce("winner", "row")
    )


def reject_covered(candidates: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `candidates` with rejected_as and instead (the row billed instead), null if billed.

    Wants `twins` and `winner`; rows are those of the tree.
    """
    covers = pl.concat([_wrappers(candidates, tree), _aggregates(candidates, tree)])
    covers = pl.concat([covers, _silent_inside(candidates, covers, tree)])
    verdicts = _of_groups(covers, candidates)
    decided = candidates.join(verdicts, on="twins", how="left", maintain_order="left").with_columns(
        rejected_as=pl.coalesce(
            "covered_as", pl.when(pl.col("row") != pl.col("winner")).then(pl.lit("duplicate"))
        ),
        instead=pl.coalesce("by", "winner"),
    )
    return decided.with_columns(instead=_finally_billed(decided)).drop("covered_as", "by")


def _rows(frame: pl.DataFrame) -> npt.NDArray[np.int64]:
    return frame["row"].to_numpy().astype(np.int64)


def _wrappers(candidates: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Find inference spans with another call for the same model below that tells as much."""
    calls = candidates.filter(pl.col("call_kind") == "inference")
    calls = calls.with_columns(subject_code=ranks_of(calls["subject"]).cast(pl.Int64))
    telling, silent = calls.filter("has_usage"), calls.filter(~pl.col("has_usage"))
    return pl.concat(
        [
            _same_subject(calls, telling, tree),
            _same_subject(silent, silent, tree),
        ]
    )


def _same_subject(outer: pl.DataFrame, inner: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Pair outer spans with one below about the same model; no model matches every model."""
    named_outer, named_inner = (frame.drop_nulls("subject_code") for frame in (outer, inner))
    groups = (
        named_outer["subject_code"].to_numpy(),
        named_inner["subject_code"].to_numpy(),
    )
    below = tree.first_below(_rows(named_outer), _rows(named_inner), groups=groups)
    return pl.concat(
        [
            _cover(named_outer, below, "wrapper"),
            _covered_by(outer.filter(pl.col("subject").is_null()), inner, tree, "wrapper"),
            _covered_by(outer, inner.filter(pl.col("subject").is_null()), tree, "wrapper"),
        ]
    )


def _aggregates(candidates: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Find aggregates with a call, or an aggregate that tells something, below them."""
    aggregates = candidates.filter(pl.col("call_kind") == "agent")
    return _covered_by(aggregates, candidates.filter("has_usage"), tree, "aggregate")


def _silent_inside(candidates: pl.DataFrame, covers: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Find calls without usage inside of a billed span that tells their usage."""
    telling = candidates.filter(
        pl.col("has_usage")
        & pl.col("call_kind").is_in(["inference", "agent"])
        & ~pl.col("row").is_in(covers["row"].implode())
    )
    marked = np.zeros(len(tree.enter), dtype=bool)
    marked[_rows(telling)] = True
    silent = candidates.filter(
        ~pl.col("has_usage") & ~pl.col("is_failed") & (pl.col("call_kind") == "inference")
    )
    around = silent.with_columns(by=pl.Series(tree.outermost(marked)[_rows(silent)]))
    told_by = telling.select(by="row", kind="call_kind", told="subject")
    return (
        around.join(told_by, on="by", how="inner")
        .filter((pl.col("kind") == "agent") | pl.col("told").eq_missing(pl.col("subject")))
        .select("row", "by", covered_as=pl.lit("duplicate"))
    )


def _covered_by(
    outer: pl.DataFrame, inner: pl.DataFrame, tree: Tree, covered_as: str
) -> pl.DataFrame:
    return _cover(outer, tree.first_below(_rows(outer), _rows(inner)), covered_as)


def _cover(outer: pl.DataFrame, below: npt.NDArray[np.int64], covered_as: str) -> pl.DataFrame:
    """Pair each outer span with the first inner one below it."""
    return (
        outer.select("row", by=pl.Series(below, dtype=pl.Int64), covered_as=pl.lit(covered_as))
        .filter(pl.col("by") >= 0)
        .cast({"row": pl.Int64, "by": pl.Int64, "covered_as": pl.String})
    )


def _of_groups(covers: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """Turn coverings of spans into coverings of calls; twins do not cover each other."""
    mine = candidates.select("row", "twins")
    theirs = candidates.select(by="row", by_twins="twins", by_winner="winner")
    return (
        covers.join(mine, on="row")
        .join(theirs, on="by")
        .filter(pl.col("twins") != pl.col("by_twins"))
        .sort("row", "by")
        .group_by("twins", maintain_order=True)
        .agg(pl.col("covered_as").first(), by=pl.col("by_winner").first())
    )


def _finally_billed(decided: pl.DataFrame) -> pl.Series:
    """Follow "billed instead" until a span that is billed; null where the span itself is."""
    index = pl.int_range(pl.len(), dtype=pl.Int64)
    numbered = decided.select("row", "rejected_as", "instead", index=index)
    step = numbered.join(
        numbered.select(instead="row", following="index"),
        on="instead",
        how="left",
        maintain_order="left",
    )
    billed = pl.col("rejected_as").is_null()
    hop = step.select(pl.when(billed).then("index").otherwise("following"))
    end = hop.to_series().fill_null(0).to_numpy().astype(np.int64)
    for _ in range(len(end).bit_length() + 1):
        end = end[end]
    rows = _rows(decided)[end] if len(end) else end
    return pl.select(
        pl.when(decided["rejected_as"].is_not_null()).then(pl.Series(rows, dtype=pl.Int64))
    ).to_series()
