"""The words of calls in, the terms they are billed under out: tier, processing, region, cost given.

The tier is the one that was served; the one asked for stands in where no response tells.
"""

from typing import Final

import polars as pl

from farebox.attributes import RECORDED_COST
from farebox_processor.usage_columns import Given, Step

__all__ = ["accepted_cost", "terms"]

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

_CACHE_HIT: Final = ("true", "hit", "1")
_NO_REGION: Final = ("global", "not_available")
_OF_TOKENS: Final = ("inference", "embeddings")
"""The kinds of calls that cost by their tokens, of which each has some."""


def terms(given: Given) -> list[Step]:
    """Return the steps for service_tier, region, price_context and is_foreign_cost."""
    region = given.text("region").str.to_lowercase()
    first = {
        "service_tier": pl.coalesce(
            _tier(given.text("served_tier")), _tier(given.text("asked_tier"))
        ),
        "region": pl.coalesce(
            pl.when(~region.is_in(_NO_REGION)).then(region),
            given.text("request_model").str.extract(_PROFILE),
            given.text("response_model").str.extract(_PROFILE),
        ),
        "is_foreign_cost": (given.text("currency").str.to_uppercase() != "USD").fill_null(False),
    }
    return [first, {"price_context": _price_context(given)}]


def is_replayed(given: Given) -> pl.Expr:
    """Return whether a cache of the service's own answered the call, and no provider."""
    told = given.text("response_cache").str.to_lowercase()
    return told.is_in(_CACHE_HIT).fill_null(False)


def accepted_cost(given: Given) -> Step:
    """Return the cost given, unless it is not in US dollars, or a 0 that stands for "not known".

    It does beside tokens, and where whoever sums up tokens has none of a call that must have some.
    """
    if "supplied_cost_usd" not in given:
        return {}
    amount = pl.col("supplied_cost_usd")
    is_sum = pl.col("call_kind").is_in(_OF_TOKENS).fill_null(False) & (
        pl.col("supplied_cost_source") != RECORDED_COST
    )
    is_known = ~pl.col("is_foreign_cost") & ((amount > 0) | ~(pl.col("has_usage") | is_sum))
    return {
        name: pl.when(is_known).then(pl.col(name))
        for name in ("supplied_cost_usd", "supplied_cost_source")
    }


def _tier(told: pl.Expr) -> pl.Expr:
    return told.str.to_lowercase().replace(_TIERS)


def _price_context(given: Given) -> pl.Expr:
    """Return what the price depends on besides the model, as sorted "key=value" pairs, or null."""
    tier = pl.col("service_tier")
    is_batch = (given.text("processing").str.to_lowercase() == "batch") | (tier == "batch")
    is_fast = given.text("speed").str.to_lowercase() == "fast"
    pairs = pl.concat_str(
        pl.when(is_batch).then(pl.lit("processing=batch")),
        pl.when("is_replayed").then(pl.lit("response_cache=hit")),
        pl.when(tier.is_in(_PRICED_TIERS)).then(pl.lit("service_tier=") + tier),
        pl.when(is_fast).then(pl.lit("speed=fast")),
        separator=",",
        ignore_nulls=True,
    )
    return pl.when(pairs != "").then(pairs)
