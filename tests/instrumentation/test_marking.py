"""What a service says of its conversations as they go."""

from decimal import Decimal
from typing import Any

import pytest

import farebox
from farebox_processor.config import Config
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules


def test_the_outcome_that_was_said_last_counts_on_whatever_span_each_was_said(emitted: Any) -> None:
    span = emitted.tracer.start_as_current_span
    with farebox.conversation("outwards"), span("request"):
        with span("step"):
            farebox.outcome("escalated")
        farebox.outcome("resolved")
    with farebox.conversation("inwards"), span("request"):
        farebox.outcome("escalated")
        with span("step"):
            farebox.outcome("resolved")
    with farebox.conversation("at its end"), span("request"):
        farebox.outcome("escalated")
        with span("step"):
            farebox.end_conversation("resolved")
    with farebox.conversation("without a span"):
        farebox.outcome("escalated")
        farebox.outcome("resolved")

    conversations = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    assert {each["conversation_id"]: each["outcome"] for each in conversations} == {
        "outwards": "resolved",
        "inwards": "resolved",
        "at its end": "resolved",
        "without a span": "resolved",
    }


def test_an_end_gets_a_span_of_its_own(emitted: Any) -> None:
    with farebox.conversation("c1"):
        farebox.end_conversation()

    assert emitted.only() == {
        "gen_ai.conversation.id": "c1",
        "farebox.conversation.ended": True,
    }


def test_a_paid_tool_names_its_price_rule_and_what_it_used(emitted: Any) -> None:
    with farebox.conversation("c1"):
        farebox.tool_cost("ocr", rule="ocr_page", unit="page", quantity=12)

    assert emitted.only() == {
        "gen_ai.conversation.id": "c1",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "ocr",
        "farebox.price.rule": "ocr_page",
        "farebox.usage.page": 12,
    }


@pytest.mark.parametrize("amount", [Decimal("0.015"), "0.015", 0.015])
def test_a_cost_that_the_service_knows_counts_in_the_conversation(
    emitted: Any, amount: Any
) -> None:
    with farebox.conversation("c1"):
        farebox.record_cost(amount, of="human review")

    (conversation,) = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    assert (conversation["cost_usd"], conversation["cost_status"]) == ("0.015", "supplied")


@pytest.mark.parametrize("amount", ["a lot", "NaN", "Infinity", "1e12"])
def test_nonsense_is_not_recorded_as_a_cost(
    emitted: Any, caplog: pytest.LogCaptureFixture, amount: str
) -> None:
    farebox.record_cost(amount)

    assert emitted.spans == ()
    assert [record.message for record in caplog.records] == [
        f"record_cost: {amount!r} is not an amount in US dollars; nothing was recorded"
    ]
