"""Allocations in the store: replaced as a whole, shown apart from what conversations cost."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.allocation import allocate
from farebox_processor.allocation_files import SharedCost
from farebox_processor.frames import DIMENSIONS, TOKENS
from farebox_processor.store.queries import used_between
from farebox_processor.store.writer import Writer

from .conftest import NOON, Rows

HOUR = (NOON, NOON + timedelta(hours=1))


@pytest.fixture
def served(client: Client, calls: Rows, traces: Rows, tiers: Rows) -> Client:
    """Two conversations that a GPU served within the hour, and a third after it."""
    later = NOON + timedelta(hours=1)
    writer = Writer(client)
    writer.write("plans", tiers({"position": 0, "tier": "flat", "price_usd": Decimal(2)}))
    facts = {"candidates": 1, "billed_calls": 1, "cost_statuses": ["exact"]}
    for number, started_at in ((1, NOON), (2, NOON), (3, later)):
        ids = {"trace_id": f"{number:032x}", "conversation_id": f"c-{number}"}
        cost = {"cost_usd": Decimal(number), "cost_status": "exact"}
        tokens = {"output_tokens": 100 * number, "model": "llama"}
        writer.write("calls", calls(ids | cost | tokens | {"started_at": started_at}))
        writer.write("traces", traces(ids | facts | {"cost_usd": Decimal(number)}))
    return client


def allocate_gpu(client: Client, amount: str, **terms: Any) -> None:
    cost = SharedCost("gpu", Decimal(amount), *HOUR, "output_tokens", **terms)
    Writer(client).write("allocations", allocate(cost, used_between(client, *HOUR)))


def rows(client: Client, query: str) -> list[tuple[Any, ...]]:
    return pl.DataFrame(client.query_arrow(query)).rows()


def test_what_was_used_is_what_was_billed_from_the_start_until_before_the_end(
    served: Client, calls: Rows
) -> None:
    rejected = {"span_id": "00f067aa0ba902b7", "billed": False, "output_tokens": 7}
    Writer(served).write("calls", calls(rejected))

    used = used_between(served, *HOUR).sort("conversation_id")

    wanted = ("tenant", "conversation_id", "model", "output_tokens", "cost_usd")
    assert used.select(wanted).rows() == [
        ("acme", "c-1", "llama", 100, Decimal(1)),
        ("acme", "c-2", "llama", 200, Decimal(2)),
    ]
    assert set(used.columns) == {*wanted, *DIMENSIONS, "dimensions", *TOKENS}


def test_allocated_costs_stand_apart_from_direct_ones_and_sum_to_their_origin(
    served: Client,
) -> None:
    allocate_gpu(served, "3.50", capacity=400)

    assert rows(
        served,
        "SELECT conversation_id, cost_usd, allocated_cost_usd, full_cost_usd, full_margin_usd"
        " FROM conversations_with_allocations ORDER BY conversation_id",
    ) == [
        ("c-1", Decimal(1), Decimal("0.875"), Decimal("1.875"), Decimal("0.125")),
        ("c-2", Decimal(2), Decimal("1.75"), Decimal("3.75"), Decimal("-1.75")),
        ("c-3", Decimal(3), Decimal(0), Decimal(3), Decimal(-1)),
    ]
    assert rows(served, "SELECT * EXCEPT (period_from, period_until) FROM allocation_totals") == [
        ("gpu", "output_tokens", Decimal("3.5"), 2, Decimal("2.625"), Decimal("0.875"))
    ]


def test_the_view_with_allocations_has_all_that_conversations_have(served: Client) -> None:
    plain = pl.DataFrame(served.query_arrow("SELECT * FROM conversations"))

    borne = pl.DataFrame(served.query_arrow("SELECT * FROM conversations_with_allocations"))

    more = ["allocated_cost_usd", "full_cost_usd", "full_margin_usd"]
    assert borne.columns == [*plain.columns, *more]
    assert borne.height == plain.height


def test_an_allocation_of_the_same_id_replaces_the_one_before_as_a_whole(served: Client) -> None:
    in_force = (
        "SELECT conversation_id, amount_usd FROM allocations_in_force ORDER BY conversation_id"
    )
    allocate_gpu(served, "3")
    allocate_gpu(served, "3")
    first = rows(served, in_force)

    allocate_gpu(served, "5", where=(("model", "none of it"),))

    assert first == [("", Decimal(0)), ("c-1", Decimal(1)), ("c-2", Decimal(2))]
    assert rows(served, in_force) == [("", Decimal(5))]
