"""Calls and traces in, the rows that are stored out: `calls` and `traces` of ClickHouse."""

import polars as pl

from farebox_processor.frames import CALLS, DIMENSIONS, MONEY, TOKENS, TRACES
from farebox_processor.verdicts import CostStatus

__all__ = ["call_rows", "trace_rows"]

_INHERITED = [*DIMENSIONS, "outcome"]
_FROM_TRACE = ["conversation_id", "spans_in_set", "version_revision", *_INHERITED]
_SUMMED = {"candidates", "calls", "turns", *TOKENS} | {
    f"{what}_calls" for what in ("billed", "rejected", "failed", "unpriced")
}
_TOOL_KINDS = ["tool", "retrieval", "rerank", "gpu"]


def call_rows(calls: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `calls` (frames.CALLS and `trace`), with what they have from their trace.

    Wants the traces numbered by `trace`.
    """
    of_trace = traces.sort("trace").select(pl.col(_FROM_TRACE).gather(calls["trace"]))
    # Candidates are in the order of their rows: the place of a row is found by bisection.
    place = calls["row"].search_sorted(calls["instead"].fill_null(0))
    place = pl.select(pl.when(calls["instead"].is_not_null()).then(place)).to_series()
    billed = pl.col("rejected_as").is_null() & ~pl.col("is_failed")
    return (
        calls.lazy()
        .with_columns(
            of_trace["conversation_id"],
            of_trace["spans_in_set"],
            of_trace["version_revision"].alias("rating_revision"),
            *(pl.coalesce(pl.col(name), of_trace[name]).alias(name) for name in _INHERITED),
            billed_instead_trace_id=pl.col("trace_id").gather(place),
            billed_instead=pl.col("span_id").gather(place),
            billed=billed,
            is_waste=billed & pl.col("is_error").fill_null(False),
        )
        .select("trace", *(pl.col(name).cast(dtype) for name, dtype in CALLS.items()))
        .collect()
    )


def trace_rows(spans: pl.DataFrame, traces: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `traces` (frames.TRACES) from the spans, identities and call rows."""
    of_spans = (
        spans.lazy()
        .group_by("trace")
        .agg(
            pl.col("started_at").min(),
            pl.col("ended_at").max(),
            pl.col("conversation_ended").fill_null(False).any(),
            spans=pl.len().cast(pl.UInt64),
        )
    )
    summed = calls.lazy().group_by("trace").agg(*_counts(), *_sums())
    billed = calls.lazy().filter("billed")
    is_model = ~pl.col("call_kind").is_in(["tool", "retrieval"])
    return (
        traces.lazy()
        .join(of_spans, on="trace", how="left")
        .join(summed, on="trace", how="left")
        .join(_different(spans.lazy(), turn_ids="turn_id"), on="trace", how="left")
        .join(_different(billed, cost_statuses="cost_status"), on="trace", how="left")
        .join(_different(billed.filter(is_model), models="model"), on="trace", how="left")
        .join(
            _different(billed.select("trace", "blind_to").explode("blind_to"), blind_to="blind_to"),
            on="trace",
            how="left",
        )
        .with_columns(
            pl.col(name).fill_null(0)
            for name, dtype in TRACES.items()
            if dtype.is_integer() and name in _SUMMED
        )
        .with_columns(_turns(), *_money(), rating_revision=pl.col("version_revision"))
        .select(pl.col(name).cast(dtype) for name, dtype in TRACES.items())
        .sort("tenant", "trace_id")
        .collect()
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


def _different(frame: pl.LazyFrame, **named: str) -> pl.LazyFrame:
    """List the different values of a column per trace, sorted, under the name given."""
    [(name, column)] = named.items()
    return (
        frame.select("trace", pl.col(column).alias(name))
        .drop_nulls()
        .unique()
        .sort("trace", name)
        .group_by("trace", maintain_order=True)
        .agg(name)
    )


def _turns() -> pl.Expr:
    """Count the turns without an id: where ids are given they alone count."""
    at_least = pl.max_horizontal("turns", (pl.col("billed_calls") > 0).cast(pl.UInt64))
    return (
        pl.when(pl.col("turn_ids").list.len().fill_null(0) == 0)
        .then(at_least)
        .otherwise(0)
        .alias("turns")
    )


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
        *(
            pl.col(name).fill_null([])
            for name in ("cost_statuses", "blind_to", "models", "turn_ids")
        ),
        # All that went in, cached or not, and all that came out.
        pl.sum_horizontal(name for name in TOKENS if name != "reasoning_tokens").alias(
            "total_tokens"
        ),
    ]
