"""Trace rows in, one row per conversation out: the view `conversations`, in Polars.

The SQL view is what dashboards read; this is the same rule for files, tests and what is so far
known in memory. A test holds the two against each other.
"""

from datetime import datetime

import polars as pl

from farebox_processor.conversation_life import add_life
from farebox_processor.extra_dimensions import columns_of, mapped, spread
from farebox_processor.frames import DIMENSIONS, MONEY, TOKENS
from farebox_processor.plans import Plans, assign_tiers
from farebox_processor.revenue import add_revenue
from farebox_processor.verdicts import CONVERSATION_STATUS_ORDER, CostStatus

__all__ = ["count_turns", "sum_of_known", "summarise"]

_COUNTS = (
    "spans",
    "candidates",
    "calls",
    "billed_calls",
    "rejected_calls",
    "failed_calls",
    "unpriced_calls",
)
_AMOUNTS = ("exact_cost_usd", "cost_low_usd", "tool_cost_usd", "waste_usd")
_LISTS = ("cost_statuses", "blind_to", "models")


def summarise(traces: pl.DataFrame, plans: Plans, *, as_of: datetime | None = None) -> pl.DataFrame:
    """Sum `traces` (frames.TRACES) up to one row per tenant and conversation, the costliest first.

    Traces that hold no call and name no conversation are nobody's conversation and left out.
    Which are idle is told as of `as_of`; None stands for the latest end of these conversations.
    """
    told = traces.filter((pl.col("candidates") > 0) | (pl.col("conversation_id_source") != "trace"))
    told = told.with_columns(spread(told["dimensions"]))
    extra = columns_of(told)
    summed = (
        told.sort("ended_at", "trace_id")
        .group_by("tenant", "conversation_id", maintain_order=True)
        .agg(
            pl.col("started_at").min(),
            pl.col("ended_at").max(),
            pl.col("conversation_ended").any(),
            pl.col("outcome").drop_nulls().last(),
            *(pl.col(name).drop_nulls().last() for name in (*DIMENSIONS, *extra)),
            *(pl.col(name).sum() for name in (*_COUNTS, *TOKENS, "total_tokens")),
            *(pl.col(name).sum().cast(MONEY) for name in _AMOUNTS),
            *(pl.col(name).explode().drop_nulls().unique().sort() for name in _LISTS),
            traces=pl.len(),
            turns=count_turns(),
            cost_usd=sum_of_known("cost_usd"),
            cost_high_usd=pl.when(pl.col("cost_high_usd").is_not_null().all()).then(
                pl.col("cost_high_usd").sum()
            ),
        )
    )
    summed = summed.with_columns(
        mapped(summed.select(extra)), cost_status=_status(), exact_share=_exact_share()
    ).drop(extra)
    tiered = add_life(assign_tiers(summed, plans), told, plans, as_of)
    return add_revenue(tiered, plans).sort(
        "cost_usd", "tenant", "conversation_id", descending=[True, False, False], nulls_last=True
    )


def count_turns() -> pl.Expr:
    """Count the turns of some traces; one with an id may go on over several of them."""
    with_ids = pl.col("turn_ids").explode().drop_nulls().n_unique().cast(pl.UInt64)
    return pl.col("turns").sum() + with_ids


def sum_of_known(name: str) -> pl.Expr:
    """Sum an amount of some traces; null where they were billed and none of it is known."""
    known = pl.col(name).is_not_null() & (pl.col("billed_calls") > 0)
    nothing_billed = pl.col("billed_calls").sum() == 0
    return pl.when(known.any() | nothing_billed).then(pl.col(name).sum().cast(MONEY))


def _status() -> pl.Expr:
    """Grade a sum by its worst part; unpriced beside priced makes it partial, not unpriced."""
    has = pl.col("cost_statuses").list.contains
    partly = has(CostStatus.UNPRICED) & pl.col("cost_usd").is_not_null()
    return pl.coalesce(
        pl.when(partly).then(pl.lit(CostStatus.PARTIAL.value)),
        *(
            pl.when(has(status.value)).then(pl.lit(status.value))
            for status in CONVERSATION_STATUS_ORDER
        ),
        pl.lit(CostStatus.EXACT.value),
    )


def _exact_share() -> pl.Expr:
    """Return the exact part of the cost, 0 to 1; null where the cost is not known."""
    share = pl.col("exact_cost_usd").cast(pl.Float64) / pl.col("cost_usd").cast(pl.Float64)
    all_exact = (
        pl.col("cost_statuses").list.set_difference([CostStatus.EXACT.value]).list.len() == 0
    )
    return (
        pl.when(pl.col("cost_usd").is_null())
        .then(None)
        .when(all_exact)
        .then(1.0)
        .when(pl.col("cost_usd") == 0)
        .then(0.0)
        .otherwise(share)
    )
