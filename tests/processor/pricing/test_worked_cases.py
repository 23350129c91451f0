"""The worked cases: usage in, the provider's bill out, and the numbers that others arrive at."""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
import yaml

from farebox_processor.price_book import PriceBook
from farebox_processor.pricing import price_spans

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
CASES: Final[list[dict[str, Any]]] = [
    case
    for path in sorted((FIXTURES / "pricing").glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
]
NO_SPAN_SHOWS: Final = {
    52: "an hour of GPU divided by what all conversations drew from it",
    53: "storage of an explicit cache, billed by the hour and on no span",
}


def call(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the file with its texts turned into times and decimals."""
    typed = dict(row)
    if "started_at" in row:
        typed["started_at"] = datetime.fromisoformat(row["started_at"])
    if "supplied_cost_usd" in row:
        typed["supplied_cost_usd"] = Decimal(row["supplied_cost_usd"])
    if "units" in row:
        typed["units"] = [unit | {"quantity": Decimal(unit["quantity"])} for unit in row["units"]]
    return typed


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}: {case['title']}")
def test_a_worked_case_costs_what_the_provider_charges(
    case: dict[str, Any], book: PriceBook, usage_of: Callable[..., pl.DataFrame]
) -> None:
    usage = usage_of(*(call(row) for row in case["calls"]))

    priced = price_spans(usage, book)

    total = sum(priced["cost_usd"], start=Decimal(0)) * case.get("times", 1)
    assert total == Decimal(case["cost"])
    assert total not in [Decimal(wrong) for wrong in case["wrong"].values()]
    assert sorted(set(priced["cost_status"])) == case["statuses"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_the_arithmetic_of_a_worked_case_adds_up(case: dict[str, Any]) -> None:
    amounts = [Decimal(line["amount"]) for line in case["lines"]]

    multiplied = [
        Decimal(line["quantity"]) * Decimal(line["usd"]) / line["per"] for line in case["lines"]
    ]

    assert multiplied == amounts
    assert sum(amounts) * Decimal(case.get("factor", 1)) == Decimal(case["cost"])


def test_only_what_no_span_can_show_is_left_out() -> None:
    known = {case["id"] for case in json.loads((FIXTURES / "worked_cases.json").read_text())}

    assert known - {case["id"] for case in CASES} == NO_SPAN_SHOWS.keys()
