"""The examples of docs/plans.md hold."""

import re
from pathlib import Path

import pytest

from farebox_processor.allocation_files import ALLOCATED_BY, read_shared_costs
from farebox_processor.frames import DIMENSIONS
from farebox_processor.plans import load_plans

PAGE = (Path(__file__).parents[2] / "docs" / "plans.md").read_text(encoding="utf-8")


def example(number: int, language: str, folder: Path) -> Path:
    """Return a file with the example of that number in that language."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    file = folder / f"example.{language}"
    file.write_text(found[number], encoding="utf-8")
    return file


def test_the_plan_can_be_loaded(tmp_path: Path) -> None:
    plans = load_plans([example(0, "yaml", tmp_path)])

    assert plans.tiers.filter(plan="acme")["tier"].to_list() == ["simple", "any"]
    assert plans.budgets["scope"].to_list() == ["tenant", "user", "user"]


@pytest.mark.parametrize(("number", "language", "costs"), [(1, "yaml", 3), (0, "csv", 1)])
def test_the_shared_costs_can_be_read(
    tmp_path: Path, number: int, language: str, costs: int
) -> None:
    assert len(read_shared_costs(example(number, language, tmp_path))) == costs


def test_what_can_be_named_is_listed() -> None:
    for name in (*DIMENSIONS, *ALLOCATED_BY[:3]):
        assert f"`{name}`" in PAGE
