"""A terminal that is narrow wraps lines; it never makes a table cut an amount."""

from decimal import Decimal

import polars as pl
import pytest

from farebox_processor.cli.console import NARROWEST, money, out
from farebox_processor.cli.pricing import conversation_table
from farebox_processor.cli.stored import totals_table

AMOUNT = Decimal("12345.678901")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables as little room as any terminal gives them."""
    monkeypatch.setattr(out, "_width", NARROWEST)


@pytest.mark.usefixtures("narrow")
def test_the_amounts_of_conversations_are_whole() -> None:
    row = {
        "conversation_id": "6a17f3439f37b0887f6837c5e57a9a88",
        "turns": 1000,
        "calls": 10_000,
        "total_tokens": 10_000_000,
        "cost_usd": str(AMOUNT),
        "cost_status": "upper_bound",
        "tier": "enterprise",
        "tier_price_usd": "0.5",
        "margin_usd": str(-AMOUNT),
        "models": ["us.anthropic.claude-sonnet-4-5-20250929-v1:0"],
    }

    with out.capture() as shown:
        out.print(conversation_table([row]))

    assert [part in shown.get() for part in (money(AMOUNT), money(-AMOUNT), "10,000,000")] == [
        True
    ] * 3


@pytest.mark.usefixtures("narrow")
def test_the_amounts_of_totals_are_whole() -> None:
    names = ("cost_usd", "revenue_usd", "margin_usd", "cost_per_success_usd")
    counts = ("conversations", "billed_calls", "unpriced_calls", "total_tokens", "succeeded")
    row = {"value": "6a17f3439f37b0887f6837c5e57a9a88"}
    row |= dict.fromkeys(names, AMOUNT) | dict.fromkeys(counts, 10_000)

    with out.capture() as shown:
        out.print(totals_table("user_id", pl.DataFrame([row])))

    assert shown.get().count(money(AMOUNT)) == len(names)
