"""Plan files: what is read, what is refused, which plan wins."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from farebox_processor.errors import PriceBookError
from farebox_processor.frames import MONEY
from farebox_processor.plans import assign_tiers, load_plans

ONE_TIER = 'plan: {plan}\n{scope}tiers: [{{tier: all, price_usd: "{price}"}}]\n'


def plan_file(folder: Path, plan: str, price: str, scope: str = "") -> Path:
    file = folder / f"{plan}.yaml"
    file.write_text(ONE_TIER.format(plan=plan, price=price, scope=scope), encoding="utf-8")
    return file


def test_the_default_plan_has_the_four_tiers() -> None:
    tiers = load_plans().tiers.select("plan", "tier", "price_usd", "turns_below", "tokens_below")

    assert tiers.rows() == [
        ("default", "simple", Decimal("0.02"), 4, 5000),
        ("default", "standard", Decimal("0.05"), 10, 20_000),
        ("default", "complex", Decimal("0.15"), 30, 80_000),
        ("default", "enterprise", Decimal("0.50"), None, None),
    ]


def test_the_plan_for_tenant_and_feature_wins_then_tenant_then_feature_then_default(
    tmp_path: Path,
) -> None:
    plans = load_plans(
        [
            plan_file(tmp_path, "both", "4", "tenant: acme\nfeature: search\n"),
            plan_file(tmp_path, "tenant", "3", "tenant: acme\n"),
            plan_file(tmp_path, "feature", "2", "feature: search\n"),
        ]
    )
    conversations = pl.DataFrame(
        {
            "tenant": ["acme", "acme", "other", "other"],
            "conversation_id": ["1", "2", "3", "4"],
            "feature": ["search", "chat", "search", None],
            "turns": [1] * 4,
            "total_tokens": [1] * 4,
            "cost_usd": pl.Series([Decimal(0)] * 4, dtype=MONEY),
        }
    )

    assigned = assign_tiers(conversations, plans)

    assert assigned["plan"].to_list() == ["both", "tenant", "feature", "default"]


def test_a_plan_of_the_same_name_replaces_the_one_that_is_shipped(tmp_path: Path) -> None:
    plans = load_plans([plan_file(tmp_path, "default", "0.99")])

    assert plans.tiers.select("tier", "price_usd").rows() == [("all", Decimal("0.99"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan: p\n", "'tiers' is missing"),
        ("- 1\n", "a plan must be a mapping"),
        ("plan: p\ntears: []\ntiers: []\n", "unknown key 'tears'"),
        ("plan: p\ntiers: [{tier: a, price_usd: 0.1}]\n", "as a quoted decimal"),
        ('plan: p\ntiers: [{tier: a, price_usd: "-1"}]\n', "price_usd is '-1'"),
        ('plan: p\ntiers: [{tier: a, price_usd: "1", turns_below: 0}]\n', "use an integer > 0"),
        ('plan: p\ntiers: [{tier: a, price_usd: "1", turns_below: 3}]\n', "the last tier must"),
        ("plan: [\n", "cannot be read as YAML"),
    ],
)
def test_a_plan_with_an_error_is_refused_with_file_and_what_to_do(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(PriceBookError) as refused:
        load_plans([file])

    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_two_plans_for_the_same_conversations_are_refused(tmp_path: Path) -> None:
    files = [plan_file(tmp_path, name, "1", "tenant: acme\n") for name in ("a", "b")]

    with pytest.raises(PriceBookError, match="plans a, b are all for tenant 'acme'"):
        load_plans(files)
