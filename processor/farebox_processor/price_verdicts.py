"""Judge each amount: amounts and bounds in, the cost with its verdict and its reason out."""

from collections.abc import Iterable
from functools import cache
from typing import Final

import polars as pl

from farebox_processor.frames import MONEY, TOKENS
from farebox_processor.usage_calls import was_refused
from farebox_processor.verdicts import CostStatus, Reason, Uncertainty

__all__ = ["RANK", "STATUS_OF", "add_verdicts"]

STATUS_OF: Final[dict[Reason | Uncertainty, CostStatus]] = {
    Reason.SUPPLIED_COST: CostStatus.SUPPLIED,
    Reason.FAILED_WITHOUT_USAGE: CostStatus.EXACT,
    Reason.RESPONSE_CACHE_HIT: CostStatus.EXACT,
    Uncertainty.USAGE_MISSING: CostStatus.UNPRICED,
    Uncertainty.USAGE_INVALID: CostStatus.UNPRICED,
    Reason.NO_MODEL: CostStatus.UNPRICED,
    Reason.UNKNOWN_PROVIDER: CostStatus.UNPRICED,
    Reason.UNKNOWN_MODEL: CostStatus.UNPRICED,
    Reason.FINE_TUNED: CostStatus.UNPRICED,
    Reason.NO_PRICE_AT_TIME: CostStatus.UNPRICED,
    Uncertainty.USAGE_INCOMPLETE: CostStatus.PARTIAL,
    Reason.NO_PRICE_FOR_UNIT: CostStatus.PARTIAL,
    Reason.NO_PRICE_FOR_SURCHARGE: CostStatus.PARTIAL,
    Reason.MODALITY_UNREPORTED: CostStatus.PARTIAL,
    Uncertainty.REASONING_UNREPORTED: CostStatus.PARTIAL,
    Uncertainty.CALLS_UNREPORTED: CostStatus.PARTIAL,
    Uncertainty.UNITS_UNREPORTED: CostStatus.PARTIAL,
    Uncertainty.CACHE_UNCOUNTED: CostStatus.PARTIAL,
    Uncertainty.USAGE_CONTRADICTORY: CostStatus.ESTIMATED,
    Uncertainty.USAGE_ESTIMATED: CostStatus.ESTIMATED,
    Reason.SERVED_MODEL_UNKNOWN: CostStatus.ESTIMATED,
    Uncertainty.AGGREGATE: CostStatus.ESTIMATED,
    Uncertainty.CACHE_WRITE_UNREPORTED: CostStatus.ESTIMATED,
    Uncertainty.CACHE_WRITE_TTL_UNREPORTED: CostStatus.ESTIMATED,
    Uncertainty.REGION_UNREPORTED: CostStatus.ESTIMATED,
    Reason.PRICE_UNCERTAIN: CostStatus.ESTIMATED,
    Reason.NO_PRICE_FOR_DISCOUNT: CostStatus.UPPER_BOUND,
    Uncertainty.CACHE_READ_UNREPORTED: CostStatus.UPPER_BOUND,
    Uncertainty.OUTPUT_OVERCOUNTED: CostStatus.UPPER_BOUND,
}
"""Each reason and the verdict it leads to. Of several that hold, the first one is named."""

RANK: Final = {reason: rank for rank, reason in enumerate(STATUS_OF)}
"""The smaller the worse; of several reasons the smallest is named."""
_REASONS: Final = pl.Series([reason.value for reason in STATUS_OF], dtype=pl.String())
_STATUSES: Final = pl.Series([status.value for status in STATUS_OF.values()], dtype=pl.String())
_WITHOUT_COST: Final = [
    rank for rank, status in enumerate(STATUS_OF.values()) if status is CostStatus.UNPRICED
]
_UNLISTED: Final = [*_WITHOUT_COST, RANK[Reason.FAILED_WITHOUT_USAGE]]
_FREE: Final = [RANK[Reason.FAILED_WITHOUT_USAGE], RANK[Reason.RESPONSE_CACHE_HIT]]
_SUPPLIED: Final = RANK[Reason.SUPPLIED_COST]
_NO_FLOOR: Final = [Reason.NO_PRICE_FOR_DISCOUNT, Reason.SERVED_MODEL_UNKNOWN]
_NO_CEILING: Final = [Reason.NO_PRICE_FOR_SURCHARGE, Reason.SERVED_MODEL_UNKNOWN]
_ZERO: Final = pl.lit(0, MONEY)
_JUDGED: Final = (
    "candidate",
    "card_reason",
    "lacks_price",
    "lacks_modality",
    "net_usd",
    "net_low_usd",
    "net_high_usd",
    "provider",
    "supplied_cost_usd",
    "supplied_cost_source",
)


