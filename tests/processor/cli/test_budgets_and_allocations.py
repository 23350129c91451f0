"""`farebox budgets`, `allocate` and `totals`, on a store that `farebox ingest` has filled."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.usefixtures("wide")

PLAN = """
plan: tight
tenant: acme
actions: [{action: support, price_usd: "0.30", charged: success, match: {environment: test}}]
budgets:
  - {scope: tenant, period: month, amount_usd: "0.02", warn_at: ["0.5", "0.8"]}
  - {scope: tenant, period: day, amount_usd: "0.01"}
"""
SHARED = """
allocations:
  - {id: index, amount_usd: "9", from: 2026-11-21, until: 2026-11-22, by: output_tokens,
     unallocated_share: "0.25"}
"""


@pytest.fixture
def stored(
    run: Run, recording: Callable[[str], Path], tmp_path: Path, engine_dsn: str, database: str
) -> dict[str, str]:
    """The settings of a store with three turns of a conversation, of 2026-11-21, and a plan."""
    plan = tmp_path / "tight.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    settings = {
        "FAREBOX_STORE__DSN": engine_dsn,
        "FAREBOX_STORE__DATABASE": database,
        "FAREBOX_PLANS__PATHS": str(plan),
    }
    taken = run("ingest", recording("pyd_conversation_3turns"), "--tenant", "acme", **settings)
    assert taken.exit_code == 0, taken.stderr
    return settings


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_budgets_show_what_is_spent_and_where_it_leads(run: Run, stored: dict[str, str]) -> None:
    result = run("budgets", "--at", "2026-11-21T12:00", **stored)

    # $0.0179025 in 12 hours of the day, in 492 hours of the month of 720.
    assert lines(result.stdout) == [
        "budget tenant period amount spent share per hour forecast state",
        "tenant acme day $0.01 $0.017902 179% $0.001492 $0.035805 exceeded",
        "tenant acme month $0.02 $0.017902 90% $0.000036 $0.026199 warned",
    ]


def test_budgets_are_shown_to_programs_and_only_for_the_tenant_asked_for(
    run: Run, stored: dict[str, str]
) -> None:
    asked = run("budgets", "--at", "2026-11-21T12:00", "--tenant", "acme", "--json", **stored)
    other = run("budgets", "--tenant", "umbrella", "--json", **stored)

    day, month = json.loads(asked.stdout)["budgets"]
    assert (day["spent_usd"], day["state"]) == ("0.0179025", "exceeded")
    assert (month["warned_at"], month["forecast_exceeds"]) == ("0.8", True)
    assert json.loads(other.stdout)["budgets"] == []


def test_without_spending_or_without_budgets_it_is_said_what_to_do(
    run: Run, stored: dict[str, str]
) -> None:
    long_ago = run("budgets", "--at", "2020-01-31", **stored)
    unplanned = run("budgets", **stored | {"FAREBOX_PLANS__PATHS": ""})

    assert long_ago.stdout == "nothing is spent against a budget since 2020-01-01\n"
    assert unplanned.stdout.startswith("no plan has a budget; write one under `budgets`")


def test_a_shared_cost_is_allocated_once_however_often_it_is_allocated(
    run: Run, stored: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "shared.yaml"
    file.write_text(SHARED, encoding="utf-8")

    dry = run("allocate", file, "--dry-run", "--json", **stored)
    shown = [run("allocate", file, **stored) for _ in range(2)][-1]

    rows = json.loads(dry.stdout)["allocations"]
    borne = {row["conversation_id"]: Decimal(row["amount_usd"]) for row in rows}
    assert borne == {"conv-pyd-3": Decimal("6.75"), "": Decimal("2.25")}
    assert lines(shown.stdout) == [
        "allocation from until by conversations amount allocated unallocated",
        "index 2026-11-21 00:00 2026-11-22 00:00 output_tokens 1 $9 $6.75 $2.25",
    ]


def test_totals_show_what_was_earned_beside_what_it_cost(run: Run, stored: dict[str, str]) -> None:
    shown = run("totals", "environment", **stored)

    # Charged on success, and no outcome is known.
    assert lines(shown.stdout) == [
        "environment conversations calls unpriced tokens succeeded cost revenue margin"
        " cost per success",
        "test 1 3 0 5,574 0 $0.017902 $0 -$0.017902",
    ]


def test_conversations_are_found_and_summed_by_a_configured_dimension(
    run: Run, recording: Callable[[str], Path], stored: dict[str, str]
) -> None:
    settings = stored | {"FAREBOX_DIMENSIONS__EXTRA": "{stage: [deployment.environment.name]}"}
    run("ingest", recording("pyd_conversation_3turns"), "--tenant", "umbrella", **settings)

    listed = run("conversations", "--dimension", "stage=test", "--json", **settings)
    none = run("conversations", "--dimension", "stage=live", "--json", **settings)
    summed = run("totals", "stage", "--json", **settings)

    [found] = json.loads(listed.stdout)["conversations"]
    assert (found["tenant"], found["dimensions"]) == ("umbrella", {"stage": "test"})
    assert json.loads(none.stdout)["conversations"] == []
    assert [
        (row["value"], row["conversations"], row["cost_usd"])
        for row in json.loads(summed.stdout)["totals"]
    ] == [("test", 1, "0.0179025"), (None, 1, "0.0179025")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("stage=test", "--dimension: 'stage' is not configured; configured: region"),
        ("region", "--dimension: expected region=VALUE, found no value"),
    ],
)
def test_a_dimension_that_cannot_be_asked_for_is_refused(run: Run, given: str, said: str) -> None:
    result = run("conversations", "--dimension", given, FAREBOX_DIMENSIONS__EXTRA="{region: []}")

    assert result.exit_code == 1
    assert said in result.stderr


def test_a_file_of_shared_costs_with_an_error_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    file.write_text("allocations: 3\n", encoding="utf-8")

    result = run("allocate", file)

    assert result.exit_code == 1
    assert f"{file}:1: allocations: found '3'; write a list" in result.stderr
