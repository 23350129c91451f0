"""Multiply quantities by prices: usage and rate cards in, exact amounts in US dollars out."""

from typing import Final

import polars as pl

from farebox_processor.frames import COST_COMPONENTS, MONEY, OTHER_OUTPUT, TOKENS, price_of
from farebox_processor.price_table import CARD_COLUMNS, Cards
from farebox_processor.price_units import IMPLIED_UNITS, SECOND

__all__ = ["add_amounts", "total_input"]

_INPUT: Final = (
    "input_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
)
_CACHE_READ: Final = ("cache_read_tokens", "cache_read_audio_tokens", "cache_read_image_tokens")
_CACHE_WRITE: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens")
_OUTPUT: Final = ("output_tokens", *OTHER_OUTPUT, "reasoning_tokens")
_COMPONENTS: Final = dict(
    zip(COST_COMPONENTS, (_INPUT, _CACHE_READ, _CACHE_WRITE, _OUTPUT), strict=False)
)
_TOLD: Final = [name for name in CARD_COLUMNS if name not in map(price_of, TOKENS)]
"""What a card says beside the prices of tokens."""
_NONE: Final = pl.lit(0, MONEY)
_QUANTITY: Final = pl.Decimal(38, 9)
_MOST_UNITS: Final = 1_000_000_000_000_000
_LINES: Final = pl.List(pl.Struct({"unit": pl.String(), "quantity": _QUANTITY, "price_usd": MONEY}))


def total_input(usage: pl.DataFrame) -> pl.Series:
    """Return all input tokens of each call, cached ones included: what context tiers go by."""
    names = [*_INPUT, *_CACHE_READ, *_CACHE_WRITE]
    return usage.select(pl.sum_horizontal(names).fill_null(0)).to_series()


def add_amounts(usage: pl.DataFrame, cards: Cards) -> pl.DataFrame:
    """Return `usage` with the columns of its rate cards, prices and amounts.

    A span that a rule matches becomes a candidate. Adds price_of(quantity) where the call has the
    quantity, `unit_prices`, COST_COMPONENTS, `list_cost_usd`, `lacks_price`: whether some quantity
    has no price, and so adds nothing to the amounts, and `lacks_modality`: whether what is stated
    as text may be something dearer.
    """
    used = _used(usage)
    rows = cards.rows([*_TOLD, *map(price_of, used)])
    candidate = (usage["candidate"].fill_null(False) | rows["is_rule"]).alias("candidate")
    priced = usage.with_columns(
        candidate, *rows.select(_TOLD), *_prices(usage.with_columns(candidate), rows, used)
    )
    amounts = {quantity: _amount(quantity, used) for quantity in used}
    lacking = [
        (pl.col(quantity) > 0) & pl.col(price_of(quantity)).is_null()
        for quantity in used
        if quantity != "reasoning_tokens"
    ]
    # An hour's cache costs more than that of five minutes, wherever both have a price.
    lacking.append((pl.col("cache_write_1h_tokens") > 0) & pl.col("lacks_1h_price"))
    return priced.with_columns(
        *_unit_amounts(priced, cards.units),
        *(
            pl.sum_horizontal([amounts[one] for one in quantities if one in amounts] or [_NONE])
            .cast(MONEY)
            .alias(component)
            for component, quantities in _COMPONENTS.items()
        ),
        lacks_price=pl.any_horizontal(*lacking, pl.lit(False)).fill_null(False),
        lacks_modality=_lacks_modality() if rows["has_other_output"].any() else pl.lit(False),
    ).with_columns(
        list_cost_usd=pl.sum_horizontal(COST_COMPONENTS).cast(MONEY),
        lacks_price=pl.col("lacks_price") | pl.col("lacks_unit_price"),
    )


def _lacks_modality() -> pl.Expr:
    """Tell which calls may have put out something else than text, and state no modality."""
    is_told = pl.any_horizontal(pl.col(OTHER_OUTPUT).is_not_null())
    return (pl.col("has_other_output") & (pl.col("output_tokens") > 0) & ~is_told).fill_null(False)


def _used(usage: pl.DataFrame) -> list[str]:
    """Return the quantities that some call of the batch has; most batches know five of them."""
    has = usage.select((pl.col(quantity) > 0).any() for quantity in TOKENS).row(0)
    return [quantity for quantity, is_used in zip(TOKENS, has, strict=True) if is_used]


def _prices(usage: pl.DataFrame, rows: pl.DataFrame, used: list[str]) -> list[pl.Series]:
    """Return the price of each quantity where the call has it; null elsewhere."""
    nothing = pl.Series([None], dtype=MONEY).new_from_index(0, usage.height)
    unused = [nothing.alias(price_of(one)) for one in TOKENS if one not in used]
    charged = usage.select(
        pl.when((pl.col(one) > 0) & pl.col("candidate"))
        .then(rows[price_of(one)])
        .alias(price_of(one))
        for one in used
    )
    return unused + charged.get_columns()


