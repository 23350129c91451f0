"""History keeps its prices: what is sent again is found in the store, and rated as it is there."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from polars.testing import assert_frame_equal

from farebox_processor.errors import RetryableStoreError
from farebox_processor.rating import keep_ratings
from farebox_processor.store.loads import store_load
from farebox_processor.store.ratings import StoredRatings
from farebox_processor.store.tables import PRICE_BOOKS
from farebox_processor.store.writer import Writer

from .conftest import Rows

AGES_AGO = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = Decimal("0.0025"), Decimal("0.005")


def book(version: str) -> pl.DataFrame:
    return pl.DataFrame({"price_book": [version]}, schema=PRICE_BOOKS)


@pytest.fixture
def changed(client: Client) -> StoredRatings:
    """A store whose price book has just taken the place of another one."""
    for version in ("2026-10", "2026-11"):
        store_load(client, "price_books", book(version))
    return StoredRatings.of(client)


def sent(spans: Rows, *overrides: dict[str, Any], cost: Decimal) -> pl.DataFrame:
    """What is rated at `cost` now, with the request that it came in."""
    rows = spans(*({"started_at": AGES_AGO, "cost_usd": cost} | row for row in overrides))
    return rows.with_columns(request=pl.int_range(pl.len(), dtype=pl.UInt32))


def costs(priced: pl.DataFrame) -> list[Decimal | None]:
    return priced["cost_usd"].to_list()


def test_a_span_that_is_sent_again_keeps_its_rating_and_its_place(
    client: Client, changed: StoredRatings, spans: Rows
) -> None:
    known = ({"span_id": "a", "content_hash": 1}, {"span_id": "c", "content_hash": 3})
    before = sent(spans, *known, cost=OLD)
    Writer(client).write("spans", before)

    new = {"span_id": "b", "content_hash": 2}
    kept = changed.keep(sent(spans, known[1], new, known[0], cost=NEW))

    expected = sent(spans, known[1], new, known[0], cost=NEW).with_columns(
        cost_usd=pl.Series([OLD, NEW, OLD], dtype=before.schema["cost_usd"])
    )
    assert_frame_equal(kept, expected)


def test_another_content_of_a_span_is_rated_by_the_prices_of_now(
    client: Client, changed: StoredRatings, spans: Rows
) -> None:
    Writer(client).write("spans", sent(spans, {"content_hash": 1}, cost=OLD))

    assert costs(changed.keep(sent(spans, {"content_hash": 2}, cost=NEW))) == [NEW]


def test_a_span_that_was_rated_again_since_keeps_that_rating(
    client: Client, changed: StoredRatings, spans: Rows
) -> None:
    Writer(client).write("spans", sent(spans, {"rating_revision": 2}, cost=OLD))

    kept = changed.keep(sent(spans, {}, cost=NEW))

    assert kept.select("cost_usd", "rating_revision").rows() == [(OLD, 2)]


def test_nothing_is_asked_about_spans_that_started_since(
    changed: StoredRatings, spans: Rows
) -> None:
    assert changed.changed_at is not None
    later = {"started_at": changed.changed_at + timedelta(minutes=2)}
    nobody = StoredRatings(None, changed.changed_at)  # type: ignore[arg-type]

    assert costs(nobody.keep(sent(spans, later, cost=NEW))) == [NEW]


def test_nothing_is_asked_where_the_price_book_is_the_first(client: Client, spans: Rows) -> None:
    for _ in range(2):
        store_load(client, "price_books", book("2026-10"))

    assert StoredRatings.of(client).changed_at is None
    nobody = StoredRatings(None, None)  # type: ignore[arg-type]
    assert costs(nobody.keep(sent(spans, {}, cost=NEW))) == [NEW]


def test_while_the_store_does_not_answer_the_senders_are_to_try_again(
    client: Client, changed: StoredRatings, spans: Rows
) -> None:
    client.command("DROP TABLE spans")

    with pytest.raises(RetryableStoreError):
        changed.keep(sent(spans, {}, cost=NEW))


def test_spans_of_which_none_is_stored_stay_as_they_are(spans: Rows) -> None:
    priced = sent(spans, {"span_id": "a"}, {"span_id": "a"}, cost=NEW)

    assert keep_ratings(priced, priced.clear()) is priced
