"""Calls in, the terms they are billed under out: tier as served, processing, region, cost given."""

from typing import Final

import polars as pl

__all__ = ["read_terms"]

_TIERS: Final = {
    "auto": None,  # asked for, never served
    "standard_only": None,
    "not_available": None,
    "on_demand": "default",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
}
"""Other words for tiers; every other one stands as it is."""

_PRICED_TIERS: Final = ("flex", "priority", "fast")
"""The tiers that price books have prices of their own for."""

_PROFILE: Final = (
    r"(?:^|[/:])(us-gov|us|eu|apac|jp|au|ca)\."
    r"(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen|stability|twelvelabs|writer)\."
)
"""The region of a Bedrock inference profile, in a model id or at the end of an ARN. A profile that
is called global costs as none."""

_NO_REGION: Final = ("global", "not_available")


def read_terms(calls: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with service_tier, price_context, region and the cost that came with them.

    The tier is the one that was served; the one asked for stands in where no response tells.
    """
    tier = pl.coalesce(_tier("served_tier"), _tier("asked_tier"))
    region = pl.col("region").str.to_lowercase()
    calls = calls.with_columns(
        service_tier=tier,
        region=pl.coalesce(
            pl.when(~region.is_in(_NO_REGION)).then(region),
            pl.col("request_model").str.extract(_PROFILE),
            pl.col("response_model").str.extract(_PROFILE),
        ),
    )
    return calls.with_columns(price_context=_price_context(), **_supplied_cost())


def _tier(column: str) -> pl.Expr:
    return pl.col(column).str.to_lowercase().replace(_TIERS)


def _price_context() -> pl.Expr:
    """Return what the price depends on besides the model, as sorted "key=value" pairs, or null."""
    tier = pl.col("service_tier")
    is_batch = (pl.col("processing").str.to_lowercase() == "batch") | (tier == "batch")
    is_fast = pl.col("speed").str.to_lowercase() == "fast"
    pairs = pl.concat_str(
        pl.when(is_batch).then(pl.lit("processing=batch")),
        pl.when(tier.is_in(_PRICED_TIERS)).then(pl.lit("service_tier=") + tier),
        pl.when(is_fast).then(pl.lit("speed=fast")),
        separator=",",
        ignore_nulls=True,
    )
    return pl.when(pairs != "").then(pairs)


def _supplied_cost() -> dict[str, pl.Expr]:
    """Return the cost given, unless it is a 0 beside tokens (not known) or not in US dollars."""
    amount = pl.col("supplied_cost_usd")
    is_dollars = pl.col("currency").is_null() | (pl.col("currency").str.to_uppercase() == "USD")
    is_known = is_dollars & ((amount > 0) | ~pl.col("has_usage"))
    return {
        name: pl.when(is_known).then(pl.col(name))
        for name in ("supplied_cost_usd", "supplied_cost_source")
    }
