"""Calls in, the same calls out as attempts of requests: first try, retry, fallback.

Attempts of one request stand under one parent, one after another, and all but the last failed.
"""

import polars as pl

__all__ = ["link_attempts"]

_SIBLINGS = ["tenant", "trace_id", "parent_span_id", "call_kind"]


def link_attempts(calls: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with attempt, retry_of and fallback_from; rejected candidates have none."""
    before = {
        name: pl.col(name).shift(1).over(_SIBLINGS)
        for name in ("is_error", "ended_at", "span_id", "model", "attempted_model")
    }
    tried = (
        calls.filter(
            pl.col("rejected_as").is_null()
            & pl.col("call_kind").is_in(["inference", "embeddings", "rerank"])
        )
        .with_columns(attempted_model=pl.coalesce("priced_model", "request_model", "model"))
        .sort("started_at", "span_id")
        .with_columns(
            # Nulls compare equal here: the roots of one trace are siblings too.
            continues=(before["is_error"] & (before["ended_at"] <= pl.col("started_at")))
            .fill_null(False)
        )
        .with_columns(request=(~pl.col("continues")).cum_sum().over(_SIBLINGS))
        .select(
            "row",
            attempt=pl.int_range(1, pl.len() + 1, dtype=pl.UInt16).over(*_SIBLINGS, "request"),
            retry_of=pl.when("continues").then(before["span_id"]),
            fallback_from=pl.when(
                pl.col("continues")
                & before["attempted_model"].ne_missing(pl.col("attempted_model"))
            ).then(before["attempted_model"]),
        )
    )
    return calls.join(tried, on="row", how="left", maintain_order="left")
