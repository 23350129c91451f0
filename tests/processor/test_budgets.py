"""Budgets: whose they are, how much of them is spent, and where that leads."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from farebox_processor.budgets import month_and_day, stand_of_budgets
from farebox_processor.frames import BUDGETS, MONEY

# Half of November, half of the day.
NOON = datetime(2026, 11, 16, 0, 0, tzinfo=UTC)
HALF_DAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

SPENT = {
    "tenant": pl.String(),
    "user_id": pl.String(),
    "feature": pl.String(),
    "day_usd": MONEY,
    "month_usd": MONEY,
    "day_unpriced": pl.UInt64(),
    "month_unpriced": pl.UInt64(),
}


def budgets(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return budgets of $10 a month for each tenant, but for what is said."""
    defaults = {
        "plan": "default",
        "tenant": "",
        "feature": "",
        "scope": "tenant",
        "value": "",
        "period": "month",
        "amount_usd": Decimal(10),
        "warn_at": [],
    }
    return pl.DataFrame([defaults | row for row in rows], schema=BUDGETS)


def spent(tenant: str, month: str, day: str = "0", **facts: Any) -> dict[str, Any]:
    amounts = {"day_usd": Decimal(day), "month_usd": Decimal(month)}
    unpriced = {"day_unpriced": 0, "month_unpriced": 0}
    return {"tenant": tenant, "user_id": None, "feature": None, **amounts, **unpriced, **facts}


def stand(of: pl.DataFrame, *rows: dict[str, Any], at: datetime = NOON) -> list[dict[str, Any]]:
    return stand_of_budgets(of, pl.DataFrame(rows, schema=SPENT), at).to_dicts()


def whose(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    wanted = ("plan", "tenant", "scope", "value", "spent_usd")
    return [tuple(row[name] for name in wanted) for row in rows]


def test_a_budget_says_what_is_spent_at_what_pace_and_where_the_period_will_end() -> None:
    monthly = budgets({"warn_at": [Decimal("0.5"), Decimal("0.8"), Decimal(1)]})

    found = stand(
        monthly,
        spent("acme", "5", user_id="ann"),
        spent("acme", "3.1", user_id="bob", month_unpriced=2),
    )

    assert found == [
        {
            "plan": "default",
            "tenant": "acme",
            "feature": "",
            "scope": "tenant",
            "value": "",
            "period": "month",
            "amount_usd": Decimal(10),
            "spent_usd": Decimal("8.1"),
            "spent_share": Decimal("0.81"),
            # 15 of 30 days have passed: 8.1 / 360 hours.
            "usd_per_hour": Decimal("0.0225"),
            "forecast_usd": Decimal("16.2"),
            "unpriced_calls": 2,
            "warned_at": Decimal("0.8"),
            "state": "warned",
            "forecast_exceeds": True,
        }
    ]


@pytest.mark.parametrize(
    ("month", "state", "warned_at"),
    [
        ("4.99", "ok", None),
        ("5", "warned", Decimal("0.5")),
        ("10", "warned", Decimal("0.5")),
        ("10.000000000000000001", "exceeded", Decimal("0.5")),
    ],
)
def test_a_budget_warns_from_its_share_on_and_is_exceeded_above_its_amount(
    month: str, state: str, warned_at: Decimal | None
) -> None:
    [found] = stand(budgets({"warn_at": [Decimal("0.5")]}), spent("acme", month))

    assert (found["state"], found["warned_at"]) == (state, warned_at)


def test_a_budget_of_a_day_counts_what_the_day_has_cost_so_far() -> None:
    [found] = stand(budgets({"period": "day"}), spent("acme", "90", "4"), at=HALF_DAY)

    wanted = ("spent_usd", "usd_per_hour", "forecast_usd", "forecast_exceeds")
    assert [found[name] for name in wanted] == [
        Decimal(4),
        Decimal("0.333333333333333333"),
        Decimal(8),
        False,
    ]


def test_each_tenant_user_and_feature_has_a_budget_of_its_own_the_fullest_first() -> None:
    found = stand(
        budgets({"scope": "user"}, {"scope": "feature"}, {}),
        spent("acme", "1", user_id="ann", feature="search"),
        spent("acme", "2", user_id="ann", feature="chat"),
        spent("umbrella", "4", user_id="ann"),
    )

    assert whose(found) == [
        ("default", "umbrella", "tenant", "", Decimal(4)),
        ("default", "umbrella", "user", "ann", Decimal(4)),
        ("default", "acme", "tenant", "", Decimal(3)),
        ("default", "acme", "user", "ann", Decimal(3)),
        ("default", "acme", "feature", "chat", Decimal(2)),
        ("default", "acme", "feature", "search", Decimal(1)),
    ]


def test_the_budget_made_most_closely_for_whoever_spends_counts_alone() -> None:
    found = stand(
        budgets(
            {"scope": "user"},
            {"scope": "user", "value": "ann", "plan": "ann"},
            {"scope": "user", "tenant": "acme", "plan": "acme"},
        ),
        spent("acme", "1", user_id="ann"),
        spent("umbrella", "2", user_id="ann"),
        spent("umbrella", "3", user_id="bob"),
    )

    assert whose(found) == [
        ("default", "umbrella", "user", "bob", Decimal(3)),
        ("ann", "umbrella", "user", "ann", Decimal(2)),
        ("acme", "acme", "user", "ann", Decimal(1)),
    ]


def test_a_budget_of_a_plan_for_a_feature_counts_that_feature_beside_the_whole() -> None:
    found = stand(
        budgets({}, {"feature": "search", "plan": "search"}),
        spent("acme", "1", feature="search"),
        spent("acme", "4"),
    )

    assert whose(found) == [
        ("default", "acme", "tenant", "", Decimal(5)),
        ("search", "acme", "tenant", "", Decimal(1)),
    ]


def test_a_budget_of_nothing_is_exceeded_by_anything() -> None:
    none_at_all = budgets({"amount_usd": Decimal(0)})
    [found] = stand(none_at_all, spent("acme", "0.01"))

    assert (found["state"], found["spent_share"]) == ("exceeded", None)


def test_without_budgets_or_spending_there_is_nothing_to_show() -> None:
    assert stand(budgets(), spent("acme", "1")) == []
    assert stand(budgets({})) == []


def test_month_and_day_begin_at_midnight() -> None:
    assert month_and_day(datetime(2026, 12, 31, 23, 59, 59, 9, tzinfo=UTC)) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 31, tzinfo=UTC),
    )
