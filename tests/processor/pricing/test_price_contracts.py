"""What a tenant pays under a contract: discounts, fixed prices and markups, by date."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.pricing import price_spans

UsageOf: TypeAlias = Callable[..., pl.DataFrame]
CONTRACTS = """\
contracts:
  - {id: acme-26, tenant: acme, match: {provider: openai}, from: 2026-01-01, until: 2027-01-01,
     discount_percent: "12.5", source: order 4711, recorded: 2026-01-01}
  - {id: acme-4o, tenant: acme, match: {provider: openai, model: gpt-4o}, from: 2026-11-01,
     prices: {input_tokens: "2"}, source: order 4712, recorded: 2026-10-20}
  - {id: resale, tenant: "*", markup_percent: "5", source: price sheet, recorded: 2026-01-01}
  - {id: bulk, tenant: beta, discount_percent: "50", markup_percent: "10", source: order 9,
     recorded: 2026-01-01}
"""
GPT_4O = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100}
NOVEMBER, OCTOBER = datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 10, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def contracted(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    path = tmp_path_factory.mktemp("prices") / "contracts.yaml"
    path.write_text(CONTRACTS)
    return load_price_book(contracts=[path])


@pytest.mark.parametrize(
    ("call", "contract", "expected"),
    [
        # list: 1000 x 2.50 + 100 x 10 = 0.0035
        ({"tenant": "acme", "started_at": OCTOBER}, "acme-26", "0.0030625"),
        # 1000 x 2 by contract + 100 x 10 by list
        ({"tenant": "acme", "started_at": NOVEMBER}, "acme-4o", "0.003"),
        ({"tenant": "acme", "model": "gpt-4o-mini"}, "acme-26", "0.00018375"),
        ({"tenant": "acme", "started_at": datetime(2025, 12, 31, tzinfo=UTC)}, "resale",
         "0.003675"),
        ({"tenant": "someone"}, "resale", "0.003675"),
        ({"tenant": "beta"}, "bulk", "0.001925"),
    ],
)  # fmt: skip
def test_a_contract_changes_the_cost_and_leaves_the_list_price(
    contracted: PriceBook,
    usage_of: UsageOf,
    call: dict[str, Any],
    contract: str,
    expected: str,
) -> None:
    row = price_spans(usage_of(GPT_4O | call), contracted).row(0, named=True)

    assert row["contract"] == contract
    assert f"{row['cost_usd'].normalize():f}" == expected
    assert row["cost_low_usd"] == row["cost_usd"] == row["cost_high_usd"]
    listed = "0.00021" if "model" in call else "0.0035"
    assert f"{row['list_cost_usd'].normalize():f}" == listed


def test_a_contract_moves_the_bounds_with_the_cost(
    contracted: PriceBook, usage_of: UsageOf
) -> None:
    call = GPT_4O | {"tenant": "beta", "uncertainty": ["cache_read_unreported"]}

    row = price_spans(usage_of(call), contracted).row(0, named=True)

    # all cached: 1000 x 1.25 + 100 x 10 = 0.00225, x 0.5 x 1.1
    assert [f"{row[name].normalize():f}" for name in ("cost_low_usd", "cost_high_usd")] == [
        "0.0012375",
        "0.001925",
    ]


def test_a_fixed_price_holds_for_its_tenant_alone(usage_of: UsageOf, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "contracts:\n  - {id: c, tenant: acme, prices: {input_tokens: '1'}, source: x,"
        " recorded: 2026-11-21, match: {provider: openai, model: gpt-4o}}\n"
    )
    usage = usage_of(GPT_4O | {"tenant": "acme", "output_tokens": 0}, GPT_4O | {"tenant": "b"})

    priced = price_spans(usage, load_price_book(contracts=[path]))

    assert [f"{cost.normalize():f}" for cost in priced["cost_usd"]] == ["0.001", "0.0035"]
    assert priced["contract"].to_list() == ["c", None]
