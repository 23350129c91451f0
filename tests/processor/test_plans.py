"""Plan files: what is read, what is refused, which plan wins."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from farebox_processor.errors import PriceBookError
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
        }
    )

    assigned = assign_tiers(conversations, plans)

    assert assigned["plan"].to_list() == ["both", "tenant", "feature", "default"]


def test_a_plan_of_the_same_name_replaces_the_one_that_is_shipped(tmp_path: Path) -> None:
    plans = load_plans([plan_file(tmp_path, "default", "0.99")])

    assert plans.tiers.select("tier", "price_usd").rows() == [("all", Decimal("0.99"))]


def test_a_plan_that_leaves_tiers_and_outcomes_out_has_those_of_the_default(
    tmp_path: Path,
) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text('plan: acme\ntenant: acme\nflat_fee_usd: "500"\n', encoding="utf-8")

    tiers = load_plans([file]).tiers

    same = ("position", "tier", "price_usd", "turns_below", "tokens_below", "success_outcomes")
    assert tiers.filter(plan="acme").select(same).equals(tiers.filter(plan="default").select(same))
    assert tiers.filter(plan="acme")["flat_fee_usd"].to_list() == [Decimal(500)] * 4


FULL_PLAN = """
plan: acme-contracts
tenant: acme
feature: contracts
tiers: [{tier: all, price_usd: "0.30"}]
actions:
  - {action: contract_review, price_usd: "4.00", charged: success}
  - {action: export, price_usd: "0.25", charged: always, match: {conversation_type: export}}
outcomes: {success: [signed, approved]}
flat_fee_usd: "500"
included_conversations: 1000
overage_price_usd: "0.10"
idle_timeout_s: 86400
budgets:
  - {scope: tenant, period: month, amount_usd: "900", warn_at: ["0.9", "0.5"]}
  - {scope: user, value: ann, period: day, amount_usd: "2"}
"""


def test_a_plan_is_read_with_all_its_terms(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(FULL_PLAN, encoding="utf-8")

    plans = load_plans([file])

    [tier] = plans.tiers.filter(plan="acme-contracts").to_dicts()
    assert tier == {
        "plan": "acme-contracts",
        "tenant": "acme",
        "feature": "contracts",
        "position": 0,
        "tier": "all",
        "price_usd": Decimal("0.30"),
        "turns_below": None,
        "tokens_below": None,
        "actions": [
            {
                "action": "contract_review",
                "dimension": "action",
                "value": "contract_review",
                "price_usd": Decimal("4.00"),
                "charged": "success",
            },
            {
                "action": "export",
                "dimension": "conversation_type",
                "value": "export",
                "price_usd": Decimal("0.25"),
                "charged": "always",
            },
        ],
        "success_outcomes": ["approved", "signed"],
        "flat_fee_usd": Decimal(500),
        "included_conversations": 1000,
        "overage_price_usd": Decimal("0.10"),
        "idle_timeout_s": 86_400,
    }
    of_plan = ("acme-contracts", "acme", "contracts")
    assert plans.budgets.rows() == [
        (*of_plan, "tenant", "", "month", Decimal(900), [Decimal("0.5"), Decimal("0.9")]),
        (*of_plan, "user", "ann", "day", Decimal(2), []),
    ]


@pytest.mark.parametrize(
    ("default", "timeouts"),
    [("", {"default": None, "p": None}), ("idle_timeout_s: 60\n", {"default": 60, "p": 60})],
)
def test_a_plan_without_an_idle_timeout_has_that_of_the_default_plan(
    tmp_path: Path, default: str, timeouts: dict[str, int | None]
) -> None:
    replaced, other = tmp_path / "default.yaml", tmp_path / "p.yaml"
    replaced.write_text(f"plan: default\ntiers: [{{tier: a, price_usd: '1'}}]\n{default}")
    other.write_text("plan: p\nfeature: f\n")

    tiers = load_plans([replaced, other]).tiers

    assert dict(tiers.select("plan", "idle_timeout_s").rows()) == timeouts


def test_the_plan_that_is_shipped_closes_a_conversation_after_half_an_hour() -> None:
    assert load_plans().tiers["idle_timeout_s"].unique().to_list() == [1800]


ACTION = "actions: [{{action: a, price_usd: '1', charged: {}}}]\n"
BUDGET = "budgets: [{{scope: {}, period: day, amount_usd: '1'{}}}]\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("- 1\n", 1, "found a list; write a mapping"),
        ("plan: default\n", 1, "'tiers' is missing"),
        ("plan: p\ntears: []\n", 2, "unknown key 'tears'; did you mean 'tiers'?"),
        ("plan: p\ntiers: [{tier: a, price_usd: 0.1}]\n", 2, 'quote it, as "0.1"'),
        ('plan: p\ntiers:\n- {tier: a, price_usd: "-1"}\n', 3, "not below 0"),
        (
            'plan: p\ntiers: [{tier: a, price_usd: "1", turns_below: 0}]\n',
            2,
            "tiers[0].turns_below: found '0'; write a whole number above 0",
        ),
        (
            'plan: p\ntiers:\n- {tier: a, price_usd: "1", turns_below: 3}\n',
            3,
            "the last tier has a limit",
        ),
        ("plan: p\ntiers: []\n", 2, "found no tier"),
        ("plan: [\n", 2, "correct the YAML"),
        ("plan: p\n" + ACTION.format("maybe"), 2, "found 'maybe'; write one of success, always"),
        (
            "plan: p\n" + ACTION.format("always, match: {}"),
            2,
            "found 0 conditions; write one dimension: value",
        ),
        (
            "plan: p\n" + ACTION.format("always, match: {shape: b}"),
            2,
            "unknown key 'shape'; known: user_id",
        ),
        (
            "plan: p\nactions:\n" + "- {action: a, price_usd: '1', charged: always}\n" * 2,
            4,
            "are the same conversations, those of action 'a'",
        ),
        ("plan: p\nincluded_conversations: 9\n", 2, "needs a flat fee; add flat_fee_usd"),
        (
            "plan: p\nflat_fee_usd: '9'\nincluded_conversations: 9\n",
            3,
            "stands alone; add overage_price_usd",
        ),
        ("plan: p\nidle_timeout_s: 0\n", 2, "found '0'; write a whole number above 0"),
        ("plan: p\nidle_timeout_s: 4000000000\n", 2, "write seconds, at most 3155760000"),
        ("plan: p\n" + BUDGET.format("team", ""), 2, "found 'team'; write one of tenant, user"),
        ("plan: p\n" + BUDGET.format("tenant", ", value: a"), 2, "name the plan's tenant"),
        ("plan: p\n" + BUDGET.format("user", ", warn_at: ['80']"), 2, "above 0 and up to 1"),
    ],
)
def test_a_plan_with_an_error_is_refused_with_file_line_and_what_to_do(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(PriceBookError) as refused:
        load_plans([file])

    assert str(refused.value).startswith(f"{file}:{line}: ")
    assert said in str(refused.value)


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(b"\xff")

    with pytest.raises(PriceBookError, match=f"{file}: cannot be read"):
        load_plans([file])


def test_two_plans_for_the_same_conversations_are_refused(tmp_path: Path) -> None:
    files = [plan_file(tmp_path, name, "1", "tenant: acme\n") for name in ("a", "b")]

    with pytest.raises(PriceBookError, match="plans a, b are all for tenant 'acme'"):
        load_plans(files)
