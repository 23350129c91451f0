"""Calls in, the same calls out as attempts of requests: first try, retry, fallback.

Attempts of one request stand under one parent, one after another, and all but the last failed.
"""

import numpy as np
import polars as pl

from farebox_processor.rollup.tree import Tree

__all__ = ["link_attempts"]

_SIBLINGS = ["trace", "asked_by", "call_kind"]
_TRIED = ["inference", "embeddings", "rerank"]


def link_attempts(calls: pl.DataFrame, facts: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `calls` with attempt, retry_of and fallback_from; rejected candidates have none."""
    is_tried = pl.col("rejected_as").is_null() & pl.col("call_kind").is_in(_TRIED)
    place = pl.int_range(pl.len(), dtype=pl.UInt32)
    calls = calls.with_columns(attempt=pl.when(is_tried).then(pl.lit(1, pl.UInt16)))
    tried = calls.select(
        *("trace", "call_kind", "started_at", "ended_at", "span_id", "is_error", "attempt"),
        attempted_model=pl.coalesce("subject", "request_model"),
        place=place,
    ).filter(pl.col("attempt").is_not_null())
    if not tried["is_error"].any():
        nothing = pl.lit(None, pl.String)
        return calls.with_columns(retry_of=nothing, fallback_from=nothing)
    asked_by = _asked_by(calls, facts, tree).gather(tried["place"])
    retries = _retries(tried.with_columns(asked_by=asked_by))
    return (
        calls.with_columns(place=place)
        .update(retries.select("place", "attempt"), on="place")
        .join(retries.drop("attempt"), on="place", how="left", maintain_order="left")
        .drop("place")
    )


def _retries(tried: pl.DataFrame) -> pl.DataFrame:
    """Return attempt, retry_of and fallback_from of the tries that are not the first, by place."""
    number = pl.int_range(pl.len())
    model_before = pl.col("attempted_model").shift()
    return (
        # Nothing goes on where nothing has failed.
        tried.join(
            tried.filter("is_error").select(_SIBLINGS),
            on=_SIBLINGS,
            how="semi",
            nulls_equal=True,
        )
        .sort(*_SIBLINGS, "started_at", "span_id")
        .with_columns(continues=_continues())
        .select(
            "place",
            "continues",
            attempt=number - pl.when(~pl.col("continues")).then(number).forward_fill() + 1,
            retry_of=pl.col("span_id").shift(),
            fallback_from=pl.when(model_before.ne_missing(pl.col("attempted_model"))).then(
                model_before
            ),
        )
        .filter("continues")
        .select("place", pl.col("attempt").cast(pl.UInt16), "retry_of", "fallback_from")
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
