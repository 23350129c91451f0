"""Price spans: usage and a price book in, amounts, bounds and verdicts out."""

from typing import Final

import polars as pl

from farebox_processor.frames import (
    ALIKE,
    COST_COMPONENTS,
    MONEY,
    PRICED_SPANS,
    SPANS,
    TOKENS,
    USAGE,
)
from farebox_processor.price_amounts import add_amounts, total_input
from farebox_processor.price_book import PriceBook
from farebox_processor.price_bounds import add_bounds
from farebox_processor.price_files import RULE_COLUMNS
from farebox_processor.price_table import Cards, CardTable, card_table
from farebox_processor.price_verdicts import add_verdicts

__all__ = ["price_spans"]

_ASKED: Final = (
    *TOKENS,
    *RULE_COLUMNS,
    "candidate",
    "duration_ns",
    "error_type",
    "is_error",
    "price_context",
    "region",
    "request_model",
    "response_id",
    "service_tier",
    "started_at",
    "supplied_cost_source",
    "supplied_cost_usd",
    "tenant",
    "uncertainty",
    "units",
)
"""What a price can depend on. The rest of a span passes by: narrow frames are quick frames."""

_ANSWERED: Final = ("candidate", *(n for n in PRICED_SPANS if n not in SPANS and n not in USAGE))
_LISTED: Final = (*COST_COMPONENTS, "list_cost_usd", "price_source", "contract")
"""What is null where the book has no price."""

_NET: Final = {"net_usd": "list_cost_usd", "net_low_usd": "low_usd", "net_high_usd": "high_usd"}


def price_spans(usage: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """Return PRICED_SPANS (and `request`, if `usage` has it), one row per row of `usage`.

    Prices are those in force when the span started, in UTC. Whatever an earlier pricing left in
    `usage` is replaced, so that rating again is the same function.
    """
    may_cost = pl.any_horizontal(
        "candidate", *(pl.col(name).is_not_null() for name in book.rule_columns)
    )
    rows = usage.select(may_cost.fill_null(False)).to_series()
    of_all = usage.select(*_ASKED, *{ALIKE}.intersection(usage.columns))
    answers = _answers(of_all if rows.all() else of_all.filter(rows).rechunk(), book)
    if answers.height < usage.height:
        answers = answers.select(pl.all().gather(_positions(rows))).with_columns(
            pl.col("candidate").fill_null(False), pl.col("rating_revision").fill_null(book.revision)
        )
    passed_on = [name for name in ("request",) if name in usage.columns]
    kept = [name for name in (*passed_on, *PRICED_SPANS) if name not in _ANSWERED]
    whole = pl.concat([usage[kept], answers], how="horizontal")
    return whole[[*passed_on, *PRICED_SPANS]]


def _answers(asked: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """Return the _ANSWERED columns of spans that may carry money."""
    table = card_table(book)
    listed = _rated(asked, table, book)
    judged = add_verdicts(_doubted(_net(listed, table, book)), book.trusted)
    return judged.with_columns(
        *(pl.when("is_listed").then(name).alias(name) for name in _LISTED),
        rating_revision=pl.lit(book.revision, pl.UInt16()),
    ).select(_ANSWERED)


def _positions(rows: pl.Series) -> pl.Series:
    """Return where each row of True stands among its like; null for the others."""
    return pl.select(pl.when(rows).then(rows.cum_sum() - 1)).to_series()


def _rated(
    usage: pl.DataFrame, table: CardTable, book: PriceBook, *, contracted: bool = False
) -> pl.DataFrame:
    """Return amounts and bounds at list prices, or at the fixed prices of contracts."""

    def rate(calls: pl.DataFrame, size: int | None) -> tuple[pl.DataFrame, Cards]:
        own = total_input(calls)
        sizes = own if size is None else own.clip(size, size)
        cards = table.cards_for(calls, sizes, contracted=contracted)
        return add_amounts(calls, cards), cards

    priced, cards = rate(usage, None)
    return add_bounds(priced, cards, rate, regions=book.regions)


def _net(listed: pl.DataFrame, table: CardTable, book: PriceBook) -> pl.DataFrame:
    """Return `listed` with what the tenant pays: after discount, markup and fixed prices."""
    net = listed.with_columns(**{net: pl.col(amount) for net, amount in _NET.items()})
    if listed["contract_has_prices"].any():
        fixed = _rated(
            listed.with_row_index("row").filter("contract_has_prices"),
            table,
            book,
            contracted=True,
        ).select("row", **{net: pl.col(amount) for net, amount in _NET.items()})
        net = net.with_row_index("row").update(fixed, on="row").drop("row")
    if listed["contract"].null_count() == listed.height:
        return net
    factor = pl.col("contract_factor").fill_null(1)
    return net.with_columns((pl.col(name) * factor).cast(MONEY) for name in _NET)


def _doubted(net: pl.DataFrame) -> pl.DataFrame:
    """Return `net` with the bounds as wide as the price files leave them."""
    if net["doubt_low"].null_count() == net.height:
        return net
    return net.with_columns(
        (pl.col(bound) * pl.col(factor).fill_null(1)).cast(MONEY)
        for bound, factor in (("net_low_usd", "doubt_low"), ("net_high_usd", "doubt_high"))
    )
