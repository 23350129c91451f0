"""docs/verdicts.md and docs/prices.md, held against what the code does."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl

from farebox_processor.price_book import load_price_book
from farebox_processor.price_verdicts import STATUS_OF
from farebox_processor.pricing import price_spans
from farebox_processor.verdicts import CostStatus

DOCS = Path(__file__).parents[3] / "docs"


def table(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of docs/verdicts.md, code marks taken off."""
    section = (DOCS / "verdicts.md").read_text().partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows][1:]


def test_every_verdict_is_documented_with_an_example() -> None:
    rows = table("The verdicts")

    assert sorted(row[0] for row in rows) == sorted(CostStatus)
    assert all(row[2] for row in rows)


def test_every_reason_is_documented_with_its_verdict_in_the_order_of_the_code() -> None:
    rows = table("The reasons")

    assert [(row[0], row[1]) for row in rows] == [
        (reason.value, status.value) for reason, status in STATUS_OF.items()
    ]
    assert all(row[2] and row[3] for row in rows)


def test_the_documented_price_file_is_read_and_priced_by(
    usage_of: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    example = re.search(r"```yaml\n(.*?)```", (DOCS / "prices.md").read_text(), re.DOTALL)
    assert example is not None
    path = tmp_path / "prices.yaml"
    path.write_text(example[1])
    usage = usage_of(
        {"provider": "acme", "model": "acme-large-latest", "input_tokens": 1000},
        {"provider": "acme", "model": "acme-large", "region": "eu", "input_tokens": 1000},
        {"tool_name": "crm_search", "candidate": False},
        {"provider": "vllm", "model": "llama-4", "duration_ns": 36_000_000_000},
        {"tenant": "globex", "provider": "openai", "model": "gpt-4o", "input_tokens": 1000},
        {"tenant": "globex", "provider": "openai", "model": "prod-fast", "input_tokens": 1000},
    )

    costs = price_spans(usage, load_price_book([path]))["cost_usd"].to_list()

    assert costs == [
        Decimal("0.003"),
        Decimal("0.0033"),
        Decimal("0.001"),
        Decimal("0.035"),
        Decimal("0.002296875"),  # 0.0025 x 0.875 x 1.05
        Decimal("0.0001"),
    ]
