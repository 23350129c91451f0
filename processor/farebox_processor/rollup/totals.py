"""Calls and traces in, the rows that are stored out: `calls` and `traces` of ClickHouse."""

import polars as pl

from farebox_processor.extra_dimensions import columns_of, mapped
from farebox_processor.frames import CALLS, DIMENSIONS, MONEY, TOKENS, TRACES
from farebox_processor.rollup.different import list_different
from farebox_processor.verdicts import CostStatus

__all__ = ["call_rows", "trace_rows"]

_INHERITED = [*DIMENSIONS, "outcome"]
_VERSION = ["rating_revision", "spans_in_set", "own_version", "set_version"]
_FROM_TRACE = ["conversation_id", *_VERSION, *_INHERITED]
_COUNTED = [
    "candidates",
    "calls",
    "billed_calls",
    "rejected_calls",
    "failed_calls",
    "unpriced_calls",
    "turns",
]
_AMOUNTS = [
    "cost_usd",
    "exact_cost_usd",
    "cost_low_usd",
    "cost_high_usd",
    "tool_cost_usd",
    "waste_usd",
    "supplied_cost_usd",
]
_TOOL_KINDS = ["tool", "retrieval", "rerank", "gpu"]


def call_rows(
    candidates: pl.DataFrame,
    traces: pl.DataFrame,
    priced: pl.DataFrame,
    completed: pl.DataFrame,
) -> pl.DataFrame:
    """Return the rows of `calls` (frames.CALLS and `trace`): what was decided beside what was said.

    Wants the traces in the order of their numbers; `completed` are priced spans, with `row`, that
    take the place of what `priced` says.
    """
    extra = columns_of(traces)
    of_trace = traces.select(pl.col([*_FROM_TRACE, *extra]).gather(candidates["trace"]))
    dimensions = mapped(
        candidates.select(pl.coalesce(pl.col(name), of_trace[name]).alias(name) for name in extra)
    )
    # Candidates are in the order of their rows: the place of a row is found by bisection.
    place = candidates["row"].search_sorted(candidates["instead"].fill_null(0))
    place = pl.select(pl.when(candidates["instead"].is_not_null()).then(place)).to_series()
    billed = pl.col("rejected_as").is_null() & ~pl.col("is_failed")
    decided = (
        candidates.lazy()
        .select(
            "row",
            "trace",
            "rejected_as",
            "attempt",
            "retry_of",
            "fallback_from",
            "turn",
            "is_failed",
            *(of_trace[name] for name in ("conversation_id", *_VERSION)),
            *(pl.coalesce(pl.col(name), of_trace[name]).alias(name) for name in _INHERITED),
            dimensions,
            billed_instead_trace_id=pl.col("trace_id").gather(place),
            billed_instead=pl.col("span_id").gather(place),
            billed=billed,
            is_waste=billed & pl.col("is_error"),
        )
        .collect(engine="in-memory")
    )
    said = _said(candidates, priced, completed, [name for name in CALLS if name not in decided])
    return pl.concat([said, decided], how="horizontal").select("trace", *CALLS)


def _said(
    candidates: pl.DataFrame, priced: pl.DataFrame, completed: pl.DataFrame, names: list[str]
) -> pl.DataFrame:
    """Fetch what the candidates say of themselves. Columns without any value are not carried."""
    empty = {name for name in names if priced[name].null_count() == priced.height}
    carried = [name for name in names if name not in empty or not completed.is_empty()]
    said = priced.select(pl.col(carried).gather(candidates["at"]))
    if not completed.is_empty():
        said = said.with_columns(candidates["row"]).update(
            completed.select("row", *carried), on="row", include_nulls=True
        )
    nulls = (pl.lit(None, dtype=CALLS[name]).alias(name) for name in names if name not in carried)
    return said.with_columns(*nulls).select(names)


