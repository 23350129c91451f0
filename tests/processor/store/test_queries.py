from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farebox_processor.errors import ConfigError, RetryableStoreError
from farebox_processor.frames import CALLS, PRICED_SPANS
from farebox_processor.store import queries
from farebox_processor.store.queries import ConversationFilter
from farebox_processor.store.writer import Writer

from .conftest import NOON, Rows


def a_trace(number: int, **facts: Any) -> dict[str, Any]:
    cost = Decimal(number)
    return {
        "trace_id": f"{number:032x}",
        "conversation_id": f"c-{number}",
        "candidates": 1,
        "billed_calls": 1,
        "cost_usd": cost,
        "exact_cost_usd": cost,
        "cost_statuses": ["exact"],
        **facts,
    }


@pytest.fixture
def stored(client: Client, traces: Rows, spans: Rows, calls: Rows, tiers: Rows) -> Client:
    """Three conversations of one tenant and one of another."""
    plan = tiers({"position": 0, "tier": "flat", "price_usd": Decimal(2)})
    rows = traces(
        a_trace(1, feature="search", models=["gpt-4o"], user_id="ann"),
        a_trace(
            2,
            feature="search",
            models=["claude"],
            service_name="web",
            dimensions={"campaign": "spring", "region": "eu"},
        ),
        a_trace(
            3,
            cost_usd=None,
            exact_cost_usd=Decimal(0),
            cost_statuses=["unpriced"],
            dimensions={"region": "eu"},
            started_at=NOON + timedelta(hours=1),
            ended_at=NOON + timedelta(hours=1),
        ),
        a_trace(4, tenant="canary", feature="search", models=["gpt-4o"], user_id="ann"),
    )
    writer = Writer(client)
    for table, frame in (
        ("plans", plan),
        ("traces", rows),
        ("spans", spans({"trace_id": f"{1:032x}"}, {"trace_id": f"{4:032x}", "tenant": "canary"})),
        ("calls", calls({"trace_id": f"{1:032x}"}, {"trace_id": f"{4:032x}", "tenant": "canary"})),
    ):
        writer.write(table, frame)
    return client


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (ConversationFilter(), ["c-4", "c-2", "c-1", "c-3"]),
        (ConversationFilter(tenant="acme"), ["c-2", "c-1", "c-3"]),
        (ConversationFilter(model="gpt-4o"), ["c-4", "c-1"]),
        (ConversationFilter(feature="search", tenant="acme"), ["c-2", "c-1"]),
        (ConversationFilter(user_id="ann", tenant="acme"), ["c-1"]),
        (ConversationFilter(service_name="web"), ["c-2"]),
        (ConversationFilter(tier="flat", tenant="canary"), ["c-4"]),
        (ConversationFilter(tier="none of them"), []),
        (ConversationFilter(dimensions={"region": "eu"}), ["c-2", "c-3"]),
        (ConversationFilter(dimensions={"region": "eu", "campaign": "spring"}), ["c-2"]),
        (ConversationFilter(dimensions={"region": "spring"}), []),
        (ConversationFilter(conversation_id="c-3"), ["c-3"]),
        (ConversationFilter(since=NOON + timedelta(minutes=1)), ["c-3"]),
        (ConversationFilter(until=NOON + timedelta(minutes=1)), ["c-4", "c-2", "c-1"]),
        (ConversationFilter(until=NOON), []),
    ],
)
def test_conversations_are_filtered_and_the_costliest_come_first(
    stored: Client, which: ConversationFilter, found: list[str]
) -> None:
    assert queries.conversations(stored, which)["conversation_id"].to_list() == found


def test_no_more_conversations_than_the_limit(stored: Client) -> None:
    assert queries.conversations(stored, limit=2)["conversation_id"].to_list() == ["c-4", "c-2"]


def test_one_conversation_is_looked_up_in_the_index_of_its_id(stored: Client) -> None:
    names = dict.fromkeys(
        ("since", "until", "tenant", "tier", "user_id", "feature", "service_name", "model")
    )
    asked = {"conversation_id": "c-2", "dimensions": [], "dimension_values": [], "limit": 20}

    explained = stored.query(
        f"EXPLAIN indexes = 1 {queries.query_text('conversations')}", parameters=names | asked
    ).result_rows

    assert any(line.strip() == "Name: conversation_id" for (line,) in explained)


