from datetime import timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farebox_processor.conversations import summarise
from farebox_processor.frames import MONEY, PLAN_TIERS, TOKENS
from farebox_processor.plans import Plans
from farebox_processor.store.writer import Writer

from .conftest import NOON, Rows

DEFAULT_TIERS = [
    {"position": 0, "tier": "simple", "price_usd": "0.02", "turns_below": 4, "tokens_below": 5000},
    {"position": 1, "tier": "standard", "price_usd": "0.05", "turns_below": 10,
     "tokens_below": 20_000},
    {"position": 2, "tier": "complex", "price_usd": "0.15", "turns_below": 30,
     "tokens_below": 80_000},
    {"position": 3, "tier": "enterprise", "price_usd": "0.50"},
]  # fmt: skip


ACTIONS = [
    {"action": "a", "dimension": "action", "value": "a", "price_usd": Decimal(3),
     "charged": "success"},
    {"action": "spring", "dimension": "campaign", "value": "b", "price_usd": Decimal(5),
     "charged": "always"},
    {"action": "search", "dimension": "feature", "value": "search", "price_usd": Decimal("0.7"),
     "charged": "always"},
]  # fmt: skip


@pytest.fixture
def plans(client: Client, tiers: Rows) -> pl.DataFrame:
    """The default plan, one for a feature and one for a tenant, written as the server does."""
    terms = {"actions": ACTIONS, "success_outcomes": ["a", "c"], "idle_timeout_s": 1800}
    rows = tiers(
        *({**tier, "price_usd": Decimal(tier["price_usd"])} | terms for tier in DEFAULT_TIERS),
        {"plan": "chat", "feature": "chat", "position": 0, "tier": "chat", "price_usd": Decimal(1),
         "flat_fee_usd": Decimal(100)},
        {"plan": "acme", "tenant": "acme", "position": 0, "tier": "few", "price_usd": Decimal(2),
         "turns_below": 2},
    )  # fmt: skip
    Writer(client).write("plans", rows)
    return rows


def read(client: Client, tenant: str) -> pl.DataFrame:
    table = client.query_arrow(
        "SELECT * FROM conversations WHERE tenant = {tenant:String} ORDER BY conversation_id",
        parameters={"tenant": tenant},
    )
    return pl.DataFrame(table)


def only_row(client: Client, tenant: str = "acme") -> dict[str, Any]:
    (row,) = read(client, tenant).to_dicts()
    return row


money = st.integers(0, 10**9).map(lambda units: Decimal(units).scaleb(-9))
verdicts = st.sampled_from(["exact", "supplied", "estimated", "upper_bound", "partial", "unpriced"])
text_or_null = st.none() | st.sampled_from(["a", "b"])


@st.composite
def trace_facts(draw: st.DrawFn) -> dict[str, Any]:
    """Return what is particular about one trace: what roll_up may say of it."""
    statuses = sorted(draw(st.sets(verdicts, max_size=2)))
    cost = None if statuses == ["unpriced"] else draw(money)
    exact = cost if statuses == ["exact"] else Decimal(0)
    # Silences of the timeout and around it; and what no clock has reached, which is open.
    minutes = draw(st.sampled_from([0, 1, 29, 30, 31, 61, 100 * 365 * 24 * 60]))
    started_at = NOON + timedelta(minutes=minutes, seconds=draw(st.integers(0, 3)))
    return {
        "conversation_id": draw(st.sampled_from(["c-1", "c-2"])),
        "conversation_id_source": draw(st.sampled_from(["span", "trace"])),
        "started_at": started_at,
        "ended_at": started_at + timedelta(seconds=draw(st.integers(-1, 3))),
        "conversation_ended": draw(st.booleans()),
        "candidates": draw(st.integers(0, 2)) + len(statuses),
        "billed_calls": len(statuses),
        "turns": draw(st.integers(0, 6)),
        "turn_ids": sorted(draw(st.sets(st.sampled_from(["t-1", "t-2", "t-3"])))),
        "input_tokens": draw(st.integers(0, 10_000)),
        "total_tokens": draw(st.integers(0, 30_000)),
        "cost_statuses": statuses,
        "cost_usd": cost if statuses else Decimal(0),
        "exact_cost_usd": exact if statuses else Decimal(0),
        "cost_low_usd": Decimal(0),
        "cost_high_usd": draw(st.none() | money) if statuses else Decimal(0),
        "models": sorted(draw(st.sets(st.sampled_from(["gpt-4o", "claude"])))),
        "user_id": draw(text_or_null),
        "feature": draw(st.sampled_from([None, "search", "chat"])),
        "action": draw(text_or_null),
        "dimensions": draw(
            st.dictionaries(
                st.sampled_from(["campaign", "region", "team"]), st.sampled_from(["a", "b"])
            )
        ),
        "outcome": draw(text_or_null),
    }


