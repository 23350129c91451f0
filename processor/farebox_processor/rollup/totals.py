"""Calls and traces in, the rows that are stored out: `calls` and `traces` of ClickHouse."""

import polars as pl

from farebox_processor.frames import CALLS, DIMENSIONS, MONEY, TOKENS, TRACES
from farebox_processor.verdicts import CostStatus

__all__ = ["call_rows", "trace_rows"]

_TRACE = ["tenant", "trace_id"]
_TOOL_KINDS = ["tool", "retrieval", "rerank", "gpu"]


def call_rows(calls: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `calls` (frames.CALLS), with their trace's conversation and dimensions."""
    billed_spans = calls.select(
        instead="row", billed_instead_trace_id="trace_id", billed_instead="span_id"
    )
    of_trace = traces.select(
        *_TRACE,
        "conversation_id",
        "version_revision",
        "spans_in_set",
        *(pl.col(name).alias(f"trace_{name}") for name in (*DIMENSIONS, "outcome")),
    )
    billed = pl.col("rejected_as").is_null() & ~pl.col("is_failed")
    return (
        calls.drop("conversation_id")
        .join(billed_spans, on="instead", how="left", maintain_order="left")
        .join(of_trace, on=_TRACE, how="left", maintain_order="left")
        .with_columns(
            *(
                pl.coalesce(name, f"trace_{name}").alias(name)
                for name in (*DIMENSIONS, "outcome")
            ),
            rating_revision=pl.col("version_revision"),
            billed=billed,
            is_waste=billed & pl.col("is_error").fill_null(False),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in CALLS.items())
    )


def trace_rows(spans: pl.DataFrame, traces: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `traces` (frames.TRACES) from the spans, identities and call rows."""
    of_spans = spans.group_by(_TRACE).agg(
        pl.col("started_at").min(),
        pl.col("ended_at").max(),
        pl.col("conversation_ended").fill_null(False).any(),
        spans=pl.len().cast(pl.UInt64),
        turn_ids=pl.col("turn_id").drop_nulls().unique().sort(),
    )
    summed = calls.group_by(_TRACE).agg(*_counts(), *_sums(), *_lists())
    return (
        traces.join(of_spans, on=_TRACE, how="left")
        .join(summed, on=_TRACE, how="left")
        .with_columns(
            pl.col(name).fill_null(0) for name in TRACES if TRACES[name] in (pl.UInt64(), pl.Int64())
        )
        .with_columns(_turns(), *_money(), rating_revision=pl.col("version_revision"))
        .select(pl.col(name).cast(dtype) for name, dtype in TRACES.items())
        .sort(_TRACE)
    )


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


def _sums() -> list[pl.Expr]:
    billed = pl.col("billed")
    priced = billed & pl.col("cost_usd").is_not_null()
    exact = priced & (pl.col("cost_status") == CostStatus.EXACT)
    is_tool = pl.col("call_kind").is_in(_TOOL_KINDS)
    tool_cost = pl.when(is_tool).then("cost_usd").otherwise("units_cost_usd")
    sums = {
        "cost_usd": pl.col("cost_usd").filter(priced),
        "exact_cost_usd": pl.col("cost_usd").filter(exact),
        "cost_low_usd": pl.col("cost_low_usd").filter(billed),
        "cost_high_usd": pl.col("cost_high_usd").filter(billed),
        "tool_cost_usd": tool_cost.filter(billed),
        "waste_usd": pl.col("cost_usd").filter(billed & pl.col("is_waste")),
        "supplied_cost_usd": pl.col("supplied_cost_usd").filter(billed),
    }
    return [
        *(pl.col(name).filter(billed).sum().alias(name) for name in TOKENS),
        *(amounts.sum().cast(MONEY).alias(name) for name, amounts in sums.items()),
        priced.sum().alias("priced"),
        (billed & pl.col("cost_high_usd").is_null()).sum().alias("unbounded"),
        pl.col("supplied_cost_usd").filter(billed).count().alias("supplied"),
    ]


def _lists() -> list[pl.Expr]:
    billed = pl.col("billed")
    model = pl.coalesce("model", "tool_name")
    is_model = billed & ~pl.col("call_kind").is_in(["tool", "retrieval"])
    return [
        pl.col("cost_status").filter(billed).drop_nulls().unique().sort().alias("cost_statuses"),
        pl.col("blind_to").filter(billed).explode().drop_nulls().unique().sort().alias("blind_to"),
        model.filter(is_model).drop_nulls().unique().sort().alias("models"),
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
        *(pl.col(name).fill_null([]) for name in ("cost_statuses", "blind_to", "models")),
        # All that went in, cached or not, and all that came out.
        pl.sum_horizontal(name for name in TOKENS if name != "reasoning_tokens").alias(
            "total_tokens"
        ),
    ]
