"""The plans and prices in force in, a new load in ClickHouse out where they have changed."""

from typing import Final, Literal

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_processor.store.tables import TABLES
from farebox_processor.store.writer import Writer

__all__ = ["store_load"]

_LATEST: Final = {
    "plans": "SELECT * FROM plans WHERE loaded_at = (SELECT max(loaded_at) FROM plans)",
    "prices": "SELECT * FROM prices WHERE loaded_at = (SELECT max(loaded_at) FROM prices)",
}


def store_load(client: Client, table: Literal["plans", "prices"], rows: pl.DataFrame) -> bool:
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
