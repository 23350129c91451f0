"""Priced spans in, the attributes that are attached to them out, one column per attribute."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from farebox import attributes as names
from farebox_processor.otlp import Decoded
from farebox_processor.verdicts import CostStatus

__all__ = ["ATTACHED", "Attached", "attach"]

_MONEY: Final = {
    names.COST: "cost_usd",
    names.COST_INPUT: "input_cost_usd",
    names.COST_CACHE_READ: "cache_read_cost_usd",
    names.COST_CACHE_WRITE: "cache_write_cost_usd",
    names.COST_OUTPUT: "output_cost_usd",
    names.COST_UNITS: "units_cost_usd",
}
_TEXTS: Final = {
    names.COST_STATUS: "cost_status",
    names.COST_REASON: "cost_reason",
    names.COST_SOURCE: "price_source",
}
_SO_FAR: Final = (
    names.CONVERSATION_COST,
    names.CONVERSATION_TURNS,
    names.CONVERSATION_TIER,
    names.CONVERSATION_TIER_PRICE,
)
_PROPOSED: Final = (names.COST_AMOUNT, names.COST_AMOUNT_CURRENCY, names.COST_AMOUNT_SOURCE)

ATTACHED: Final = (*_MONEY, names.COST_CURRENCY, *_TEXTS, *_SO_FAR)
"""What is for the processor to say: under these names a span's own attribute is left out."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The attributes of the calls among some spans."""

    rows: pl.Series
    """Rows of the spans that get any, ascending."""
    attributes: pl.DataFrame
    """For each of `rows`: a column per attribute, null where the span does not get it."""


def attach(
    decoded: Decoded,
    priced: pl.DataFrame,
    so_far: pl.DataFrame | None = None,
    *,
    proposed_names: bool = False,
) -> Attached:
    """Return what is attached to the calls of `priced`, which has the rows of `decoded.spans`.

    `so_far` (so_far.SO_FAR), with the same rows, is of the conversation of each.
    """
    spans = priced.with_row_index("row")
    if so_far is not None:
        spans = spans.with_columns(so_far.select(pl.all().name.prefix("conversation_")))
    calls = spans.filter(pl.col("cost_status").is_not_null())
    attributes = calls.select(
        *(_plain(column).alias(name) for name, column in _MONEY.items()),
        _usd("cost_usd").alias(names.COST_CURRENCY),
        *(pl.col(column).alias(name) for name, column in _TEXTS.items()),
        *(_of_conversation() if so_far is not None else ()),
    )
    if proposed_names:
        attributes = attributes.with_columns(_proposed(calls, decoded))
    return Attached(calls["row"], attributes)


def _of_conversation() -> list[pl.Expr]:
    return [
        _plain("conversation_cost_usd").alias(names.CONVERSATION_COST),
        pl.col("conversation_turns").cast(pl.Int64).alias(names.CONVERSATION_TURNS),
        pl.col("conversation_tier").alias(names.CONVERSATION_TIER),
        _plain("conversation_tier_price_usd").alias(names.CONVERSATION_TIER_PRICE),
    ]


def _proposed(calls: pl.DataFrame, decoded: Decoded) -> pl.DataFrame:
    """Return the proposed standard attributes, on inference only: sums of others are no calls.

    A span that came with any of them keeps its own and gets none.
    """
    sent = pl.Series(decoded.span_attributes.rows_with(_PROPOSED))
    told = (
        (pl.col("call_kind") == "inference")
        & pl.col("cost_usd").is_not_null()
        & ~pl.col("row").is_in(sent.implode())
    )
    computed = pl.col("cost_status") != CostStatus.SUPPLIED
    return calls.select(
        pl.when(told).then(pl.col("cost_usd").cast(pl.Float64)).alias(names.COST_AMOUNT),
        pl.when(told).then(pl.lit("USD")).alias(names.COST_AMOUNT_CURRENCY),
        # Who made a supplied cost, provider or library, is not known.
        pl.when(told & computed).then(pl.lit("local")).alias(names.COST_AMOUNT_SOURCE),
    )


def _usd(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_not_null()).then(pl.lit("USD"))


def _plain(column: str) -> pl.Expr:
    """Write a decimal without an exponent and without zeros at its end."""
    return pl.col(column).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
