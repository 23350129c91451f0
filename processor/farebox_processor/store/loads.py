"""The plans and prices in force in, a new load in ClickHouse out where they have changed."""

from typing import Final, Literal

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.pipeline import Rules
from farebox_processor.price_query import price_list
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_processor.store.tables import PRICE_BOOKS, TABLES
from farebox_processor.store.writer import Writer

__all__ = ["store_load", "store_rules"]

_Loaded = Literal["plans", "prices", "price_books"]

_LATEST: Final[dict[_Loaded, str]] = {
    "plans": "SELECT * FROM plans WHERE loaded_at = (SELECT max(loaded_at) FROM plans)",
    "prices": "SELECT * FROM prices WHERE loaded_at = (SELECT max(loaded_at) FROM prices)",
    "price_books": (
        "SELECT * FROM price_books WHERE loaded_at = (SELECT max(loaded_at) FROM price_books)"
    ),
}


def store_rules(client: Client, rules: Rules) -> None:
    """Bring plans and prices in force into the store, where views and dashboards read them."""
    # The book first: from here on spans may be rated by it.
    book = pl.DataFrame({"price_book": [rules.book.version]}, schema=PRICE_BOOKS)
    store_load(client, "price_books", book)
    store_load(client, "plans", rules.plans.tiers)
    store_load(client, "prices", price_list(rules.book))


def store_load(client: Client, table: _Loaded, rows: pl.DataFrame) -> bool:
    """Make `rows` the latest load of `table`, unless it is that already; tell which.

    `rows` is never empty: a load without rows could not be told from none.
    """
    columns = list(TABLES[table])
    # What a row is known by is never a list.
    order = [name for name, dtype in TABLES[table].items() if not dtype.is_nested()]
    try:
        latest = pl.DataFrame(client.query_arrow(_LATEST[table])).select(columns)
    except CLIENT_ERRORS as error:
        raise store_error(error) from error
    if latest.sort(order).equals(rows.select(columns).sort(order)):
        return False
    Writer(client).write(table, rows)
    return True