def _amount(quantity: str, used: list[str]) -> pl.Expr:
    counted = pl.col(quantity)
    if quantity == "output_tokens" and "reasoning_tokens" in used:
        # Reasoning is part of the output; it is taken out only where it has a price of its own.
        apart = pl.min_horizontal("reasoning_tokens", "output_tokens")
        has_price = pl.col(price_of("reasoning_tokens")).is_not_null()
        counted = counted - pl.when(has_price).then(apart).otherwise(0).fill_null(0)
    elif quantity == "reasoning_tokens":
        counted = pl.min_horizontal("reasoning_tokens", pl.col("output_tokens").fill_null(0))
    return counted * pl.col(price_of(quantity))


def _unit_amounts(priced: pl.DataFrame, rates: pl.DataFrame) -> list[pl.Series]:
    """Return units_cost_usd, unit_prices and lacks_unit_price of each row."""
    height = priced.height
    counted = _counted_units(priced, rates)
    if counted is None:
        return [
            pl.Series([0], dtype=MONEY).new_from_index(0, height).alias("units_cost_usd"),
            pl.Series([None], dtype=_LINES).new_from_index(0, height).alias("unit_prices"),
            pl.Series([False]).new_from_index(0, height).alias("lacks_unit_price"),
        ]
    lines = _unit_lines(counted, rates.lazy())
    return (
        pl.LazyFrame({"row": pl.int_range(height, dtype=pl.UInt32, eager=True)})
        .join(lines, on="row", how="left", maintain_order="left")
        .select(
            pl.col("units_cost_usd").fill_null(0),
            "unit_prices",
            pl.col("lacks_unit_price").fill_null(False),
        )
        .collect()
        .get_columns()
    )


def _unit_lines(counted: pl.LazyFrame, rates: pl.LazyFrame) -> pl.LazyFrame:
    """Return, per row that counts units, what they cost and at which prices."""
    quantity = pl.col("quantity")
    at_least = pl.max_horizontal("quantity", "minimum")
    return (
        counted.join(rates, on=["card", "unit"], how="left", maintain_order="left")
        .with_columns(
            usd=pl.when("is_free").then(_NONE).otherwise("usd"),
            per=pl.when("is_free").then(1).otherwise("per"),
            quantity=pl.when(quantity > 0).then(at_least).otherwise(quantity),
        )
        .with_columns(
            # Divided last, so that a price per hour is exact for every number of seconds.
            amount=(quantity * pl.col("usd")).cast(MONEY) / pl.col("per"),
            price_usd=(pl.col("usd") / pl.col("per")).cast(MONEY),
        )
        .group_by("row", maintain_order=True)
        .agg(
            units_cost_usd=pl.col("amount").sum().cast(MONEY),
            unit_prices=pl.struct("unit", "quantity", "price_usd"),
            lacks_unit_price=(pl.col("usd").is_null() & (quantity > 0)).any(),
        )
    )


def _counted_units(priced: pl.DataFrame, rates: pl.DataFrame) -> pl.LazyFrame | None:
    """Return row, card, unit and quantity of what spans count, and of what the card implies.

    What a span counts is not implied as well.
    """
    is_told = pl.col("units").list.len() > 0
    tells, implies = priced.select(is_told.any(), pl.col("implies_units").any()).row(0)
    if not (tells or implies):
        return None
    numbered = priced.lazy().select(
        "card", "units", "duration_ns", "is_free", row=pl.int_range(pl.len(), dtype=pl.UInt32)
    )
    told = (
        numbered.filter(is_told)
        .explode("units")
        .select("row", "card", "is_free", pl.col("units").struct.unnest())
        .filter(pl.col("quantity") <= _MOST_UNITS)
        .select("row", "card", "is_free", "unit", "quantity")
    )
    if not implies:
        return told
    implied = (
        numbered.join(rates.lazy().filter(pl.col("unit").is_in(IMPLIED_UNITS)), on="card")
        .with_columns(quantity=pl.lit(1, _QUANTITY))
        .with_columns(
            quantity=pl.when(pl.col("unit") == SECOND)
            .then((pl.col("duration_ns").cast(_QUANTITY) / 1_000_000_000).cast(_QUANTITY))
            .otherwise("quantity")
        )
        .select("row", "card", "is_free", "unit", "quantity")
        .join(told, on=["row", "unit"], how="anti", maintain_order="left")
    )
    return pl.concat([told, implied]).sort("row", maintain_order=True)
