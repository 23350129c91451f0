"""Calls in, the same calls out as attempts of requests: first try, retry, fallback.

Attempts of one request stand under one parent, one after another, and all but the last failed.
"""

import numpy as np
import polars as pl

from farebox_processor.rollup.tree import Tree

__all__ = ["link_attempts"]

_SIBLINGS = ["trace", "asked_by", "call_kind"]


def link_attempts(calls: pl.DataFrame, facts: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `calls` with attempt, retry_of and fallback_from; rejected candidates have none."""
    place = pl.int_range(pl.len())
    tried = (
        calls.lazy()
        .with_columns(
            attempted_model=pl.coalesce("subject", "request_model"),
            asked_by=_asked_by(calls, facts, tree),
        )
        .filter(
            pl.col("rejected_as").is_null()
            & pl.col("call_kind").is_in(["inference", "embeddings", "rerank"])
        )
        .sort(*_SIBLINGS, "started_at", "span_id")
        .with_columns(continues=_continues())
        .with_columns(first=pl.when(~pl.col("continues")).then(place).forward_fill())
        .select(
            "row",
            attempt=(place - pl.col("first") + 1).cast(pl.UInt16),
            retry_of=pl.when("continues").then(pl.col("span_id").shift()),
            fallback_from=pl.when(
                pl.col("continues")
                & pl.col("attempted_model").shift().ne_missing(pl.col("attempted_model"))
            ).then(pl.col("attempted_model").shift()),
        )
    )
    return (
        calls.lazy()
        .join(tried, on="row", how="left", maintain_order="left")
        .collect(engine="in-memory")
    )


def _continues() -> pl.Expr:
    """Tell whether the row before is a failed attempt of the same request that had ended."""
    # Nulls compare equal: the roots of one trace are siblings too.
    siblings = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift()) for name in _SIBLINGS
    )
    failed_before = pl.col("is_error").shift().fill_null(False)
    ended_before = pl.col("ended_at").shift() <= pl.col("started_at")
    return (siblings & failed_before & ended_before).fill_null(False)


def _asked_by(calls: pl.DataFrame, facts: pl.DataFrame, tree: Tree) -> pl.Series:
    """Return the parent of each request: above the wrappers and twins that stand around a call."""
    rows = calls["row"].to_numpy().astype(np.int64)
    is_call = np.zeros(len(tree.parent), dtype=bool)
    is_call[rows] = (calls["call_kind"] != "agent").to_numpy()
    return facts["parent_span_id"].gather(pl.Series(tree.topmost(is_call)[rows], dtype=pl.UInt32))
