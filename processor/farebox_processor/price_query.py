"""Ask a price book: what a model costs, and all list prices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import polars as pl
from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

from farebox_processor.frames import MONEY, TIME
from farebox_processor.price_base import BaseModel
from farebox_processor.price_book import PriceBook
from farebox_processor.price_cards import CallTerms, draw_card
from farebox_processor.price_entries import Contract, ModelPrices, Rate
from farebox_processor.price_units import SMALLEST_PRICE

__all__ = [
    "PRICE_LIST",
    "ModelPriceList",
    "conditions",
    "describe",
    "paired",
    "price_list",
]

PRICE_LIST: Final = {
    "provider": pl.String(),
    "model": pl.String(),
    "unit": pl.String(),
    "context": pl.String(),  # sorted key=value pairs, comma separated
    "above_input_tokens": pl.UInt64(),
    "valid_from": TIME,  # null: always
    "valid_until": TIME,
    "price_usd": MONEY,
    "source": pl.String(),
}
"""The columns of `price_list`: the rows of ClickHouse `prices`."""

_KEY: Final = ("provider", "model", "unit", "context", "above_input_tokens", "valid_from")
_QUOTED: Final = {
    "unit": pl.String(),
    "usd": MONEY,
    "per": pl.Int64(),
    "above_input_tokens": pl.Int64(),
    "source": pl.String(),
}


@dataclass(frozen=True, slots=True)
class ModelPriceList:
    """What a model costs at one moment, and who says so."""

    priced_model: str | None
    """"provider/model" of the price book; null if it does not know the model."""
    reason: str | None
    """Why there is no price, or not the whole of it."""
    prices: pl.DataFrame
    """unit, usd, per, above_input_tokens, source: the rate of each unit with one of its own."""
    contract: Contract | None
    """What the tenant has agreed, applied on top."""


def describe(book: PriceBook, terms: CallTerms, at: datetime) -> ModelPriceList:
    """Return what a call under `terms` costs at `at` (UTC), as a span that says so is priced."""
    limits = (0, *book.thresholds)
    cards = [draw_card(book, terms, at, limit + bool(limit)) for limit in limits]
    rows = [
        (unit, rate.usd, rate.per, limit, rate.source)
        for position, (limit, card) in enumerate(zip(limits, cards, strict=True))
        for unit, rate in card.prices.items()
        if position == 0 or cards[position - 1].prices[unit].usd != rate.usd
    ]
    first = cards[0]
    return ModelPriceList(
        first.priced_model,
        first.reason.value if first.reason else None,
        pl.DataFrame(rows, schema=_QUOTED, orient="row").sort(
            "unit", "above_input_tokens", maintain_order=True
        ),
        first.contract,
    )


def price_list(book: PriceBook) -> pl.DataFrame:
    """Return every list price of the base and the overlays, PRICE_LIST, dollars for one."""
    rows = [row for model in book.base.models for row in _base_rows(model)]
    rows += [row for entries in book.entries.values() for e in entries for row in _overlay_rows(e)]
    frame = pl.DataFrame(rows, schema=PRICE_LIST, orient="row")
    # The overlay comes last, and wins where both speak of the same.
    return frame.unique(_KEY, keep="last", maintain_order=True).sort(_KEY, nulls_last=False)


def _base_rows(model: BaseModel) -> Iterator[tuple[Any, ...]]:
    dated = list(model.dated_rates())
    for position, ((when, constraint), rates) in enumerate(dated):
        context = dict(when)
        start = end = None
        if isinstance(constraint, TimeOfDateConstraint):
            context["hours"] = f"{constraint.start_time:%H:%M}-{constraint.end_time:%H:%M}"
        elif isinstance(constraint, StartDateConstraint):
            start = constraint.start_date
        if not isinstance(constraint, TimeOfDateConstraint):
            end = min(
                (
                    later.start_date
                    for (other, later), _ in dated[position + 1 :]
                    if isinstance(later, StartDateConstraint) and other == when
                ),
                default=None,
            )
        yield from _rows(model.provider, model.id, context, (start, end), rates)


def conditions(entry: ModelPrices) -> dict[str, str]:
    """Return key → value of what a call must be for the prices of `entry` to hold; dates apart."""
    context = dict(entry.context)
    if entry.region:
        context["region"] = "|".join(entry.region)
    if entry.validity.weekdays:
        context["weekdays"] = "|".join(str(day + 1) for day in sorted(entry.validity.weekdays))
    if entry.validity.hours:
        begin, end = entry.validity.hours
        context["hours"] = f"{begin:%H:%M}-{end:%H:%M}"
    return context


def paired(context: Mapping[str, str]) -> str:
    """Write conditions as sorted key=value pairs, comma separated."""
    return ",".join(f"{key}={value}" for key, value in sorted(context.items()))


def _overlay_rows(entry: ModelPrices) -> Iterator[tuple[Any, ...]]:
    rates = {
        unit: Rate(rate.usd, rate.per, rate.above, str(entry.origin))
        for unit, rate in entry.prices.items()
    }
    span = (entry.validity.start, entry.validity.end)
    yield from _rows(entry.provider, entry.model, conditions(entry), span, rates)


def _rows(
    provider: str,
    model: str,
    context: dict[str, str],
    span: tuple[date | None, date | None],
    rates: dict[str, Rate],
) -> Iterator[tuple[Any, ...]]:
    pairs = paired(context)
    start, end = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None for day in span
    )
    for unit, rate in rates.items():
        for above, usd in ((0, rate.usd), *rate.above):
            each = (usd / rate.per).quantize(SMALLEST_PRICE)
            yield provider, model, unit, pairs, above, start, end, each, rate.source
