"""Priced spans in, the few columns that decisions are made from out: one row per distinct span.

A priced span has a hundred columns, most of them empty. What is decided of a set looks at a third
of them; the rest is fetched once, for the rows that are stored.
"""

import numpy as np
import polars as pl
import pyarrow.compute as pc

from farebox_processor.extra_dimensions import spread
from farebox_processor.frames import DIMENSIONS, TOKENS
from farebox_processor.rollup.tree import Index
from farebox_processor.usage_calls import was_refused
from farebox_processor.verdicts import CONVERSATION_STATUS_ORDER, Reason, Uncertainty

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
    told = priced.select(
        *_AS_THEY_ARE,
        *(pl.col(name).fill_null(False) for name in _FLAGS),
        *what_is_called(),
        quantities_told=_quantities_told(priced),
        trust=_trust(),
        is_failed=was_refused() & ~pl.col("has_usage").fill_null(False),
        is_replayed=(pl.col("cost_reason") == Reason.RESPONSE_CACHE_HIT).fill_null(False),
        is_short=pl.col("uncertainty").list.contains(Uncertainty.CALLS_UNREPORTED).fill_null(False),
    ).with_columns(spread(priced["dimensions"]))
    return told[order["at"]].with_columns(
        order["at"],
        order["trace"],
        row=pl.int_range(pl.len(), dtype=pl.Int64),
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
    tenant, trace = (ranks_of(priced[name]) for name in ("tenant", "trace_id"))
    keys = priced.select(
        "span_id",
        *_VERSION,
        "started_at",
        at=pl.int_range(pl.len(), dtype=pl.UInt32),
        trace=pl.Series(tenant * priced.height + trace),
        span=pl.col("span_id").hash(),
    )
    if keys["span"].n_unique() < keys.height:
        keys = keys.sort(_VERSION).unique(["trace", "span_id"], keep="last")
    in_order = keys.drop("span_id").sort("trace", "started_at", "content_hash", "span")
    return in_order.select("at", trace=pl.col("trace").rle_id())


def ranks_of(texts: pl.Series) -> Index:
    """Number texts by their order, equal ones alike, null as -1; sorts the different ones."""
    encoded = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    # One more rank, for nulls: the last one, which index -1 leads to.
    ranks = np.full(len(order) + 1, -1, dtype=np.int64)
    ranks[order] = np.arange(len(order))
    numbered: Index = ranks[pc.fill_null(encoded.indices, -1).to_numpy()]
    return numbered


def _total(names: list[str]) -> pl.Expr:
    """Sum the quantities a span reports; null if it reports none of them."""
    some = pl.any_horizontal(pl.col(name).is_not_null() for name in names)
    return pl.when(some).then(pl.sum_horizontal(names))


def _quantities_told(priced: pl.DataFrame) -> pl.Expr:
    told = [name for name in TOKENS if priced[name].null_count() < priced.height]
    tokens = pl.sum_horizontal(pl.lit(0, pl.UInt32), *(pl.col(name).is_not_null() for name in told))
    return tokens + pl.col("units").list.len().fill_null(0)


def _trust() -> pl.Expr:
    """Rank the verdicts: the higher the better."""
    ranks = {str(status): rank for rank, status in enumerate(CONVERSATION_STATUS_ORDER)}
    return pl.col("cost_status").replace_strict(ranks, default=-1, return_dtype=pl.Int8)