def test_the_spans_and_calls_of_a_conversation_are_those_of_its_tenant(stored: Client) -> None:
    spans = queries.spans_of_conversation(stored, "acme", "c-1")
    calls = queries.calls_of_conversation(stored, "acme", "c-1")

    assert spans["trace_id"].to_list() == calls["trace_id"].to_list() == [f"{1:032x}"]
    assert spans.schema == pl.Schema(PRICED_SPANS)
    assert calls.schema == pl.Schema(CALLS)
    assert queries.spans_of_conversation(stored, "acme", "c-4").is_empty()


def test_totals_sum_the_conversations_of_each_value(stored: Client) -> None:
    found = queries.totals(stored, "feature", ConversationFilter(tenant="acme"))

    assert found.select("value", "conversations", "cost_usd", "margin_usd").rows() == [
        ("search", 2, Decimal(3), Decimal(1)),
        (None, 1, None, None),
    ]


def test_totals_can_be_summed_by_a_configured_dimension(stored: Client) -> None:
    which = ConversationFilter(tenant="acme")

    found = queries.totals(stored, "region", which, extra=["region"])

    assert found.select("value", "conversations", "cost_usd").rows() == [
        ("eu", 2, Decimal(2)),
        (None, 1, Decimal(1)),
    ]


def test_totals_say_what_an_action_and_what_a_success_of_it_cost(
    client: Client, traces: Rows, tiers: Rows
) -> None:
    review = {
        "action": "review",
        "dimension": "action",
        "value": "review",
        "price_usd": Decimal(4),
        "charged": "success",
    }
    plan = {"position": 0, "tier": "flat", "price_usd": Decimal(2)}
    terms = {"actions": [review], "success_outcomes": ["resolved"]}
    Writer(client).write("plans", tiers(plan | terms))
    Writer(client).write(
        "traces",
        traces(
            a_trace(1, action="review", outcome="resolved"),
            a_trace(2, action="review", outcome="abandoned"),
            a_trace(3, action="review", outcome="resolved"),
            a_trace(5, outcome="abandoned"),
        ),
    )

    found = queries.totals(client, "action")

    assert found.select(
        *("value", "cost_usd", "action_price_usd", "revenue_usd", "margin_usd", "succeeded"),
        *("cost_per_conversation_usd", "cost_per_success_usd"),
    ).rows() == [
        ("review", Decimal(6), Decimal(8), Decimal(8), Decimal(2), 2, Decimal(2), Decimal(3)),
        (None, Decimal(5), None, Decimal(2), Decimal(-3), 0, Decimal(5), None),
    ]


@pytest.mark.parametrize("dimension", queries.TOTALS_BY)
def test_totals_exist_by_every_dimension(stored: Client, dimension: str) -> None:
    found = queries.totals(stored, dimension)

    assert found["conversations"].sum() == 4
    assert found["value"].null_count() < found.height or dimension not in ("tenant", "tier")


def test_totals_by_anything_else_are_refused() -> None:
    with pytest.raises(ConfigError, match="no totals by 'cost_usd'; use one of tenant, tier"):
        queries.totals(None, "cost_usd")  # type: ignore[arg-type]


hostile = st.text(max_size=40) | st.sampled_from(
    [
        "' OR 1=1 --",
        "\\' OR 1=1 --",
        "\\",
        "c-1') UNION ALL SELECT * FROM conversations --",
        "{tenant:String}",
        "\x00",
        "\u02bc OR 1=1",
        "x" * 100_000,
        "a\tb\nc",
        "\\N",
    ]
)


# The table is only read.
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=hostile, field=st.sampled_from(["tier", "user_id", "feature", "model", "tenant"]))
def test_text_in_a_filter_is_only_ever_compared(stored: Client, text: str, field: str) -> None:
    found = queries.conversations(stored, ConversationFilter(**{field: text}))

    assert found.is_empty() or text in ("", "acme", "canary", "flat", "search", "ann")
    assert queries.spans_of_conversation(stored, "acme", text).is_empty()


def test_half_an_answer_is_none_whatever_the_profile_of_the_user(stored: Client) -> None:
    profile = {"max_result_rows": 1, "max_block_size": 1, "result_overflow_mode": "break"}
    for name, value in profile.items():
        stored.set_client_setting(name, value)

    with pytest.raises(RetryableStoreError, match="max rows: 1"):
        queries.conversations(stored)
