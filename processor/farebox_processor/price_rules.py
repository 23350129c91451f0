"""Ask a price book what is no model: which rules price tools and other spans, what a unit costs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import polars as pl

from farebox_processor.frames import MONEY
from farebox_processor.model_resolution import seller_of
from farebox_processor.price_book import PriceBook
from farebox_processor.price_cards import CallTerms, draw_card
from farebox_processor.price_entries import Rule, in_force
from farebox_processor.price_query import price_list

__all__ = ["RULE_LIST", "UNIT_LIST", "rule_list", "unit_prices"]

RULE_LIST: Final = {
    "rule": pl.String(),
    "match": pl.String(),  # column=glob|glob pairs, comma separated; "": only asked for by its id
    "unit": pl.String(),
    "usd": MONEY,
    "per": pl.Int64(),
    "above_input_tokens": pl.Int64(),
    "valid_from": pl.Date(),  # null: always
    "valid_until": pl.Date(),
    "source": pl.String(),
    "recorded": pl.Date(),
    "file": pl.String(),
    "line": pl.UInt32(),
}
"""The columns of `rule_list`."""
UNIT_LIST: Final = {
    "provider": pl.String(),
    "models": pl.List(pl.String()),
    "usd": MONEY,
    "per": pl.Int64(),
    "source": pl.String(),
}
"""The columns of `unit_prices`."""


def rule_list(book: PriceBook, at: datetime, name: str | None = None) -> pl.DataFrame:
    """Return the prices of the rules in force at `at` (UTC), RULE_LIST, in the order of trial.

    With `name`, those of the rule with this id and of the rules for tools of this name.
    """
    rows = [
        row
        for rule in in_force(book.rules, at)
        if name is None or _is_meant(rule, name.lower())
        for row in _rows(rule)
    ]
    return pl.DataFrame(rows, schema=RULE_LIST, orient="row")


def unit_prices(book: PriceBook, unit: str, terms: CallTerms, at: datetime) -> pl.DataFrame:
    """Return what models charge for a `unit` of their own at `at` (UTC), UNIT_LIST.

    One row per provider and price, with the source of its first model. Region, tier and provider
    are those of `terms`; a null provider is every one.
    """
    listed = price_list(book).filter(unit=unit).select("provider", "model").unique()
    seller = seller_of(book, terms.provider)
    priced = [
        (provider, model, rate.usd, rate.per, rate.source)
        for provider, model in listed.sort("provider", "model").iter_rows()
        if terms.provider is None or provider == seller
        for card in (draw_card(book, replace(terms, provider=provider, model=model), at, 0),)
        if (rate := card.prices.get(unit)) is not None
    ]
    rows = pl.DataFrame(priced, schema=UNIT_LIST | {"models": pl.String()}, orient="row")
    return (
        rows.group_by("provider", "usd", "per", maintain_order=True)
        .agg("models", pl.col("source").first())
        .select(list(UNIT_LIST))
    )


def _is_meant(rule: Rule, name: str) -> bool:
    tools = dict(rule.match.columns).get("tool_name", ())
    return rule.id.lower() == name or any(fnmatchcase(name, glob) for glob in tools)


def _rows(rule: Rule) -> Iterator[tuple[Any, ...]]:
    origin, validity = rule.origin, rule.validity
    match = ",".join(f"{column}={'|'.join(globs)}" for column, globs in rule.match.columns)
    cited = (origin.source, origin.recorded, origin.file, origin.line)
    for unit, rate in rule.prices.items():
        for above, usd in ((0, rate.usd), *rate.above):
            yield rule.id, match, unit, usd, rate.per, above, validity.start, validity.end, *cited
