"""Ask a price book: what a model costs, all list prices, where two books differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

from farebox_processor.errors import PriceBookError
from farebox_processor.frames import MONEY, TIME
from farebox_processor.price_base import BaseModel
from farebox_processor.price_book import PriceBook
from farebox_processor.price_cards import CallTerms, draw_card
from farebox_processor.price_entries import Contract, ModelPrices, Rate
from farebox_processor.price_files import read_price_file
from farebox_processor.price_units import SMALLEST_PRICE

__all__ = ["PRICE_LIST", "ModelPriceList", "check_files", "compare", "describe", "price_list"]

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


def compare(before: PriceBook, after: PriceBook) -> pl.DataFrame:
    """Return the list prices that differ: the key, `before_usd`, `after_usd` (null: has none)."""
    prices = [
        price_list(book).select(*_KEY, pl.col("price_usd").alias(name))
        for book, name in ((before, "before_usd"), (after, "after_usd"))
    ]
    both = prices[0].join(prices[1], on=_KEY, how="full", nulls_equal=True, coalesce=True)
    return both.filter(pl.col("before_usd").ne_missing(pl.col("after_usd"))).sort(_KEY)


def check_files(paths: Sequence[Path]) -> pl.DataFrame:
    """Return file, entries and error (null: none) of each price file."""
    schema = {"file": pl.String(), "entries": pl.UInt32(), "error": pl.String()}
    return pl.DataFrame([_checked(path) for path in paths], schema=schema, orient="row")


def _checked(path: Path) -> tuple[str, int | None, str | None]:
    try:
        file = read_price_file(str(path), path.read_text(encoding="utf-8"))
    except (PriceBookError, OSError, UnicodeDecodeError) as error:
        return str(path), None, str(error)
    parts = (file.models, file.adjustments, file.rules, file.contracts, file.aliases)
    return str(path), sum(len(part) for part in parts), None


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


def _overlay_rows(entry: ModelPrices) -> Iterator[tuple[Any, ...]]:
    context = dict(entry.context)
    if entry.region:
        context["region"] = "|".join(entry.region)
    if entry.validity.weekdays:
        context["weekdays"] = "|".join(str(day + 1) for day in sorted(entry.validity.weekdays))
    if entry.validity.hours:
        begin, end = entry.validity.hours
        context["hours"] = f"{begin:%H:%M}-{end:%H:%M}"
    rates = {
        unit: Rate(rate.usd, rate.per, rate.above, str(entry.origin))
        for unit, rate in entry.prices.items()
    }
    span = (entry.validity.start, entry.validity.end)
    yield from _rows(entry.provider, entry.model, context, span, rates)


def _rows(
    provider: str,
    model: str,
    context: dict[str, str],
    span: tuple[date | None, date | None],
    rates: dict[str, Rate],
) -> Iterator[tuple[Any, ...]]:
    pairs = ",".join(f"{key}={value}" for key, value in sorted(context.items()))
    start, end = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None for day in span
    )
    for unit, rate in rates.items():
        for above, usd in ((0, rate.usd), *rate.above):
            each = (usd / rate.per).quantize(SMALLEST_PRICE)
            yield provider, model, unit, pairs, above, start, end, each, rate.source