def oracle(traces: list[dict[str, Any]], conversation_id: str) -> dict[str, Any]:
    """Sum one conversation up in plain Python."""
    mine = [
        trace
        for trace in traces
        if trace["conversation_id"] == conversation_id
        and (trace["candidates"] or trace["conversation_id_source"] != "trace")
    ]
    mine.sort(key=lambda trace: (trace["ended_at"], trace["trace_id"]))
    billed = [trace for trace in mine if trace["billed_calls"]]
    known = [trace["cost_usd"] for trace in billed if trace["cost_usd"] is not None]
    cost = sum(known, Decimal(0)) if known or not billed else None
    statuses = {status for trace in mine for status in trace["cost_statuses"]}
    if "unpriced" in statuses and cost is not None:
        statuses = statuses - {"unpriced"} | {"partial"}
    worst = ["unpriced", "partial", "estimated", "upper_bound", "supplied", "exact"]
    highs = [trace["cost_high_usd"] for trace in mine]

    def last(name: str) -> Any:
        said = [trace[name] for trace in mine if trace[name] is not None]
        return said[-1] if said else None

    told = [(name, value) for trace in mine for name, value in trace["dimensions"].items()]
    turn_ids = {turn for trace in mine for turn in trace["turn_ids"]}
    turns = sum(trace["turns"] for trace in mine) + len(turn_ids)
    tokens = sum(trace["total_tokens"] for trace in mine)
    if last("feature") == "chat":
        tier, price = "chat", Decimal(1)
    elif turns < 4 and tokens < 5000:
        tier, price = "simple", Decimal("0.02")
    elif turns < 10 and tokens < 20_000:
        tier, price = "standard", Decimal("0.05")
    elif turns < 30 and tokens < 80_000:
        tier, price = "complex", Decimal("0.15")
    else:
        tier, price = "enterprise", Decimal("0.5")
    succeeded = None if last("outcome") is None else last("outcome") == "a" and tier != "chat"
    actions = (
        (last("action") == "a", "a", Decimal(3) if succeeded else Decimal(0)),
        (dict(told).get("campaign") == "b", "spring", Decimal(5)),
        (last("feature") == "search", "search", Decimal("0.7")),
    )
    sold = {"sold_by": "tier", "priced_action": None, "action_price_usd": None}
    if tier == "chat":
        sold["sold_by"] = "flat_fee"
    else:
        for fits, action, paid in reversed(actions):
            if fits:
                sold = {"sold_by": "action", "priced_action": action, "action_price_usd": paid}
    prices = {"tier": price, "flat_fee": None, "action": sold["action_price_usd"]}
    revenue = prices[sold["sold_by"]]
    return {
        "conversation_id": conversation_id,
        "started_at": min(trace["started_at"] for trace in mine),
        "ended_at": max(trace["ended_at"] for trace in mine),
        "conversation_ended": any(trace["conversation_ended"] for trace in mine),
        "traces": len(mine),
        "turns": turns,
        "total_tokens": tokens,
        "input_tokens": sum(trace["input_tokens"] for trace in mine),
        "cost_usd": cost,
        "cost_high_usd": None if None in highs else sum(highs, Decimal(0)),
        "cost_status": next((status for status in worst if status in statuses), "exact"),
        "models": sorted({model for trace in mine for model in trace["models"]}),
        "user_id": last("user_id"),
        "feature": last("feature"),
        "outcome": last("outcome"),
        "dimensions": dict(sorted(dict(told).items())),
        "tier": tier,
        "tier_price_usd": price,
        "succeeded": succeeded,
        **sold,
        "revenue_usd": revenue,
        "margin_usd": None if cost is None or revenue is None else revenue - cost,
    }


