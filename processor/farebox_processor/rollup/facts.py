"""Priced spans in, the few columns that decisions are made from out: one row per distinct span.

A priced span has a hundred columns, most of them empty. What is decided of a set looks at a third
of them; the rest is fetched once, for the rows that are stored.
"""

import polars as pl

from farebox_processor.frames import DIMENSIONS, TOKENS
from farebox_processor.verdicts import CONVERSATION_STATUS_ORDER

__all__ = ["EQUAL_CALL", "facts_of", "ranks_of", "what_is_called"]

EQUAL_CALL = ("tenant", "service_name", "call_kind", "subject")
"""What two records of one call have in common, beside the totals of what went in and out."""

_AS_THEY_ARE = (
    "tenant",
    "trace_id",
    "span_id",
    "parent_span_id",
    "scope_name",
    "started_at",
    "ended_at",
    "conversation_id",
    "resource_conversation_id",
    "turn_id",
    *DIMENSIONS,
    "outcome",
    "call_kind",
    "request_model",
    "response_id",
    "rating_revision",
    "end_unix_nano",
    "content_hash",
)
_FLAGS = ("candidate", "conversation_ended", "has_usage", "is_error", "ends_in_tool_call")
_INPUT = [name for name in TOKENS if name.startswith(("input", "cache"))]
_OUTPUT = [name for name in TOKENS if name.startswith("output")]
_VERSION = ["rating_revision", "end_unix_nano", "content_hash"]


def facts_of(priced: pl.DataFrame) -> pl.DataFrame:
    """Return the facts of each distinct span, `row` by row, the spans of a trace in one piece.

    Of conflicting spans the one with the latest version counts, as in the table `spans`: rating
    revision, end time, content. Traces are numbered by `trace` from 0; `at` is the span's row in
    `priced`. Rows are in an order of content: tenant, trace, start, content.
    """
    order = _order(priced)
    return (
        priced.lazy()
        .select(
            *_AS_THEY_ARE,
            *(pl.col(name).fill_null(False) for name in _FLAGS),
            *what_is_called(),
            quantities_told=_quantities_told(),
            trust=_trust(),
        )
        .select(pl.all().gather(order["at"]))
        .with_columns(
            order["at"],
            order["trace"],
            row=pl.int_range(pl.len(), dtype=pl.Int64),
            is_failed=pl.col("is_error") & ~pl.col("has_usage"),
        )
        .collect(engine="in-memory")
    )


def what_is_called() -> tuple[pl.Expr, ...]:
    """Return `subject`, what a call was for, and the totals of what went in and came out."""
    return (
        pl.coalesce("priced_model", "model", "tool_name").alias("subject"),
        _total(_INPUT).alias("input_total"),
        _total(_OUTPUT).alias("output_total"),
    )


def _order(priced: pl.DataFrame) -> pl.DataFrame:
    """Return `at` and `trace` of the spans that count, in order; only numbers are sorted."""
    keys = priced.select(
        "span_id",
        *_VERSION,
        "started_at",
        at=pl.int_range(pl.len(), dtype=pl.UInt32),
        tenant=ranks_of(priced["tenant"]),
        trace=ranks_of(priced["trace_id"]),
        span=pl.col("span_id").hash(),
    )
    if keys.select("tenant", "trace", "span_id").is_duplicated().any():
        keys = keys.sort(_VERSION).unique(["tenant", "trace", "span_id"], keep="last")
    return keys.sort("tenant", "trace", "started_at", "content_hash", "span").select(
        "at", trace=pl.struct("tenant", "trace").rle_id()
    )


def ranks_of(texts: pl.Series) -> pl.Series:
    """Number texts by their order, equal ones alike, null as null; sorts the different ones."""
    encoded = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    different = pl.Series(encoded.dictionary, dtype=pl.String)
    return (different.rank("ordinal") - 1).gather(pl.Series(encoded.indices).cast(pl.UInt32))


def _total(names: list[str]) -> pl.Expr:
    """Sum the quantities a span reports; null if it reports none of them."""
    some = pl.any_horizontal(pl.col(name).is_not_null() for name in names)
    return pl.when(some).then(pl.sum_horizontal(names))


def _quantities_told() -> pl.Expr:
    tokens = pl.sum_horizontal(pl.col(name).is_not_null() for name in TOKENS)
    return tokens + pl.col("units").list.len().fill_null(0)


def _trust() -> pl.Expr:
    """Rank the verdicts: the higher the better."""
    ranks = {str(status): rank for rank, status in enumerate(CONVERSATION_STATUS_ORDER)}
    return pl.col("cost_status").replace_strict(ranks, default=-1, return_dtype=pl.Int8)
