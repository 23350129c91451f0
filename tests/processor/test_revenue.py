"""Who pays what: by action, by tier, by the month."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from farebox_processor.frames import DIMENSIONS, EXTRA_DIMENSIONS, MONEY
from farebox_processor.plans import Plans, assign_tiers, load_plans
from farebox_processor.revenue import add_revenue

PLAN = """
plan: acme
tenant: acme
actions:
  - {action: contract_review, price_usd: "4.00", charged: success}
  - {action: export, price_usd: "0.25", charged: always, match: {feature: exports}}
  - {action: upsell, price_usd: "0.75", charged: always, match: {campaign: spring}}
outcomes: {success: [signed]}
"""


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    priced, flat = tmp_path / "acme.yaml", tmp_path / "club.yaml"
    priced.write_text(PLAN, encoding="utf-8")
    flat.write_text(
        'plan: club\ntenant: club\nflat_fee_usd: "99"\n'
        'actions: [{action: call, price_usd: "2", charged: always}]\n',
        encoding="utf-8",
    )
    return load_plans([priced, flat], ["campaign"])


def sold(plans: Plans, cost: str | None = "0.01", **facts: Any) -> dict[str, Any]:
    """Return what one conversation of one turn earned; it cost `cost`."""
    conversation = {
        "tenant": "acme",
        "conversation_id": "c-1",
        "turns": 1,
        "total_tokens": 100,
        "outcome": None,
        **dict.fromkeys(DIMENSIONS),
        "dimensions": {},
        **facts,
    }
    frame = pl.DataFrame(
        [conversation],
        schema_overrides=dict.fromkeys(DIMENSIONS, pl.String) | {"dimensions": EXTRA_DIMENSIONS},
    )
    priced = frame.with_columns(
        pl.col("outcome").cast(pl.String),
        cost_usd=pl.lit(None if cost is None else Decimal(cost), dtype=MONEY),
    )
    [row] = add_revenue(assign_tiers(priced, plans), plans).to_dicts()
    return {name: value for name, value in row.items() if name not in conversation}


@pytest.mark.parametrize(
    ("outcome", "succeeded", "earned"),
    [
        ("signed", True, ("4.00", "3.99", 400.0)),
        ("abandoned", False, ("0", "-0.01", 0.0)),
        (None, None, ("0", "-0.01", 0.0)),
    ],
)
def test_an_action_charged_on_success_earns_its_price_once_it_has_succeeded(
    plans: Plans,
    outcome: str | None,
    succeeded: bool | None,
    earned: tuple[str, str, float],
) -> None:
    price, margin, ratio = earned

    assert sold(plans, action="contract_review", outcome=outcome) == {
        "cost_usd": Decimal("0.01"),
        "plan": "acme",
        "tier": "simple",
        "tier_price_usd": Decimal("0.02"),
        "succeeded": succeeded,
        "priced_action": "contract_review",
        "action_price_usd": Decimal(price),
        "sold_by": "action",
        "revenue_usd": Decimal(price),
        "margin_usd": Decimal(margin),
        "recovery_ratio": ratio,
    }


def test_an_action_charged_always_earns_its_price_however_it_ends(plans: Plans) -> None:
    row = sold(plans, feature="exports", outcome="failed")

    assert (row["priced_action"], row["revenue_usd"]) == ("export", Decimal("0.25"))
    assert row["succeeded"] is False


def test_an_action_may_be_told_by_a_configured_dimension(plans: Plans) -> None:
    told = sold(plans, dimensions={"campaign": "spring", "region": "eu"})

    assert (told["priced_action"], told["revenue_usd"]) == ("upsell", Decimal("0.75"))
    assert sold(plans, dimensions={"campaign": "autumn"})["sold_by"] == "tier"


def test_of_two_actions_that_fit_the_first_of_the_plan_sells(plans: Plans) -> None:
    row = sold(plans, feature="exports", action="contract_review", outcome="signed")

    assert row["priced_action"] == "contract_review"


def test_an_action_that_the_plan_does_not_price_is_sold_at_its_tier(plans: Plans) -> None:
    row = sold(plans, action="small_talk")

    assert (row["sold_by"], row["revenue_usd"]) == ("tier", Decimal("0.02"))
    assert (row["priced_action"], row["action_price_usd"]) == (None, None)


def test_an_action_of_another_plan_sells_nothing(plans: Plans) -> None:
    assert sold(plans, tenant="other", action="contract_review")["sold_by"] == "tier"


def test_under_a_flat_fee_a_conversation_alone_has_no_revenue_unless_it_is_a_priced_action(
    plans: Plans,
) -> None:
    talk, call = sold(plans, tenant="club"), sold(plans, tenant="club", action="call")

    wanted = ("sold_by", "tier_price_usd", "revenue_usd", "margin_usd", "recovery_ratio")
    assert [talk[name] for name in wanted] == ["flat_fee", Decimal("0.02"), None, None, None]
    assert (call["sold_by"], call["revenue_usd"]) == ("action", Decimal(2))


def test_what_cost_nothing_or_an_unknown_amount_has_no_recovery_ratio(plans: Plans) -> None:
    free, unknown = sold(plans, "0"), sold(plans, None)

    assert (free["margin_usd"], free["recovery_ratio"]) == (Decimal("0.02"), None)
    assert (unknown["margin_usd"], unknown["recovery_ratio"]) == (None, None)
