"""What a price book says, and where two differ, as tables for people."""

from decimal import Decimal
from typing import Final

import polars as pl
from rich.table import Table

from farebox_processor.cli.console import as_sent
from farebox_processor.frames import TOKENS
from farebox_processor.price_changes import PRICE_PREFIX
from farebox_processor.price_units import TOKENS_PER_PRICE
from farebox_processor.report import decimal_text

__all__ = [
    "changed_prices_table",
    "changed_terms_table",
    "price_table",
    "rule_table",
    "unit_table",
]

_SHOWN_MODELS: Final = 3


def price_table(rows: pl.DataFrame) -> Table:
    """Return what a model costs, from `ModelPriceList.prices`."""
    table = Table("unit", header_style="bold", box=None, pad_edge=False)
    for heading in ("price", "per", "if input is above"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source")
    for row in rows.iter_rows(named=True):
        table.add_row(
            as_sent(row["unit"]),
            *_price(row),
            _whole(row["above_input_tokens"]),
            as_sent(row["source"] or ""),
        )
    return table


def rule_table(rows: pl.DataFrame) -> Table:
    """Return the prices of rules, from RULE_LIST."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("rule", "where", "unit"):
        table.add_column(heading, overflow="fold")
    for heading in ("price", "per"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("from", "source", "entry"):
        table.add_column(heading, overflow="fold")
    for row in rows.iter_rows(named=True):
        table.add_row(
            as_sent(row["rule"]),
            as_sent(row["match"] or "farebox.price.rule names it"),
            as_sent(row["unit"]),
            *_price(row),
            str(row["valid_from"] or ""),
            as_sent(f"{row['source']} ({row['recorded']})"),
            as_sent(f"{row['file']}:{row['line']}"),
        )
    return table


def unit_table(rows: pl.DataFrame) -> Table:
    """Return what models charge for a unit, from UNIT_LIST."""
    table = Table("provider", "models", header_style="bold", box=None, pad_edge=False)
    for heading in ("price", "per"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source")
    for row in rows.iter_rows(named=True):
        models = row["models"]
        more = len(models) - _SHOWN_MODELS
        shown = ", ".join(models[:_SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "")
        table.add_row(
            as_sent(row["provider"]), as_sent(shown), *_price(row), as_sent(row["source"])
        )
    return table


def changed_prices_table(changed: pl.DataFrame) -> Table:
    """Return the list prices that differ, from `compare_prices`."""
    table = Table("model", "unit", "context", "from", header_style="bold", box=None, pad_edge=False)
    for heading in ("if input is above", "before", "after"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in changed.iter_rows(named=True):
        begins, is_moved = row["valid_from"], row["before_until"] != row["after_until"]
        amounts = (
            _each(row[f"{side}_usd"], row["unit"])
            + (f" until {end:%Y-%m-%d}" if is_moved and (end := row[f"{side}_until"]) else "")
            for side in ("before", "after")
        )
        table.add_row(
            as_sent(f"{row['provider']}/{row['model']}"),
            as_sent(row["unit"]),
            as_sent(row["context"]),
            f"{begins:%Y-%m-%d}" if begins else "",
            _whole(row["above_input_tokens"]),
            *amounts,
        )
    return table


def changed_terms_table(changed: pl.DataFrame) -> Table:
    """Return the terms that differ, from `compare_terms`."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("entry", "from", "term", "before", "after"):
        table.add_column(heading)
    for row in changed.iter_rows(named=True):
        of_tenant = f" of {row['tenant']}" if row["tenant"] else ""
        table.add_row(
            as_sent(f"{row['kind']} {row['id']}{of_tenant}"),
            str(row["valid_from"] or ""),
            as_sent(row["term"]),
            *(as_sent(_value(row["term"], row[side])) for side in ("before", "after")),
        )
    return table


def _price(row: dict[str, object]) -> tuple[str, str]:
    return f"${decimal_text(Decimal(str(row['usd'])))}", f"{row['per']:,}"


def _whole(above: int | None) -> str:
    return f"{above:,}" if above else ""


def _value(term: str, value: str | None) -> str:
    if value is None or not term.startswith(PRICE_PREFIX):
        return value or "none"
    return _each(Decimal(value), term.removeprefix(PRICE_PREFIX).partition(" ")[0])


def _each(usd: Decimal | None, unit: str) -> str:
    """Write the price of one unit, of tokens that of a million."""
    if usd is None:
        return "none"
    is_token = unit in TOKENS
    return f"${decimal_text(usd * TOKENS_PER_PRICE)}/M" if is_token else f"${decimal_text(usd)}"
