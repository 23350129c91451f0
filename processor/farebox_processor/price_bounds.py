"""Say between which amounts the truth lies, where a span leaves its usage open."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final, TypeAlias

import polars as pl

from farebox_processor.frames import MONEY, price_of
from farebox_processor.price_table import Cards
from farebox_processor.price_verdicts import RANK
from farebox_processor.verdicts import Uncertainty

__all__ = ["Rerate", "add_bounds"]

Rerate: TypeAlias = Callable[[pl.DataFrame, int | None], tuple[pl.DataFrame, Cards]]
"""(usage, input size or null for its own) → its amounts and its cards."""

_EXTRA_OUTPUT_TOKENS: Final = 8
_ANY_SIZE: Final = (0, 1 << 60)
_ZERO: Final = pl.lit(0, MONEY)
_NO_CEILING: Final = frozenset(
    {
        Uncertainty.USAGE_MISSING,
        Uncertainty.USAGE_INCOMPLETE,
        Uncertainty.USAGE_INVALID,
        Uncertainty.REASONING_UNREPORTED,
        Uncertainty.CALLS_UNREPORTED,
        Uncertainty.UNITS_UNREPORTED,
        Uncertainty.CACHE_UNCOUNTED,
        Uncertainty.USAGE_ESTIMATED,
        Uncertainty.USAGE_CONTRADICTORY,
    }
)
_NO_FLOOR: Final = frozenset(
    {
        Uncertainty.USAGE_MISSING,
        Uncertainty.USAGE_INVALID,
        Uncertainty.USAGE_ESTIMATED,
        Uncertainty.USAGE_CONTRADICTORY,
    }
)
_LOWERING: Final = frozenset({Uncertainty.CACHE_READ_UNREPORTED, Uncertainty.OUTPUT_OVERCOUNTED})
_CACHED_PRICE: Final = {
    "input_tokens": "cache_read_tokens",
    "input_audio_tokens": "cache_read_audio_tokens",
    "input_image_tokens": "cache_read_image_tokens",
}

_PRICES: Final = [
    price_of(quantity)
    for quantity in (
        *_CACHED_PRICE,
        *_CACHED_PRICE.values(),
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
    )
]


def add_bounds(
    priced: pl.DataFrame, cards: Cards, rerate: Rerate, *, regions: Iterable[str]
) -> pl.DataFrame:
    """Return `priced` with `low_usd`, `high_usd` (null: unbounded) and `open_rank`.

    `open_rank` is the rank (price_verdicts.RANK) of the worst uncertainty that makes a difference
    for this call, null if none does: where cached input costs the same as fresh input, nothing
    depends on how much of it was cached.
    """
    is_open = priced["uncertainty"].list.len().fill_null(0) > 0
    listed = pl.col("list_cost_usd")
    if not is_open.any():
        return priced.with_columns(
            low_usd=listed, high_usd=listed, open_rank=pl.lit(None, pl.Int32())
        )
    opened = priced.with_row_index("opened_row").filter(is_open)
    told = set(opened["uncertainty"].explode().unique())
    codes = [code for code in Uncertainty if code.value in told]
    bounds = _bounds(opened, cards.rows(_PRICES).filter(is_open), codes)
    bounds = _widened(opened, bounds, rerate, regions, codes)
    every = pl.DataFrame({"opened_row": pl.int_range(priced.height, dtype=pl.UInt32, eager=True)})
    found = every.join(bounds, on="opened_row", how="left", maintain_order="left")
    return priced.with_columns(
        low_usd=pl.when(is_open).then(found["low_usd"]).otherwise(listed),
        high_usd=pl.when(is_open).then(found["high_usd"]).otherwise(listed),
        open_rank=found["open_rank"],
    )


def _bounds(
    opened: pl.DataFrame, card_rows: pl.DataFrame, codes: list[Uncertainty]
) -> pl.DataFrame:
    """Return opened_row, low_usd, high_usd and open_rank by what the cards of `opened` say."""
    holds = {code: pl.col("uncertainty").list.contains(code.value) for code in codes}
    prices = card_rows.select(pl.col(_PRICES).fill_null(0).name.prefix("card_"))
    moves = {code: move for code, move in _moves().items() if code in holds}
    # An hour's cache without a price of its own can have cost anything above that of five minutes.
    no_hour = pl.lit(False)
    if Uncertainty.CACHE_WRITE_TTL_UNREPORTED in holds:
        written = (pl.col("cache_write_5m_tokens") > 0) & pl.col("lacks_1h_price")
        no_hour = holds[Uncertainty.CACHE_WRITE_TTL_UNREPORTED] & written
    moved = opened.with_columns(prices.get_columns()).select(
        no_hour.fill_null(False).alias("no_hour"),
        "opened_row",
        "list_cost_usd",
        *(holds[code].alias(code) for code in codes),
        *(
            pl.when(holds[code]).then(move).otherwise(_ZERO).fill_null(0).alias(f"{code}_usd")
            for code, move in moves.items()
        ),
    )
    lower = [pl.col(f"{code}_usd") for code in moves if code in _LOWERING]
    higher = [pl.col(f"{code}_usd") for code in moves if code not in _LOWERING]
    cost = pl.col("list_cost_usd")
    ranks = [
        pl.when(pl.col(code) & (pl.col(f"{code}_usd") > 0 if code in moves else True)).then(
            pl.lit(RANK[code], pl.Int32())
        )
        for code in codes
        if code is not Uncertainty.REGION_UNREPORTED
    ]
    hour_rank = pl.lit(RANK[Uncertainty.CACHE_WRITE_TTL_UNREPORTED], pl.Int32())
    ranks.append(pl.when("no_hour").then(hour_rank))
    return moved.select(
        "opened_row",
        low_usd=pl.when(_any(codes, _NO_FLOOR))
        .then(_ZERO)
        .otherwise(pl.max_horizontal(cost - pl.sum_horizontal(_ZERO, *lower), _ZERO)),
        high_usd=pl.when(~(_any(codes, _NO_CEILING) | pl.col("no_hour"))).then(
            cost + pl.sum_horizontal(_ZERO, *higher)
        ),
        open_rank=pl.min_horizontal(pl.lit(None, pl.Int32()), *ranks),
    )


@cache
def _moves() -> dict[Uncertainty, pl.Expr]:
    """Return how far each uncertainty can move the cost, in the direction that it moves it."""

    def price(quantity: str) -> pl.Expr:
        return pl.col(f"card_{price_of(quantity)}")

    def above_zero(difference: pl.Expr) -> pl.Expr:
        return pl.max_horizontal(difference, _ZERO)

    saved = [
        pl.col(fresh).fill_null(0) * above_zero(price(fresh) - price(cached))
        for fresh, cached in _CACHED_PRICE.items()
    ]
    dearest_write = pl.max_horizontal(
        price("cache_write_5m_tokens"), price("cache_write_1h_tokens")
    )
    longer = price("cache_write_1h_tokens") - price("cache_write_5m_tokens")
    return {
        Uncertainty.CACHE_READ_UNREPORTED: pl.sum_horizontal(saved),
        Uncertainty.OUTPUT_OVERCOUNTED: pl.min_horizontal("output_tokens", _EXTRA_OUTPUT_TOKENS)
        * price("output_tokens"),
        Uncertainty.CACHE_WRITE_UNREPORTED: pl.col("input_tokens")
        * above_zero(dearest_write - price("input_tokens")),
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED: pl.col("cache_write_5m_tokens")
        * above_zero(longer),
    }


def _widened(
    opened: pl.DataFrame,
    bounds: pl.DataFrame,
    rerate: Rerate,
    regions: Iterable[str],
    codes: list[Uncertainty],
) -> pl.DataFrame:
    """Return `bounds` wide enough for every size and region that the calls may have had."""

    def variant(calls: pl.DataFrame, size: int | None) -> pl.DataFrame:
        priced, cards = rerate(calls.drop("card"), size)
        return _bounds(priced, cards.rows(_PRICES), codes)

    variants = []
    if Uncertainty.AGGREGATE in codes:
        summed = opened.filter(pl.col("uncertainty").list.contains(Uncertainty.AGGREGATE.value))
        variants += [variant(summed, size) for size in _ANY_SIZE]
    is_unplaced = pl.col("uncertainty").list.contains(Uncertainty.REGION_UNREPORTED.value)
    unplaced = opened.filter(is_unplaced)
    if not unplaced.is_empty():
        variants += [
            variant(unplaced.with_columns(region=pl.lit(region)), None) for region in regions
        ]
    if not variants:
        return bounds
    unbounded = pl.col("high_usd").is_null().any()
    differs = pl.col("opened_row").is_in(unplaced["opened_row"].implode()) & pl.col(
        "low_usd"
    ).ne_missing(pl.col("high_usd"))
    region_rank = pl.lit(RANK[Uncertainty.REGION_UNREPORTED], pl.Int32())
    return (
        pl.concat([bounds, *variants])
        .group_by("opened_row", maintain_order=True)
        .agg(
            low_usd=pl.col("low_usd").min(),
            high_usd=pl.when(~unbounded).then(pl.col("high_usd").max()),
            open_rank=pl.col("open_rank").first(),
        )
        .with_columns(open_rank=pl.min_horizontal("open_rank", pl.when(differs).then(region_rank)))
    )


def _any(codes: list[Uncertainty], wanted: frozenset[Uncertainty]) -> pl.Expr:
    """Return whether one of the `wanted` holds; only `codes` have a column."""
    return pl.any_horizontal(
        pl.lit(False), *(pl.col(code) for code in codes if code in wanted)
    ).fill_null(False)
