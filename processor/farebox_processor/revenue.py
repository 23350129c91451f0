"""Conversations with their tiers in, what each earned and left out: the rule of who pays what.

A conversation of a priced action is sold by that action, charged always or once it has succeeded.
Any other is sold at its tier's price, unless the plan has a flat fee: a month is sold then, and no
revenue can be told for one conversation alone (the view `plan_months` does).
"""

import polars as pl

from farebox_processor.extra_dimensions import in_map
from farebox_processor.frames import DIMENSIONS, MONEY
from farebox_processor.plans import Plans

__all__ = ["add_revenue"]

_KEYS = ["tenant", "conversation_id"]


def add_revenue(conversations: pl.DataFrame, plans: Plans) -> pl.DataFrame:
    """Add succeeded, priced_action, action_price_usd, sold_by, revenue, margin and recovery ratio.

    Wants what plans.assign_tiers adds, outcome, cost_usd and the dimensions. `succeeded` is null
    as long as no outcome is known, and no action charged on success has earned anything then.
    Margin and ratio are null where cost or revenue is not known, the ratio also at no cost.
    """
    terms = plans.tiers.unique("plan", keep="first").select(
        "plan", "success_outcomes", has_flat_fee=pl.col("flat_fee_usd").is_not_null()
    )
    free = pl.lit(0).cast(MONEY)
    charged = (pl.col("charged") == "always") | pl.col("succeeded").fill_null(False)
    return (
        conversations.join(terms, on="plan", how="left", maintain_order="left")
        .join(_priced_actions(conversations, plans), on=_KEYS, how="left", maintain_order="left")
        .with_columns(
            succeeded=pl.col("success_outcomes").list.contains(pl.col("outcome")),
            sold_by=pl.when(pl.col("priced_action").is_not_null())
            .then(pl.lit("action"))
            .when("has_flat_fee")
            .then(pl.lit("flat_fee"))
            .when(pl.col("plan").is_not_null())
            .then(pl.lit("tier")),
        )
        .with_columns(succeeded=pl.when(pl.col("outcome").is_not_null()).then("succeeded"))
        .with_columns(
            action_price_usd=pl.when(pl.col("priced_action").is_not_null()).then(
                pl.when(charged).then("price_usd").otherwise(free)
            )
        )
        .with_columns(
            revenue_usd=pl.when(sold_by="action")
            .then("action_price_usd")
            .when(sold_by="tier")
            .then("tier_price_usd")
        )
        .with_columns(
            margin_usd=pl.col("revenue_usd") - pl.col("cost_usd"),
            recovery_ratio=pl.when(pl.col("cost_usd") > 0).then(
                pl.col("revenue_usd").cast(pl.Float64) / pl.col("cost_usd").cast(pl.Float64)
            ),
        )
        .drop("success_outcomes", "has_flat_fee", "price_usd", "charged")
    )


def _priced_actions(conversations: pl.DataFrame, plans: Plans) -> pl.DataFrame:
    """Return the first action of its plan that each conversation is of; the rest is left out."""
    actions = (
        plans.tiers.unique("plan", keep="first", maintain_order=True)
        .select("plan", "actions")
        .explode("actions", empty_as_null=False)
        .unnest("actions")
        .rename({"action": "priced_action"})
        .with_row_index("place")
    )
    says = pl.coalesce(
        *(pl.when(dimension=name).then(name) for name in DIMENSIONS), in_map(pl.col("dimension"))
    )
    return (
        conversations.select(*_KEYS, "plan", *DIMENSIONS, "dimensions")
        .join(actions, on="plan")
        .filter(says == pl.col("value"))
        .sort("place")
        .unique(_KEYS, keep="first")
        .select(*_KEYS, "priced_action", "price_usd", "charged")
    )
