"""Facts about spans in, what is wrong with some of them out: how often, and worth how much."""

from typing import Final

import polars as pl

from farebox_processor.frames import MONEY, Schema
from farebox_processor.verdicts import CostStatus, Reason

__all__ = ["FINDINGS", "KINDS", "find", "open_calls", "repeated_calls"]

FINDINGS: Final[Schema] = {
    "scope_name": pl.String(),
    "scope_version": pl.String(),
    "kind": pl.String(),  # one of KINDS
    "code": pl.String(),
    "subject": pl.String(),  # the model, the attribute, or the other emitter that was billed
    "calls": pl.UInt64(),
    "worth_usd": MONEY,  # null: cannot be told for any of the calls
    "open_calls": pl.UInt64(),  # of the calls: those whose worth cannot be told
    "advice": pl.String(),
}
"""What `worth_usd` is depends on the kind. uncertain: how far the bounds lie apart. repeated: what
adding up every span would have charged besides. disputed: how far the cost that came with the span
is from ours. What is unpriced or invalid has none."""

KINDS: Final = ("unpriced", "uncertain", "repeated", "disputed", "invalid")
"""What is unpriced is listed first and what is invalid last; what lies between, by its worth."""

_PLACES: Final = dict(zip(KINDS, (0, 1, 1, 1, 2), strict=True))
_EMITTER: Final = ("scope_name", "scope_version")
_TRUSTED: Final = (CostStatus.EXACT.value, CostStatus.SUPPLIED.value)
_ABOUT_THE_BOOK: Final = (
    Reason.UNKNOWN_MODEL,
    Reason.UNKNOWN_PROVIDER,
    Reason.FINE_TUNED,
    Reason.NO_PRICE_AT_TIME,
    Reason.NO_PRICE_FOR_UNIT,
    Reason.SERVED_MODEL_UNKNOWN,
    Reason.NO_PRICE_FOR_DISCOUNT,
    Reason.NO_PRICE_FOR_SURCHARGE,
)
_ROUNDING: Final = 1000
"""Supplied costs are doubles, often rounded: a difference of one part in so many is none."""


def find(facts: pl.DataFrame) -> pl.DataFrame:
    """Return the findings (FINDINGS without advice) about `facts`, one row per span."""
    rows = pl.concat(
        [_open(facts), _repeated(facts), _disputed(facts), _invalid(facts)], how="vertical"
    )
    worth = pl.col("worth_usd")
    return (
        rows.group_by(*_EMITTER, "kind", "code", "subject")
        .agg(
            calls=pl.len().cast(pl.UInt64),
            worth_usd=pl.when(worth.count() > 0).then(worth.sum().cast(MONEY)),
            open_calls=worth.is_null().sum().cast(pl.UInt64),
        )
        .sort(
            pl.col("kind").replace_strict(_PLACES, return_dtype=pl.Int8),
            pl.col("worth_usd").fill_null(0),
            "calls",
            *_EMITTER,
            "code",
            "subject",
            descending=[False, True, True, False, False, False, False],
        )
    )


def open_calls() -> pl.Expr:
    """Return which facts are billed calls whose cost is not exact."""
    is_billed = pl.col("billed").fill_null(False)
    return is_billed & ~pl.col("cost_status").is_in(_TRUSTED).fill_null(False)


def repeated_calls() -> pl.Expr:
    """Return which facts are calls that another span was billed instead of."""
    return pl.col("rejected_as").is_not_null()


def _open(facts: pl.DataFrame) -> pl.DataFrame:
    # What an emitter loses explains a missing model too: agents whose calls nobody recorded.
    doubt = pl.when(pl.col("cost_reason") == Reason.NO_MODEL).then(
        pl.col("uncertainty").list.first()
    )
    is_about_book = pl.col("cost_reason").is_in([reason.value for reason in _ABOUT_THE_BOOK])
    named = pl.concat_str("provider", "model", separator="/")
    model = pl.coalesce("priced_model", named, "model", "tool_name", "provider")
    is_unpriced = pl.col("cost_usd").is_null()
    return facts.filter(open_calls()).select(
        *_EMITTER,
        kind=pl.when(is_unpriced).then(pl.lit("unpriced")).otherwise(pl.lit("uncertain")),
        code=pl.coalesce(doubt, "cost_reason"),
        subject=pl.when(is_about_book).then(model),
        worth_usd=pl.when(~is_unpriced).then(pl.col("cost_high_usd") - pl.col("cost_low_usd")),
    )


def _repeated(facts: pl.DataFrame) -> pl.DataFrame:
    emitter = pl.concat_str(_EMITTER, separator=" ")
    instead = pl.concat_str([f"instead_{name}" for name in _EMITTER], separator=" ")
    return facts.filter(repeated_calls()).select(
        *_EMITTER,
        kind=pl.lit("repeated"),
        code="rejected_as",
        subject=pl.when(instead != emitter).then(instead.str.strip_chars()),
        worth_usd="cost_usd",
    )


def _disputed(facts: pl.DataFrame) -> pl.DataFrame:
    difference = (pl.col("supplied_cost_usd") - pl.col("cost_usd")).abs()
    is_other = difference * _ROUNDING > pl.col("cost_usd")
    is_ours = pl.col("billed") & (pl.col("cost_status") != CostStatus.SUPPLIED.value)
    return facts.filter(is_ours & is_other).select(
        *_EMITTER,
        kind=pl.lit("disputed"),
        code=pl.lit("supplied_cost_differs"),
        subject="supplied_cost_source",
        worth_usd=difference.cast(MONEY),
    )


def _invalid(facts: pl.DataFrame) -> pl.DataFrame:
    return facts.filter(pl.col("invalid_usage") > 0).select(
        *_EMITTER,
        kind=pl.lit("invalid"),
        code=pl.lit("invalid_usage"),
        subject=pl.lit(None, pl.String()),
        worth_usd=pl.lit(None, MONEY),
    )
