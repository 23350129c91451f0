"""Traces in, conversations out: sums, verdicts, tiers."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from farebox_processor.conversations import summarise
from farebox_processor.frames import MONEY, TRACES
from farebox_processor.plans import load_plans
from support.rows import at


def traces(*rows: dict[str, Any]) -> pl.DataFrame:
    """Build trace rows with defaults: one billed call, nothing spent."""
    amounts = dict.fromkeys((name for name, dtype in TRACES.items() if dtype == MONEY), Decimal(0))
    counts = dict.fromkeys((name for name, dtype in TRACES.items() if dtype.is_integer()), 0)
    lists = dict.fromkeys((name for name, dtype in TRACES.items() if dtype.is_nested()), ())
    defaults = {
        **dict.fromkeys(TRACES),
        **amounts,
        **counts,
        **{name: [] for name in lists},
        "tenant": "",
        "conversation_id": "chat-1",
        "conversation_id_source": "span",
        "conversation_ended": False,
        "started_at": at(0),
        "ended_at": at(1),
        "candidates": 1,
        "calls": 1,
        "billed_calls": 1,
        "turns": 1,
        "cost_statuses": ["exact"],
        "dimensions": {},
    }
    numbered = ({"trace_id": f"t{number}"} for number in range(len(rows)))
    return pl.DataFrame(
        [defaults | number | row for number, row in zip(numbered, rows, strict=True)],
        schema=TRACES,
        orient="row",
    )


def cost(usd: str | None, status: str = "exact", **columns: Any) -> dict[str, Any]:
    amount = None if usd is None else Decimal(usd)
    exact = amount if status == "exact" else Decimal(0)
    bounds = {"cost_low_usd": amount or Decimal(0), "cost_high_usd": amount}
    return {
        "cost_usd": amount,
        "exact_cost_usd": exact,
        "cost_statuses": [status],
        **bounds,
        **columns,
    }


def one(*rows: dict[str, Any]) -> dict[str, Any]:
    [conversation] = summarise(traces(*rows), load_plans()).to_dicts()
    return conversation


def test_a_conversation_is_the_sum_of_its_traces() -> None:
    conversation = one(
        cost("0.01", turns=1, total_tokens=100, started_at=at(0), ended_at=at(5), models=["b"]),
        cost("0.02", turns=2, total_tokens=900, started_at=at(9), ended_at=at(20), models=["a"]),
    )

    assert {
        name: conversation[name]
        for name in ("cost_usd", "turns", "total_tokens", "started_at", "ended_at", "models")
    } == {
        "cost_usd": Decimal("0.03"),
        "turns": 3,
        "total_tokens": 1000,
        "started_at": at(0),
        "ended_at": at(20),
        "models": ["a", "b"],
    }


def test_a_turn_id_in_two_traces_is_one_turn() -> None:
    conversation = one(
        cost("0.01", turns=0, turn_ids=["x"]), cost("0.01", turns=0, turn_ids=["x", "y"])
    )

    assert conversation["turns"] == 2


def test_tenants_do_not_share_conversations() -> None:
    conversations = summarise(
        traces(cost("0.01", tenant="acme"), cost("0.02", tenant="umbrella")), load_plans()
    )

    assert conversations.select("tenant", "cost_usd").rows() == [
        ("umbrella", Decimal("0.02")),
        ("acme", Decimal("0.01")),
    ]


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["exact", "exact"], "exact"),
        (["exact", "supplied"], "supplied"),
        (["supplied", "upper_bound"], "upper_bound"),
        (["upper_bound", "estimated"], "estimated"),
        (["estimated", "partial"], "partial"),
        (["exact", "unpriced"], "partial"),
        (["unpriced", "unpriced"], "unpriced"),
    ],
)
def test_the_verdict_of_a_sum_is_that_of_its_worst_part(statuses: list[str], verdict: str) -> None:
    conversation = one(*(cost(None if s == "unpriced" else "0.01", s) for s in statuses))

    assert conversation["cost_status"] == verdict


def test_the_exact_share_is_the_part_of_the_cost_that_is_exact() -> None:
    assert one(cost("0.03"), cost("0.01", "estimated"))["exact_share"] == 0.75
    assert one(cost("0"))["exact_share"] == 1.0
    assert one(cost(None, "unpriced"))["exact_share"] is None


def test_a_cost_without_an_upper_bound_makes_the_sum_unbounded() -> None:
    conversation = one(cost("0.03"), cost(None, "unpriced"))

    assert (conversation["cost_usd"], conversation["cost_low_usd"]) == (
        Decimal("0.03"),
        Decimal("0.03"),
    )
    assert conversation["cost_high_usd"] is None


def test_traces_without_calls_and_without_a_conversation_id_are_left_out() -> None:
    plain = {"candidates": 0, "calls": 0, "billed_calls": 0, "conversation_id_source": "trace"}

    assert summarise(traces(cost("0", **plain)), load_plans()).is_empty()


@pytest.mark.parametrize(
    ("turns", "tokens", "tier", "price"),
    [
        (3, 4999, "simple", "0.02"),
        (4, 4999, "standard", "0.05"),
        (3, 5000, "standard", "0.05"),
        (9, 19_999, "standard", "0.05"),
        (10, 100, "complex", "0.15"),
        (29, 79_999, "complex", "0.15"),
        (30, 1, "enterprise", "0.50"),
        (1, 80_000, "enterprise", "0.50"),
    ],
)
def test_the_tier_is_the_first_whose_limits_on_turns_and_tokens_hold(
    turns: int, tokens: int, tier: str, price: str
) -> None:
    conversation = one(cost("0.01", turns=turns, total_tokens=tokens))

    assert (conversation["tier"], conversation["tier_price_usd"]) == (tier, Decimal(price))


def test_the_margin_is_tier_price_minus_cost_and_the_recovery_ratio_their_quotient() -> None:
    conversation = one(cost("0.04"))

    assert conversation["margin_usd"] == Decimal("-0.02")
    assert conversation["recovery_ratio"] == 0.5


def test_an_unknown_cost_has_no_margin() -> None:
    assert one(cost(None, "unpriced"))["margin_usd"] is None
