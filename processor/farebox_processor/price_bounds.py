"""Say between which amounts the truth lies, where a span leaves its usage open."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import polars as pl

from farebox_processor.frames import MONEY, price_of
from farebox_processor.price_table import Cards
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
_CACHED_PRICE: Final = {
    "input_tokens": "cache_read_tokens",
    "input_audio_tokens": "cache_read_audio_tokens",
    "input_image_tokens": "cache_read_image_tokens",
}


def add_bounds(
    priced: pl.DataFrame, cards: Cards, rerate: Rerate, *, regions: Iterable[str]
) -> pl.DataFrame:
    """Return `priced` with `low_usd`, `high_usd` (null: unbounded) and `harmless`.

    `harmless` lists the codes of `uncertainty` that leave nothing open for this call: where cached
    input costs the same as fresh input, nothing depends on how much of it was cached.
    """
    is_open = priced["uncertainty"].list.len().fill_null(0) > 0
    if not is_open.any():
        return priced.with_columns(
            low_usd="list_cost_usd",
            high_usd="list_cost_usd",
            harmless=pl.lit([], pl.List(pl.String())),
        )
    opened = priced.with_row_index("opened_row").filter(is_open)
    bounds = _bounds(opened, cards.rows.filter(is_open))
    bounds = _widened(opened, bounds, rerate, regions)
    every = pl.DataFrame({"opened_row": pl.int_range(priced.height, dtype=pl.UInt32, eager=True)})
    found = every.join(bounds, on="opened_row", how="left", maintain_order="left")
    listed = pl.col("list_cost_usd")
    return priced.with_columns(
        low_usd=pl.when(is_open).then(found["low_usd"]).otherwise(listed),
        high_usd=pl.when(is_open).then(found["high_usd"]).otherwise(listed),
        harmless=found["harmless"].fill_null([]),
    )


def _bounds(opened: pl.DataFrame, card_rows: pl.DataFrame) -> pl.DataFrame:
    """Return opened_row, low_usd, high_usd and harmless by what the cards of `opened` say."""
    prices = card_rows.select(pl.col("^.*_price_usd$").fill_null(0).name.prefix("card_"))
    moves = {code: move.fill_null(0).cast(MONEY) for code, move in _moves().items()}
    low_codes = (Uncertainty.CACHE_READ_UNREPORTED, Uncertainty.OUTPUT_OVERCOUNTED)
    high_codes = (
        Uncertainty.CACHE_WRITE_UNREPORTED,
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED,
    )
    moved = opened.with_columns(prices).with_columns(
        **{code.value: pl.when(_has(code)).then(move).otherwise(0) for code, move in moves.items()}
    )
    cost = pl.col("list_cost_usd")
    harmless = [pl.when(_has(code) & (pl.col(code) == 0)).then(pl.lit(code)) for code in moves]
    return moved.select(
        "opened_row",
        low_usd=pl.when(_has(*_NO_FLOOR))
        .then(_ZERO)
        .otherwise(pl.max_horizontal(cost - pl.sum_horizontal(low_codes), _ZERO)),
        high_usd=pl.when(~_has(*_NO_CEILING)).then(cost + pl.sum_horizontal(high_codes)),
        harmless=pl.concat_list(harmless).list.drop_nulls(),
    )


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
    opened: pl.DataFrame, bounds: pl.DataFrame, rerate: Rerate, regions: Iterable[str]
) -> pl.DataFrame:
    """Return `bounds` wide enough for every size and region that the calls may have had."""
    variants = [
        _variant(opened.filter(_has(Uncertainty.AGGREGATE)), rerate, size) for size in _ANY_SIZE
    ]
    unplaced = opened.filter(_has(Uncertainty.REGION_UNREPORTED))
    variants += [
        _variant(unplaced.with_columns(region=pl.lit(region)), rerate, None) for region in regions
    ]
    known = [variant for variant in variants if not variant.is_empty()]
    if not known:
        return bounds
    unbounded = pl.col("high_usd").is_null().any()
    return (
        pl.concat([bounds, *known])
        .group_by("opened_row", maintain_order=True)
        .agg(
            low_usd=pl.col("low_usd").min(),
            high_usd=pl.when(~unbounded).then(pl.col("high_usd").max()),
            harmless=pl.col("harmless").first(),
        )
        .with_columns(
            harmless=pl.when(
                pl.col("opened_row").is_in(unplaced["opened_row"].implode())
                & (pl.col("low_usd") == pl.col("high_usd"))
            )
            .then(pl.col("harmless").list.concat(pl.lit([Uncertainty.REGION_UNREPORTED.value])))
            .otherwise("harmless")
        )
    )


def _variant(opened: pl.DataFrame, rerate: Rerate, size: int | None) -> pl.DataFrame:
    """Return the bounds of `opened` if all of its calls had this size."""
    if opened.is_empty():
        return opened
    priced, cards = rerate(opened.drop("card"), size)
    return _bounds(priced, cards.rows)


def _has(*codes: Uncertainty) -> pl.Expr:
    """Return whether a span's uncertainty holds one of `codes`."""
    found = [pl.col("uncertainty").list.contains(code.value) for code in sorted(codes)]
    return pl.any_horizontal(found).fill_null(False)
