"""Where two price books differ: in prices, and in the terms of whatever else is in their files."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_changes import compare_prices, compare_terms

BookOf: TypeAlias = Callable[[str], PriceBook]
Row: TypeAlias = tuple[Any, ...]

CITED = "source: x, recorded: 2026-11-21"
PRICE = f"""\
models:
  - {{provider: openai, model: gpt-4o, from: 2026-11-01, {CITED}, prices: {{input_tokens: "2"}}}}
"""


@pytest.fixture
def book_of(tmp_path: Path) -> BookOf:
    """The shipped book with a file on top."""

    def load(content: str) -> PriceBook:
        path = tmp_path / "own.yaml"
        path.write_text(content)
        return load_price_book([path])

    return load


def terms_of(before: PriceBook, after: PriceBook) -> list[Row]:
    changed = compare_terms(before, after)
    assert changed.columns == ["kind", "id", "tenant", "valid_from", "term", "before", "after"]
    return changed.rows()


def test_a_book_does_not_differ_from_itself(book: PriceBook, book_of: BookOf) -> None:
    again = load_price_book()

    assert compare_prices(book, again).is_empty()
    assert compare_terms(book, again).is_empty()


def test_a_price_that_is_new_has_no_price_before(book: PriceBook, book_of: BookOf) -> None:
    changed = compare_prices(book, book_of(PRICE))

    assert changed.to_dicts() == [
        {
            "provider": "openai",
            "model": "gpt-4o",
            "unit": "input_tokens",
            "context": "",
            "above_input_tokens": 0,
            "valid_from": datetime(2026, 11, 1, tzinfo=UTC),
            "before_usd": None,
            "after_usd": Decimal("0.000002"),
            "before_until": None,
            "after_until": None,
        }
    ]
    assert compare_terms(book, book_of(PRICE)).is_empty()


def test_a_price_that_ends_at_another_time_differs(book_of: BookOf) -> None:
    open_ended = book_of(PRICE)
    ended = book_of(PRICE.replace("from:", "until: 2026-12-01, from:"))

    changed = compare_prices(open_ended, ended)

    sides = ["before_usd", "after_usd", "before_until", "after_until"]
    assert changed.select(sides).rows() == [
        (Decimal("0.000002"), Decimal("0.000002"), None, datetime(2026, 12, 1, tzinfo=UTC))
    ]


RULE = f"""\
rules:
  - {{id: crm, match: {{tool_name: ["crm_*", lookup]}}, from: 2026-01-01, {CITED},
     prices: {{call: {{usd: "1", per: 1000}}, input_tokens: {{usd: "3", above: {{1000: "4"}}}}}}}}
"""
MULTIPLIER = f"""\
adjustments:
  - {{id: acme-eu, provider: acme, models: ["acme-*"], region: [eu, "eu-*"], of_region: global,
     multiply: "1.10", until: 2027-01-01, {CITED}}}
"""
CONTRACT = f"""\
contracts:
  - {{id: globex-2026, tenant: globex, match: {{provider: openai}}, discount_percent: "12.5",
     prices: {{output_tokens: "9"}}, {CITED}}}
"""
MINIMUM = f"""\
models:
  - {{provider: groq, model: whisper-x, region: [eu, us], aliases: [whisper-y],
     minimum: {{audio_second: "5"}}, {CITED}}}
