"""`farebox plans`: what conversations are sold for, as people and programs see it."""

import json
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.usefixtures("wide")

PLAN = """\
plan: globex
tenant: globex
tiers:
  - {tier: small, price_usd: "0.10", turns_below: 3}
  - {tier: large, price_usd: "0.40"}
"""
EVERYTHING = """\
plan: acme
tenant: acme
tiers:
  - {tier: all, price_usd: "0.30"}
actions:
  - {action: ticket_resolved, price_usd: "0.99", charged: success, match: {feature: support}}
  - {action: contract_review, price_usd: "12", charged: always}
flat_fee_usd: "500"
included_conversations: 1000
overage_price_usd: "0.25"
budgets:
  - {scope: tenant, period: month, amount_usd: "2000"}
  - {scope: user, value: ann, period: day, amount_usd: "5", warn_at: ["0.5", "1"]}
"""


def test_the_tiers_of_every_plan_in_use_are_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)

    result = run("plans", "show", FAREBOX_PLANS__PATHS=str(path))

    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "plan tenant feature tier price turns below tokens below",
        "default any any simple $0.02 4 5,000",
        "default any any standard $0.05 10 20,000",
        "default any any complex $0.15 30 80,000",
        "default any any enterprise $0.5 no limit no limit",
        "globex globex any small $0.1 3 no limit",
        "globex globex any large $0.4 no limit no limit",
        "default: closed after 1,800 s of silence",
        "globex: closed after 1,800 s of silence",
    ]


def test_what_a_plan_sells_besides_tiers_is_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(EVERYTHING)

    result = run("plans", "show", FAREBOX_PLANS__PATHS=str(path))

    assert result.stdout.splitlines()[-7:] == [
        "acme: action ticket_resolved (feature support): $0.99, charged on success",
        "acme: action contract_review (action contract_review): $12, charged always",
        "acme: $500 a month for 1,000 conversations, $0.25 for each above",
        "acme: closed after 1,800 s of silence",
        "default: closed after 1,800 s of silence",
        "acme: budget of tenant acme: $2000 a month",
        "acme: budget of user ann: $5 a day, warns at 50%, 100%",
    ]


def test_plans_are_shown_to_programs_with_amounts_as_decimal_text(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(EVERYTHING)

    result = run("plans", "show", "--json", FAREBOX_PLANS__PATHS=str(path))

    shown = json.loads(result.stdout)
    default = next(tier for tier in shown["tiers"] if tier["plan"] == "default")
    amounts = [default[name] for name in ("tier", "price_usd", "turns_below", "flat_fee_usd")]
    assert amounts == ["simple", "0.02", 4, None]
    assert shown["budgets"][1] == {
        "plan": "acme",
        "tenant": "acme",
        "feature": "",
        "scope": "user",
        "value": "ann",
        "period": "day",
        "amount_usd": "5",
        "warn_at": ["0.5", "1"],
    }


def test_a_plan_is_checked_together_with_those_that_are_shipped(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    good = run("plans", "check", path)
    path.write_text(PLAN.replace("tenant: globex\n", ""))
    clashing = run("plans", "check", path)

    assert good.stdout == "2 plans, all good: default, globex\n"
    assert (clashing.exit_code, clashing.stdout) == (1, "")
    assert "plans default, globex are all for tenant ''" in clashing.stderr


def test_a_plan_with_a_float_for_a_price_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace('"0.40"', "0.40"))

    result = run("plans", "check", path)

    assert result.exit_code == 1
    assert f"{path}:5: tiers[1].price_usd: found the float 0.40" in result.stderr
