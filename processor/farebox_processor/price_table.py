"""Keep the rate cards of one price book as a frame, and find the card of every span of a batch.

Python runs once per distinct combination of terms, moment and size; what is found is kept, so
that in steady state a batch costs one join and one gather.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor.folded import gathered
from farebox_processor.frames import ALIKE, MONEY, OTHER_OUTPUT, TERMS, TOKENS, price_of
from farebox_processor.price_book import PriceBook
from farebox_processor.price_cards import CallTerms, RateCard, draw_card, model_for, price_for
from farebox_processor.price_entries import Rate
from farebox_processor.price_units import IMPLIED_UNITS, PRICE_PARENTS, SECOND, SMALLEST_PRICE

__all__ = ["CARD_COLUMNS", "CardTable", "Cards", "card_table"]

_TERMS_MAXIMUM: Final = 20_000
_CARDS_MAXIMUM: Final = 50_000
_DAY_NS: Final = 86_400_000_000_000
_THURSDAY: Final = 3  # the weekday of 1970-01-01
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CARD_COLUMNS: Final = {
    "card": pl.UInt32(),
    **{price_of(quantity): MONEY for quantity in TOKENS},
    "price_source": pl.String(),
    "priced_model": pl.String(),
    "contract": pl.String(),
    "contract_factor": MONEY,
    "contract_has_prices": pl.Boolean(),
    "card_reason": pl.String(),
    "doubt_low": MONEY,  # null: the prices are certain
    "doubt_high": MONEY,
    "is_rule": pl.Boolean(),
    "is_rule_per_call": pl.Boolean(),
    "is_free": pl.Boolean(),
    "implies_units": pl.Boolean(),
    "has_other_output": pl.Boolean(),  # audio, images or video that it puts out have a price
    "lacks_1h_price": pl.Boolean(),  # five minutes of cache have a price of their own, an hour none
}
"""What a rate card says, one row per card: dollars per token, null where it has no price."""

_UNIT_COLUMNS: Final = {
    "card": pl.UInt32(),
    "unit": pl.String(),
    "usd": MONEY,
    "per": pl.Int64(),
    "minimum": pl.Decimal(38, 9),
}


@dataclass(frozen=True, slots=True)
class Cards:
    """The rate cards of a batch of spans."""

    drawn: pl.DataFrame
    """CARD_COLUMNS, one row per card; some may be of no span."""
    which: pl.Series
    """Row of `drawn` of each span."""
    units: pl.DataFrame
    """card, unit, usd, per, minimum: the prices of counted units."""

    def rows(self, columns: Iterable[str]) -> pl.DataFrame:
        """Return some of CARD_COLUMNS, one row per span, in their order."""
        told = self.drawn.select(columns)
        return gathered(self.which.to_frame(), told, self.which).select(told.columns)


class CardTable:
    """The rate cards of one book that were drawn so far. Safe for use by several threads."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._lock = Lock()
        self._changes = np.array([_nanoseconds(one - _EPOCH) for one in book.changes], np.int64)
        self._hours = np.array(
            [_nanoseconds(datetime.combine(_EPOCH, one, UTC) - _EPOCH) for one in book.hours],
            np.int64,
        )
        self._thresholds = np.array(book.thresholds, np.int64)
        self._tenants = sorted({one.tenant for one in book.contracts} - {"*"})
        self._columns = (
            *TERMS,
            "tenant",
            *(name for name in book.rule_columns if name not in TERMS),
        )
        self._clear()

    def cards_for(
        self, usage: pl.DataFrame, input_tokens: pl.Series, *, contracted: bool = False
    ) -> Cards:
        """Return the card of each span of `usage`; its size is `input_tokens`."""
        started = usage["started_at"].to_physical().fill_null(0).to_numpy()
        sizes = input_tokens.to_numpy()
        with self._lock:
            if len(self._terms) > _TERMS_MAXIMUM or self._cards.height > _CARDS_MAXIMUM:
                self._clear()
            numbers = self._numbers_of(usage)
            codes = pl.Series("code", self._codes(numbers, started, sizes) * 2 + contracted)
            which = self._find(codes)
            if which.null_count():
                missing = codes.to_frame().with_row_index("row").filter(which.is_null())
                first = missing.unique("code", keep="first", maintain_order=True)
                self._draw(first, numbers, started, sizes, contracted)
                which = self._find(codes)
            return Cards(self._cards, which, self._units)

    def _clear(self) -> None:
        text = dict.fromkeys(self._columns, pl.String())
        self._known = pl.DataFrame(schema={**text, "terms": pl.UInt32()})
        self._terms: list[CallTerms] = []
        self._is_recurring = np.zeros(0, bool)
        self._coded = pl.DataFrame(schema={"code": pl.Int64(), "card": pl.UInt32()})
        self._cards = pl.DataFrame(schema=CARD_COLUMNS)
        self._units = pl.DataFrame(schema=_UNIT_COLUMNS)

    def _numbers_of(self, usage: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Return the number of each row's combination of terms; learn the new ones."""
        # A column of all the tenants would only make as many cards that say the same.
        tenant = pl.when(pl.col("tenant").is_in(self._tenants)).then("tenant")
        named = tenant.alias("tenant") if self._tenants else pl.lit(None, pl.String).alias("tenant")
        terms = usage.select(*TERMS, named, *self._columns[len(TERMS) + 1 :])
        if not usage.height or ALIKE not in usage.columns or not _are_null(terms.drop(TERMS)):
            return self._look_up(terms)
        alike = usage[ALIKE].to_numpy()
        first = np.zeros(alike.max(initial=0) + 1, dtype=np.int64)
        # Of repeated indices numpy keeps the last assignment.
        first[alike] = np.arange(len(alike))
        numbers: npt.NDArray[np.int64] = self._look_up(terms[first])[alike]
        return numbers

    def _look_up(self, terms: pl.DataFrame) -> npt.NDArray[np.int64]:
        numbers = self._known_numbers(terms)
        if numbers.null_count():
            new = terms.filter(numbers.is_null()).unique(maintain_order=True)
            self._learn(new)
            numbers = self._known_numbers(terms)
        return numbers.cast(pl.Int64).to_numpy()

    def _known_numbers(self, terms: pl.DataFrame) -> pl.Series:
        return terms.join(
            self._known, on=self._columns, how="left", nulls_equal=True, maintain_order="left"
        )["terms"]

    def _learn(self, new: pl.DataFrame) -> None:
        offset = len(self._terms)
        numbers = pl.int_range(offset, offset + new.height, dtype=pl.UInt32, eager=True)
        self._known = pl.concat([self._known, new.with_columns(terms=numbers)])
        learned = [_terms_of(row) for row in new.to_dicts()]
        self._terms += learned
        recurring = np.array([_is_recurring(self._book, one) for one in learned], bool)
        self._is_recurring = np.concatenate([self._is_recurring, recurring])

    def _codes(
        self,
        numbers: npt.NDArray[np.int64],
        started: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """Return one number per row; rows of one number have one rate card."""
        dates = np.searchsorted(self._changes, started, side="right")
        recurring = self._is_recurring[numbers]
        windows = np.where(recurring, self._windows(started), 0) if recurring.any() else 0
        tiers = np.searchsorted(self._thresholds, sizes, side="left")
        code = numbers * (len(self._changes) + 1) + dates
        code = code * (7 * (len(self._hours) + 1)) + windows
        return code * (len(self._thresholds) + 1) + tiers

    def _windows(self, started: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the weekday and the hours that each moment lies in, as one number."""
        days, clocks = np.divmod(started, _DAY_NS)
        hours = np.searchsorted(self._hours, clocks, side="right")
        windows: npt.NDArray[np.int64] = (days + _THURSDAY) % 7 * (len(self._hours) + 1) + hours
        return windows

    def _find(self, codes: pl.Series) -> pl.Series:
        """Return the card of each code, null where it was never drawn."""
        return codes.to_frame().join(self._coded, on="code", how="left", maintain_order="left")[
            "card"
        ]

    def _draw(
        self,
        missing: pl.DataFrame,
        numbers: npt.NDArray[np.int64],
        started: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        contracted: bool,
    ) -> None:
        """Draw the cards of `missing` (code, a row that has it) and append them to the frames."""
        offset = self._cards.height
        drawn: list[RateCard] = []
        for row in missing["row"]:
            at = _EPOCH + timedelta(microseconds=int(started[row]) // 1000)
            terms, size = self._terms[numbers[row]], int(sizes[row])
            drawn.append(draw_card(self._book, terms, at, size, contracted=contracted))
        cards = pl.int_range(offset, offset + len(drawn), dtype=pl.UInt32, eager=True)
        rows = [_row(offset + number, card) for number, card in enumerate(drawn)]
        units = [row for number, card in enumerate(drawn) for row in _units(offset + number, card)]
        self._cards = pl.concat(
            [self._cards, pl.DataFrame(rows, schema=CARD_COLUMNS, orient="row")]
        ).rechunk()
        self._units = pl.concat(
            [self._units, pl.DataFrame(units, schema=_UNIT_COLUMNS, orient="row")]
        )
        self._coded = pl.concat([self._coded, missing.select("code", card=cards)]).rechunk()


def _are_null(frame: pl.DataFrame) -> bool:
    return all(column.null_count() == frame.height for column in frame.get_columns())


@lru_cache(maxsize=4)
def card_table(book: PriceBook) -> CardTable:
    """Return the one table of `book`, which outlives the batches."""
    return CardTable(book)


def _terms_of(row: dict[str, Any]) -> CallTerms:
    known = {name: row.pop(name) for name in (*TERMS, "tenant")}
    return CallTerms(**known, columns=tuple(row.items()))


def _is_recurring(book: PriceBook, terms: CallTerms) -> bool:
    """Return whether the price depends on the hour or on the weekday."""
    found = model_for(book, terms)
    entries = book.entries.get((found.provider or "", found.model or ""), ())
    return any(entry.validity.is_recurring for entry in entries) or (
        found.base is not None and found.base.is_recurring
    )


def _row(number: int, card: RateCard) -> tuple[object, ...]:
    contract = card.contract
    return (
        number,
        *(_each(_token_rate(card, quantity)) for quantity in TOKENS),
        card.source,
        card.priced_model,
        contract.id if contract else None,
        contract.factor if contract else None,
        bool(contract and contract.prices),
        card.reason.value if card.reason else None,
        card.doubt.low if card.doubt else None,
        card.doubt.high if card.doubt else None,
        card.rule is not None,
        card.rule is not None and SECOND not in card.prices,
        card.is_free,
        not card.prices.keys().isdisjoint(IMPLIED_UNITS),
        not card.prices.keys().isdisjoint(OTHER_OUTPUT),
        "cache_write_5m_tokens" in card.prices and "cache_write_1h_tokens" not in card.prices,
    )


def _token_rate(card: RateCard, quantity: str) -> Rate | None:
    return Rate(Decimal(0)) if card.is_free else price_for(card.prices, quantity)


def _each(rate: Rate | None) -> Decimal | None:
    """Return the price of one; exact, since tokens are priced per power of ten."""
    return None if rate is None else (rate.usd / rate.per).quantize(SMALLEST_PRICE)


def _units(number: int, card: RateCard) -> list[tuple[object, ...]]:
    names = dict.fromkeys((*card.prices, *PRICE_PARENTS))
    return [
        (number, unit, rate.usd, rate.per, card.minimum.get(unit))
        for unit in names
        if unit not in TOKENS and (rate := price_for(card.prices, unit)) is not None
    ]


def _nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
