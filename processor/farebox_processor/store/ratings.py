"""Spans rated now in, with the ratings out that they have in the store.

History keeps its prices until it is rated again on purpose. A span that is sent again after the
prices were changed is rated by those of now, and its row would take the place of the one it has.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import PermanentStoreError, RetryableStoreError
from farebox_processor.rating import keep_ratings
from farebox_processor.store.queries import read
from farebox_processor.store.repair_queries import spans_of

__all__ = ["StoredRatings"]

_CLOCKS_APART: Final = timedelta(minutes=1)
"""So far the clock of a service may be ahead of ClickHouse's."""
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredRatings:
    """Looks up in the store what may have been rated before the prices were changed.

    Those are the spans that started before; all others cost no query.
    """

    client: Client
    changed_at: datetime | None
    """When the price book in force took the place of another one; null if it is the first."""

    @classmethod
    def of(cls, client: Client) -> Self:
        """Ask the store since when its price book is in force."""
        changed = read(client, "price_book_changed", {})
        if changed.is_empty():
            return cls(client, None)
        return cls(client, _BEGINNING + timedelta(microseconds=changed["changed_at"].item()))

    def keep(self, priced: pl.DataFrame) -> pl.DataFrame:
        """Return `priced` (frames.PRICED_SPANS), what is stored already as it is stored.

        Raises RetryableStoreError where ClickHouse does not answer.
        """
        if self.changed_at is None:
            return priced
        earlier = priced.filter(pl.col("started_at") < self.changed_at + _CLOCKS_APART)
        if earlier.is_empty():
            return priced
        traces = earlier.select("tenant", "trace_id").unique().sort("tenant", "trace_id")
        try:
            return keep_ratings(priced, spans_of(self.client, traces))
        # Whatever the reason, it is none to give the spans up.
        except PermanentStoreError as error:
            raise RetryableStoreError(str(error)) from error