"""
ALIASES = "aliases: {prod-fast: openai/gpt-4o-mini}\n"
ADDED: dict[str, tuple[str, list[tuple[str, str]]]] = {
    RULE: (
        "rule crm",
        [
            ("match.tool_name", "crm_*|lookup"),
            ("prices.call", "0.001"),
            ("prices.input_tokens", "0.000003"),
            ("prices.input_tokens above 1000", "0.000004"),
        ],
    ),
    MULTIPLIER: (
        "multiplier acme-eu",
        [
            ("models", "acme-*"),
            ("multiply", "1.1"),
            ("of_region", "global"),
            ("providers", "acme"),
            ("regions", "eu|eu-*"),
            ("until", "2027-01-01"),
        ],
    ),
    CONTRACT: (
        "contract globex-2026",
        [
            ("match.provider", "openai"),
            ("multiply", "0.875"),
            ("prices.output_tokens", "0.000009"),
        ],
    ),
    ALIASES: ("alias prod-fast", [("model", "openai/gpt-4o-mini")]),
}


@pytest.mark.parametrize("content", ADDED)
def test_an_entry_that_is_added_or_removed_is_listed_with_all_its_terms(
    content: str, book: PriceBook, book_of: BookOf
) -> None:
    entry, terms = ADDED[content]
    own = book_of(content)

    added, removed = terms_of(book, own), terms_of(own, book)

    assert [(f"{row[0]} {row[1]}", row[4], row[5], row[6]) for row in added] == [
        (entry, term, None, value) for term, value in terms
    ]
    assert removed == [(*row[:5], row[6], row[5]) for row in added]


def test_minimums_and_the_names_of_models_are_terms(book: PriceBook, book_of: BookOf) -> None:
    assert terms_of(book, book_of(MINIMUM)) == [
        ("alias", "groq/whisper-y", None, None, "model", None, "groq/whisper-x"),
        ("minimum", "groq/whisper-x", None, None, "context", None, "region=eu|us"),
        ("minimum", "groq/whisper-x", None, None, "minimum.audio_second", None, "5"),
    ]


@pytest.mark.parametrize(
    ("content", "old", "new", "changed"),
    [
        (RULE, 'usd: "1"', 'usd: "2"',
         ("rule", "crm", None, date(2026, 1, 1), "prices.call", "0.001", "0.002")),
        (RULE, ", lookup", "",
         ("rule", "crm", None, date(2026, 1, 1), "match.tool_name", "crm_*|lookup", "crm_*")),
        (MULTIPLIER, '"1.10"', '"1.2"',
         ("multiplier", "acme-eu", None, None, "multiply", "1.1", "1.2")),
        (MULTIPLIER, "until: 2027-01-01, ", "",
         ("multiplier", "acme-eu", None, None, "until", "2027-01-01", None)),
        (CONTRACT, "12.5", "10",
         ("contract", "globex-2026", "globex", None, "multiply", "0.875", "0.9")),
        (MINIMUM, '"5"', '"10"',
         ("minimum", "groq/whisper-x", None, None, "minimum.audio_second", "5", "10")),
        (ALIASES, "gpt-4o-mini", "gpt-5",
         ("alias", "prod-fast", None, None, "model", "openai/gpt-4o-mini", "openai/gpt-5")),
    ],
)  # fmt: skip
def test_of_an_entry_that_was_changed_the_terms_that_differ_are_listed(
    content: str, old: str, new: str, changed: Row, book_of: BookOf
) -> None:
    assert content.replace(old, new) != content
    assert terms_of(book_of(content), book_of(content.replace(old, new))) == [changed]


def test_an_own_entry_is_compared_with_the_shipped_one_that_it_takes_the_place_of(
    book: PriceBook, book_of: BookOf
) -> None:
    own = f"""\
rules:
  - {{id: tavily-search, match: {{tool_name: tavily}}, prices: {{call: "0.006"}}, {CITED},
     uncertain: {{low: "0.625", high: "1", because: our plan}}}}
"""

    changed = terms_of(book, book_of(own))

    tools = "tavily|tavily_search|tavily-search|tavily_search_results_json"
    assert changed == [
        ("rule", "tavily-search", None, None, "match.tool_name", tools, "tavily"),
        ("rule", "tavily-search", None, None, "prices.call", "0.008", "0.006"),
        ("rule", "tavily-search", None, None, "uncertain.high", "2", "1"),
    ]


def test_lines_of_one_contract_are_told_apart(book: PriceBook, book_of: BookOf) -> None:
    lines = "contracts:\n" + "".join(
        f"  - {{id: c-1, tenant: globex, match: {{model: {model}}}, {CITED},"
        f' prices: {{input_tokens: "{usd}"}}}}\n'
        for model, usd in (("gpt-4o", 1), ("gpt-5", 2))
    )

    assert [row[4:] for row in terms_of(book, book_of(lines))] == [
        ("match.model", None, "gpt-4o"),
        ("multiply", None, "1"),
        ("prices.input_tokens", None, "0.000001"),
        ("match.model", None, "gpt-5"),
        ("multiply", None, "1"),
        ("prices.input_tokens", None, "0.000002"),
    ]


def test_sources_and_notes_are_no_terms(book_of: BookOf) -> None:
    noted = "# as agreed in spring\n" + RULE.replace("source: x", "source: y")

    assert book_of(RULE).version != book_of(noted).version
    assert terms_of(book_of(RULE), book_of(noted)) == []