def trace_rows(facts: pl.DataFrame, traces: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `traces` (frames.TRACES) from facts, identities and call rows.

    Wants the traces in the order of their numbers, with the times of their spans.
    """
    tokens = [name for name in TOKENS if calls[name].null_count() < calls.height]
    counted = calls.lazy().group_by("trace").agg(*_counts())
    billed = calls.lazy().filter("billed").with_columns(*_amounts())
    summed = billed.group_by("trace").agg(*_sums(tokens))
    return (
        traces.lazy()
        .join(counted, on="trace", how="left", maintain_order="left")
        .join(summed, on="trace", how="left", maintain_order="left")
        .with_columns(pl.col(*_COUNTED, *tokens).fill_null(0))
        .with_columns(
            *_lists(facts, calls, traces.height),
            *(pl.lit(0, pl.Int64).alias(name) for name in TOKENS if name not in tokens),
        )
        .with_columns(_turns(), mapped(traces.select(columns_of(traces))), *_money())
        .select(pl.col(name).cast(dtype) for name, dtype in TRACES.items())
        .collect(engine="in-memory")
    )


def _lists(facts: pl.DataFrame, calls: pl.DataFrame, traces: int) -> list[pl.Series]:
    """List the different turns, verdicts, models and blind spots of each trace."""
    billed = calls.select("trace", "billed", "call_kind", "model", "cost_status", "blind_to")
    billed = billed.filter("billed")
    of_models = billed.filter(~pl.col("call_kind").is_in(["tool", "retrieval"]))
    blind = billed.select("trace", "blind_to").explode("blind_to")
    return [
        list_different(traces, facts["trace"], facts["turn_id"]).alias("turn_ids"),
        list_different(traces, billed["trace"], billed["cost_status"]).alias("cost_statuses"),
        list_different(traces, of_models["trace"], of_models["model"]).alias("models"),
        list_different(traces, blind["trace"], blind["blind_to"]).alias("blind_to"),
    ]


def _counts() -> list[pl.Expr]:
    return [
        pl.len().alias("candidates"),
        pl.col("rejected_as").is_null().sum().alias("calls"),
        pl.col("billed").sum().alias("billed_calls"),
        pl.col("rejected_as").is_not_null().sum().alias("rejected_calls"),
        (pl.col("rejected_as").is_null() & pl.col("is_error")).sum().alias("failed_calls"),
        (pl.col("billed") & pl.col("cost_usd").is_null()).sum().alias("unpriced_calls"),
        pl.col("turn").max().cast(pl.UInt64).alias("turns"),
    ]


def _amounts() -> list[pl.Expr]:
    """Split what a billed call cost into what is summed of it."""
    exact = pl.col("cost_status") == CostStatus.EXACT
    is_tool = pl.col("call_kind").is_in(_TOOL_KINDS)
    return [
        pl.when(exact).then("cost_usd").alias("exact_cost_usd"),
        pl.when(is_tool).then("cost_usd").otherwise("units_cost_usd").alias("tool_cost_usd"),
        pl.when("is_waste").then("cost_usd").alias("waste_usd"),
    ]


def _sums(tokens: list[str]) -> list[pl.Expr]:
    return [
        pl.col(*tokens, *_AMOUNTS).sum(),
        pl.col("cost_usd").count().alias("priced"),
        pl.col("cost_high_usd").null_count().alias("unbounded"),
        pl.col("supplied_cost_usd").count().alias("supplied"),
    ]


def _turns() -> pl.Expr:
    """Count the turns without an id: where ids are given they alone count."""
    at_least = pl.max_horizontal("turns", (pl.col("billed_calls") > 0).cast(pl.UInt64))
    return pl.when(pl.col("turn_ids").list.len() == 0).then(at_least).otherwise(0).alias("turns")


def _money() -> list[pl.Expr]:
    """Say null for unknown: nothing priced though billed, no upper bound, nothing supplied."""
    zero = pl.lit(0).cast(MONEY)
    known = (pl.col("priced") > 0) | (pl.col("billed_calls") == 0)
    bounded = pl.col("unbounded").fill_null(0) == 0
    some = pl.col("supplied").fill_null(0) > 0
    return [
        pl.when(known).then(pl.col("cost_usd").fill_null(zero)).alias("cost_usd"),
        pl.when(bounded).then(pl.col("cost_high_usd").fill_null(zero)).alias("cost_high_usd"),
        pl.when(some).then("supplied_cost_usd").alias("supplied_cost_usd"),
        *(
            pl.col(name).fill_null(zero)
            for name in ("exact_cost_usd", "cost_low_usd", "tool_cost_usd", "waste_usd")
        ),
        # All that went in, cached or not, and all that came out.
        pl.sum_horizontal(name for name in TOKENS if name != "reasoning_tokens").alias(
            "total_tokens"
        ),
    ]