_tenants = count(1)


# Every example has a tenant of its own, so they may share the database.
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(facts=st.lists(trace_facts(), min_size=1, max_size=6))
def test_the_view_is_the_sum_of_the_traces_in_sql_in_polars_and_by_hand(
    client: Client, plans: pl.DataFrame, traces: Rows, facts: list[dict[str, Any]]
) -> None:
    tenant = f"tenant-{next(_tenants)}"
    rows = [
        fact | {"tenant": tenant, "trace_id": f"{number:032x}"} for number, fact in enumerate(facts)
    ]
    frame = traces(*rows)

    Writer(client).write("traces", frame)

    viewed = read(client, tenant)
    shown = [oracle(rows, conversation_id) for conversation_id in viewed["conversation_id"]]
    assert viewed.select(list(shown[0]) if shown else []).to_dicts() == shown
    now = pl.DataFrame(client.query_arrow("SELECT now64(6, 'UTC')")).item()
    in_polars = summarise(frame, Plans(tiers=plans), as_of=now).sort("conversation_id")
    same = [name for name in in_polars.columns if name not in ("exact_share", "recovery_ratio")]
    assert viewed.select(same).to_dicts() == in_polars.select(same).to_dicts()
    for name in ("exact_share", "recovery_ratio"):
        assert viewed[name].cast(pl.Float64).to_list() == pytest.approx(in_polars[name].to_list())


def lives(seed: int, conversations: int) -> list[dict[str, Any]]:
    """Return traces of many conversations, with few times: ties, overlaps, silences of 30 min."""
    random = Random(seed)
    starts = (0, 1, 5, 10, 30, 31, 35, 40, 45, 70, 75, 100, 130)
    return [
        {
            "tenant": f"lives-{seed}",
            "conversation_id": f"c-{number:04}",
            "started_at": (start := NOON + timedelta(minutes=random.choice(starts))),
            "ended_at": start + timedelta(minutes=random.choice((-1, 0, 1, 5, 40))),
            "conversation_ended": random.random() < 0.3,
        }
        for number in range(conversations)
        for _ in range(random.randint(1, 6))
    ]


def test_the_life_of_a_conversation_is_the_same_in_sql_and_in_polars(
    client: Client, plans: pl.DataFrame, traces: Rows
) -> None:
    told = [facts | {"trace_id": f"{number:032x}"} for number, facts in enumerate(lives(1, 1_000))]
    frame = traces(*told)

    Writer(client).write("traces", frame)

    columns = ("conversation_id", "segments", "paused_ms", "status")
    in_sql = read(client, "lives-1").select(columns)
    [[now]] = pl.DataFrame(client.query_arrow("SELECT now64(6, 'UTC')")).rows()
    in_polars = summarise(frame, Plans(tiers=plans), as_of=now).select(columns)
    assert in_sql.rows() == in_polars.sort("conversation_id").rows()
    assert in_sql["segments"].n_unique() > 3


