"""Say where two price books differ: their list prices, and the terms of everything else in them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import polars as pl

from farebox_processor.price_book import PriceBook
from farebox_processor.price_entries import (
    Adjustment,
    Contract,
    Doubt,
    Matcher,
    ModelPrices,
    Rate,
    Rule,
    Validity,
)
from farebox_processor.price_query import conditions, paired, price_list
from farebox_processor.price_units import SMALLEST_PRICE
from farebox_processor.report import decimal_text

__all__ = ["PRICE_PREFIX", "compare_prices", "compare_terms"]

PRICE_PREFIX: Final = "prices."
"""Begins the names of terms that are dollars for one unit."""

_PRICE_KEY: Final = ("provider", "model", "unit", "context", "above_input_tokens", "valid_from")
_VALUES: Final = ("usd", "until")
_SIDES: Final = [f"{side}_{name}" for name in _VALUES for side in ("before", "after")]
_TERM_KEY: Final = {
    "kind": pl.String(),  # rule, multiplier, contract, minimum, alias
    "id": pl.String(),
    "tenant": pl.String(),  # of contracts
    "valid_from": pl.Date(),  # null: always
    "copy": pl.UInt32(),  # tells entries of one name apart, in their order
    "term": pl.String(),
}
_REPLACED: Final = ("rule", "multiplier")
_Term: TypeAlias = tuple[str, str | None]


def compare_prices(before: PriceBook, after: PriceBook) -> pl.DataFrame:
    """Return the list prices that differ, in dollars for one, or that end at another time.

    provider, model, unit, context, above_input_tokens, valid_from, `before_usd`, `after_usd`
    (null: has no such price), `before_until`, `after_until` (null: no end).
    """
    prices = [
        price_list(book).select(
            *_PRICE_KEY,
            pl.col("price_usd").alias(f"{side}_usd"),
            pl.col("valid_until").alias(f"{side}_until"),
        )
        for book, side in ((before, "before"), (after, "after"))
    ]
    both = prices[0].join(prices[1], on=_PRICE_KEY, how="full", nulls_equal=True, coalesce=True)
    differs = (pl.col(f"before_{name}").ne_missing(pl.col(f"after_{name}")) for name in _VALUES)
    return both.filter(pl.any_horizontal(differs)).sort(_PRICE_KEY).select(*_PRICE_KEY, *_SIDES)


def compare_terms(before: PriceBook, after: PriceBook) -> pl.DataFrame:
    """Return the terms that differ of rules, multipliers, contracts, minimums and aliases.

    kind, id, tenant, valid_from, term, `before`, `after`. An amount is a plain decimal, a price
    one in dollars for one unit, a list is joined by "|"; null: there is no such term, and so on
    all rows of an entry that was added or removed. Sources and notes are no terms.
    """
    sides = [_terms(book, side) for book, side in ((before, "before"), (after, "after"))]
    both = sides[0].join(sides[1], on=list(_TERM_KEY), how="full", nulls_equal=True, coalesce=True)
    differing = both.filter(pl.col("before").ne_missing(pl.col("after")))
    return differing.sort(list(_TERM_KEY), nulls_last=False).drop("copy")


def _terms(book: PriceBook, side: str) -> pl.DataFrame:
    rows = []
    copies: Counter[tuple[object, ...]] = Counter()
    for key, terms in _entries(book):
        if copies[key] and key[0] in _REPLACED:
            continue  # one of the same name wins over it on every day
        rows += [(*key, copies[key], term, value) for term, value in terms if value is not None]
        copies[key] += 1
    return pl.DataFrame(rows, schema={**_TERM_KEY, side: pl.String()}, orient="row")


def _entries(book: PriceBook) -> Iterator[tuple[tuple[object, ...], list[_Term]]]:
    """Yield the key and the terms of each entry, the one that wins first."""
    for rule in book.rules:
        yield ("rule", rule.id, None, rule.validity.start), _rule_terms(rule)
    for one in book.adjustments:
        yield ("multiplier", one.id, None, one.validity.start), _adjustment_terms(one)
    for contract in book.contracts:
        key = ("contract", contract.id, contract.tenant, contract.validity.start)
        yield key, _contract_terms(contract)
    for entries in book.entries.values():
        for entry in reversed(entries):
            if entry.minimum:
                subject = f"{entry.provider}/{entry.model}"
                yield ("minimum", subject, None, entry.validity.start), _minimum_terms(entry)
    for (provider, name), model in book.names.items():
        if name != model:
            yield ("alias", f"{provider}/{name}", None, None), [("model", f"{provider}/{model}")]
    for name, model in book.aliases.items():
        yield ("alias", name, None, None), [("model", model)]


def _rule_terms(rule: Rule) -> list[_Term]:
    return [
        *_conditions(rule.match),
        *_prices(rule.prices),
        *_doubt(rule.doubt),
        *_until(rule.validity),
    ]


def _adjustment_terms(one: Adjustment) -> list[_Term]:
    return [
        ("providers", "|".join(one.providers)),
        ("models", "|".join(one.models)),
        ("regions", "|".join(one.regions)),
        ("of_region", one.of_region),
        ("multiply", decimal_text(one.multiply)),
        *_doubt(one.doubt),
        *_until(one.validity),
    ]


def _contract_terms(contract: Contract) -> list[_Term]:
    return [
        *_conditions(contract.match),
        ("multiply", decimal_text(contract.factor)),
        *_prices(contract.prices),
        *_until(contract.validity),
    ]


def _minimum_terms(entry: ModelPrices) -> list[_Term]:
    return [
        *((f"minimum.{unit}", decimal_text(least)) for unit, least in entry.minimum.items()),
        ("context", paired(conditions(entry)) or None),
        *_until(entry.validity),
    ]


def _conditions(match: Matcher) -> list[_Term]:
    return [(f"match.{column}", "|".join(globs)) for column, globs in match.columns]


def _prices(prices: Mapping[str, Rate]) -> list[_Term]:
    return [
        (f"{PRICE_PREFIX}{unit}{f' above {above}' if above else ''}", _each(usd, rate.per))
        for unit, rate in prices.items()
        for above, usd in ((0, rate.usd), *rate.above)
    ]


def _each(usd: Decimal, per: int) -> str:
    return str(decimal_text((usd / per).quantize(SMALLEST_PRICE)))


def _doubt(doubt: Doubt | None) -> list[_Term]:
    if doubt is None:
        return []
    return [
        ("uncertain.low", decimal_text(doubt.low)),
        ("uncertain.high", decimal_text(doubt.high)),
    ]


def _until(validity: Validity) -> list[_Term]:
    return [("until", validity.end.isoformat() if validity.end else None)]
