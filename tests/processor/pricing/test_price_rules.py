"""Which rules price tools and other spans, in which order they are tried, what a unit costs."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_cards import CallTerms, draw_card
from farebox_processor.price_rules import RULE_LIST, rule_list, unit_prices

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OWN = """\
rules:
  - {id: crm, match: {tool_name: "crm_*"}, prices: {call: "0.001"}, source: x, recorded: 2026-01-01}
  - {id: any, match: {tool_name: "*_lookup"}, prices: {call: "0.5"},
     source: x, recorded: 2026-01-01}
  - {id: crm, match: {tool_name: "crm_*"}, prices: {call: "0.002"}, from: 2026-11-01,
     source: y, recorded: 2026-10-01}
  - {id: gpu, match: {service_name: "*"}, prices: {second: {usd: "3.50", per: 3600}},
     until: 2026-11-01, source: x, recorded: 2026-01-01}
adjustments:
  - {id: acme-eu, provider: openai, models: ["gpt-4o"], region: eu, multiply: "2",
     source: x, recorded: 2026-01-01}
  - {id: acme-eu, provider: openai, models: ["gpt-4o"], region: eu, multiply: "3",
     from: 2026-11-01, source: x, recorded: 2026-01-01}
"""
BEFORE = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def own_path(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


@pytest.fixture
def own(own_path: Path) -> PriceBook:
    return load_price_book([own_path])


def test_a_rule_is_found_by_the_name_of_its_tool_with_layer_source_and_date(
    own: PriceBook, own_path: Path
) -> None:
    listed = rule_list(own, NOON, "CRM_find")

    assert dict(listed.schema) == RULE_LIST
    assert listed.to_dicts() == [
        {
            "rule": "crm",
            "match": "tool_name=crm_*",
            "unit": "call",
            "usd": Decimal("0.002"),
            "per": 1,
            "above_input_tokens": 0,
            "valid_from": date(2026, 11, 1),
            "valid_until": None,
            "source": "y",
            "recorded": date(2026, 10, 1),
            "file": str(own_path),
            "line": 5,
        }
    ]


def test_a_rule_is_found_by_its_id_while_it_is_in_force(own: PriceBook) -> None:
    priced = rule_list(own, BEFORE, "gpu").select("unit", "usd", "per", "valid_until").rows()

    assert priced == [("second", Decimal("3.5"), 3600, date(2026, 11, 1))]
    assert rule_list(own, NOON, "gpu").is_empty()


def test_all_rules_are_listed_as_they_are_tried(own: PriceBook) -> None:
    listed = rule_list(own, NOON)

    assert listed["rule"].to_list() == ["crm", "any", "tavily-search", "exa-search"]
    assert listed["usd"].to_list()[:3] == [Decimal("0.002"), Decimal("0.5"), Decimal("0.008")]


@pytest.mark.parametrize(
    ("tool", "at", "usd"),
    [
        ("crm_lookup", NOON, "0.002"),
        ("crm_lookup", BEFORE, "0.001"),
        ("erp_lookup", NOON, "0.5"),
    ],
)
def test_the_first_rule_of_a_file_wins_and_of_one_id_the_newest(
    own: PriceBook, tool: str, at: datetime, usd: str
) -> None:
    card = draw_card(own, CallTerms(columns=(("tool_name", tool),)), at, 0)

    assert card.prices["call"].usd == Decimal(usd)


def test_an_own_rule_takes_the_place_of_the_shipped_one_of_its_id(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "rules:\n  - {id: tavily-search, match: {tool_name: tavily}, from: 2026-11-01,"
        ' prices: {call: "0.006"}, source: x, recorded: 2026-11-01}\n'
    )
    book = load_price_book([path])

    def rule(tool: str, at: datetime) -> str | None:
        return draw_card(book, CallTerms(columns=(("tool_name", tool),)), at, 0).rule

    assert (rule("tavily", NOON), rule("tavily_search", NOON)) == ("tavily-search", None)
    assert rule("tavily_search", BEFORE) == "tavily-search"


@pytest.mark.parametrize(("at", "usd"), [(BEFORE, "5"), (NOON, "7.5")])
def test_a_new_multiplier_is_a_new_entry_and_the_old_one_ends_where_it_begins(
    own: PriceBook, at: datetime, usd: str
) -> None:
    card = draw_card(own, CallTerms("openai", "gpt-4o", region="eu"), at, 0)

    assert card.prices["input_tokens"].usd == Decimal(usd)


def test_a_unit_is_listed_with_the_models_that_charge_for_it(book: PriceBook) -> None:
    listed = unit_prices(book, "rerank_search", CallTerms(), NOON)

    assert listed.select("provider", "models", "usd", "per").rows() == [
        ("aws", ["amazon.rerank-v1:0"], Decimal(1), 1000),
        ("aws", ["cohere.rerank-v3-5:0"], Decimal(2), 1000),
        ("cohere", ["rerank-v3.5"], Decimal(2), 1000),
    ]


def test_a_unit_is_listed_for_one_provider_at_prices_in_force(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "models:\n  - {provider: openai, model: gpt-4o, from: 2026-11-01, source: x,"
        ' recorded: 2026-11-01, prices: {web_search: {usd: "8", per: 1000}}}\n'
    )
    book = load_price_book([path])

    def listed(at: datetime) -> list[tuple[str, Decimal]]:
        rows = unit_prices(book, "web_search", CallTerms("openai"), at)
        return [
            (row["provider"], row["usd"]) for row in rows.to_dicts() if "gpt-4o" in row["models"]
        ]

    assert listed(NOON) == [("openai", Decimal(8))]
    assert listed(BEFORE) == [("openai", Decimal(10))]
    assert unit_prices(book, "web_search", CallTerms("acme"), NOON).is_empty()