@pytest.mark.usefixtures("plans")
def test_the_smallest_amounts_sum_exactly(client: Client, traces: Rows) -> None:
    tiny = Decimal("0.000000000000000001")
    rows = [
        {"trace_id": f"{n:032x}", "cost_usd": tiny, "exact_cost_usd": tiny, "candidates": 1,
         "billed_calls": 1, "cost_statuses": ["exact"]}
        for n in range(3)
    ]  # fmt: skip

    Writer(client).write("traces", traces(*rows))

    assert only_row(client)["cost_usd"] == Decimal("0.000000000000000003")


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(
    ("conversation", "tier"),
    [
        ({"turns": 3, "total_tokens": 4999}, "simple"),
        ({"turns": 4, "total_tokens": 0}, "standard"),
        ({"turns": 0, "total_tokens": 5000}, "standard"),
        ({"turns": 9, "total_tokens": 19_999}, "standard"),
        ({"turns": 10, "total_tokens": 0}, "complex"),
        ({"turns": 29, "total_tokens": 79_999}, "complex"),
        ({"turns": 30, "total_tokens": 0}, "enterprise"),
        ({"turns": 0, "total_tokens": 80_000}, "enterprise"),
    ],
)
def test_a_tier_holds_strictly_below_its_turns_and_its_tokens(
    client: Client, traces: Rows, conversation: dict[str, int], tier: str
) -> None:
    Writer(client).write("traces", traces({"tenant": "other", **conversation}))

    assert only_row(client, "other")["tier"] == tier


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(
    ("conversation", "plan"),
    [
        ({"tenant": "acme", "feature": "chat", "turns": 1}, "acme"),
        ({"tenant": "acme", "feature": "chat", "turns": 2}, "chat"),
        ({"tenant": "acme", "feature": None, "turns": 2}, "default"),
        ({"tenant": "other", "feature": "chat", "turns": 1}, "chat"),
        ({"tenant": "other", "feature": "search", "turns": 1}, "default"),
    ],
)
def test_the_plan_made_most_closely_for_a_conversation_wins(
    client: Client, traces: Rows, conversation: dict[str, Any], plan: str
) -> None:
    Writer(client).write("traces", traces(conversation))

    assert only_row(client, conversation["tenant"])["plan"] == plan


@pytest.mark.usefixtures("plans")
def test_margin_and_recovery_ratio_come_from_the_tier_price(client: Client, traces: Rows) -> None:
    cost = Decimal("0.04")
    row = {"cost_usd": cost, "exact_cost_usd": cost, "candidates": 1, "billed_calls": 1,
           "cost_statuses": ["exact"], "tenant": "other"}  # fmt: skip

    Writer(client).write("traces", traces(row))

    shown = only_row(client, "other")
    assert (shown["margin_usd"], shown["recovery_ratio"], shown["exact_share"]) == (
        Decimal("-0.02"),
        Decimal("0.5"),
        Decimal(1),
    )


@pytest.mark.usefixtures("plans")
def test_only_the_latest_plans_count(client: Client, tiers: Rows, traces: Rows) -> None:
    new = tiers({"plan": "flat", "position": 0, "tier": "flat", "price_usd": Decimal("0.1")})

    Writer(client).write("plans", new)
    Writer(client).write("traces", traces())

    assert (only_row(client)["tier"], only_row(client)["tier_price_usd"]) == (
        "flat",
        Decimal("0.1"),
    )


def test_without_plans_a_conversation_has_no_tier(client: Client, traces: Rows) -> None:
    Writer(client).write("traces", traces())

    row = only_row(client)
    assert (row["tier"], row["tier_price_usd"], row["margin_usd"]) == (None, None, None)


@pytest.mark.usefixtures("plans")
def test_an_id_learned_late_moves_the_trace(client: Client, traces: Rows) -> None:
    Writer(client).write("traces", traces({"conversation_id": "unknown so far"}))
    Writer(client).write("traces", traces({"conversation_id": "c-1", "own_version": 2}))

    assert read(client, "acme")["conversation_id"].to_list() == ["c-1"]


def test_the_view_has_every_token_quantity_and_exact_money(client: Client) -> None:
    schema = read(client, "nobody").schema

    assert set(TOKENS) <= set(schema)
    assert {schema[name] for name in schema if name.endswith("_usd")} == {MONEY}
    assert PLAN_TIERS["price_usd"] == MONEY