def add_verdicts(priced: pl.DataFrame, trusted: Iterable[str]) -> pl.DataFrame:
    """Return `priced` with cost, bounds, `cost_status`, `cost_reason` and `is_listed`.

    Wants `net_usd`, `net_low_usd`, `net_high_usd`: what the call costs the tenant. A span that
    may not carry money gets nulls. Supplied costs win if the book has no price, or if they come
    from one of `trusted`: a provider, the attribute's name, or "*".
    """
    ranked = priced.select(*_JUDGED, own_rank=_reason_rank())
    has_supplied = ranked["supplied_cost_usd"].null_count() < ranked.height
    own_rank = pl.when("candidate").then("own_rank")
    ranked = ranked.with_columns(reason_rank=_final_rank(trusted) if has_supplied else own_rank)
    ranks = ranked["reason_rank"]
    is_candidate, exact = pl.col("candidate"), pl.lit(CostStatus.EXACT.value)
    unlisted = pl.col("own_rank").is_in(_UNLISTED).fill_null(False)
    judged = ranked.with_columns(status=_STATUSES.gather(ranks)).select(
        *(pl.when(is_candidate).then(cost).alias(name) for name, cost in _costs().items()),
        _REASONS.gather(ranks).alias("cost_reason"),
        cost_status=pl.when(is_candidate).then(pl.col("status").fill_null(exact)),
        is_listed=is_candidate & ~unlisted,
    )
    return priced.with_columns(judged.get_columns())


def _final_rank(trusted: Iterable[str]) -> pl.Expr:
    """Return the rank of the reason once supplied costs are looked at; null if exact."""
    has_supplied = (pl.col("supplied_cost_usd") >= 0).fill_null(False)
    wins = pl.col("own_rank").is_in(_WITHOUT_COST).fill_null(False) | _is_trusted(trusted)
    rank = pl.when(has_supplied & wins).then(_SUPPLIED).otherwise("own_rank")
    return pl.when("candidate").then(rank)


@cache
def _reason_rank() -> pl.Expr:
    """Return the rank of the first reason in STATUS_OF that holds; null if none does."""
    ranks = [
        pl.when(condition).then(pl.lit(RANK[reason], pl.Int32))
        for reason, condition in _conditions().items()
    ]
    numbers = pl.Series(list(RANK.values()), dtype=pl.Int32)
    of_card = pl.col("card_reason").replace_strict(_REASONS, numbers, default=None)
    return pl.min_horizontal(*ranks, of_card, "open_rank")


def _conditions() -> dict[Reason | Uncertainty, pl.Expr]:
    """Return when each reason holds that neither the card nor the uncertainty names."""
    has_tokens = pl.any_horizontal(pl.col(quantity).is_not_null() for quantity in TOKENS)
    has_usage = has_tokens | (pl.col("unit_prices").list.len() > 0).fill_null(False)
    nothing = ~has_usage
    is_stated = has_tokens | (pl.col("units").list.len() > 0).fill_null(False)
    return {
        # Nobody asks the fee per request for a request that was refused.
        Reason.FAILED_WITHOUT_USAGE: was_refused()
        & (nothing | pl.col("is_rule_per_call") | ~(is_stated | pl.col("is_rule"))),
        Uncertainty.USAGE_MISSING: nothing,
        Reason.NO_PRICE_FOR_UNIT: pl.col("lacks_price"),
        Reason.MODALITY_UNREPORTED: pl.col("lacks_modality"),
    }


def _is_trusted(trusted: Iterable[str]) -> pl.Expr:
    names = sorted(trusted)
    if "*" in names:
        return pl.lit(True)
    return (
        pl.col("provider").str.to_lowercase().is_in(names)
        | pl.col("supplied_cost_source").str.to_lowercase().is_in(names)
    ).fill_null(False)


@cache
def _costs() -> dict[str, pl.Expr]:
    """Return the cost and its bounds by the rank of the reason."""
    rank, reason = pl.col("reason_rank"), pl.col("card_reason")
    is_free, is_supplied = rank.is_in(_FREE), rank == _SUPPLIED
    is_unpriced = rank.is_in(_WITHOUT_COST).fill_null(False)
    has_no_floor = is_unpriced | reason.is_in(_NO_FLOOR).fill_null(False)
    is_surcharged = reason.is_in(_NO_CEILING).fill_null(False)
    has_no_ceiling = pl.col("lacks_price") | pl.col("lacks_modality") | is_surcharged

    def settled(otherwise: pl.Expr) -> pl.Expr:
        supplied = pl.when(is_supplied).then("supplied_cost_usd")
        return supplied.when(is_free).then(_ZERO).otherwise(otherwise)

    return {
        "cost_usd": settled(pl.when(~is_unpriced).then("net_usd")),
        "cost_low_usd": settled(pl.when(has_no_floor).then(_ZERO).otherwise("net_low_usd")),
        "cost_high_usd": settled(
            pl.when(~(is_unpriced | has_no_ceiling)).then(pl.col("net_high_usd"))
        ),
    }
