"""Prices that depend on what no span shows: estimated, within the bounds that the file gives."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.pricing import price_spans

UsageOf: TypeAlias = Callable[..., pl.DataFrame]
Verdict: TypeAlias = tuple[Any, ...]

CITED = "source: x, recorded: 2026-11-21"
ACME = f"""\
models:
  - {{provider: acme, model: m-1, prices: {{input_tokens: "10", output_tokens: "20"}}, {CITED},
     uncertain: {{low: "0.5", high: "2", because: two pages differ}}}}
adjustments:
  - {{id: acme-eu, provider: acme, models: ["m-*"], region: eu, multiply: "2", {CITED},
     uncertain: {{low: "0.5", high: "1", because: assumed}}}}
"""
THOUSAND = {"provider": "acme", "model": "m-1", "input_tokens": 1000}


@pytest.fixture
def priced(usage_of: UsageOf, tmp_path: Path) -> Callable[..., list[Verdict]]:
    """Verdicts, reasons, costs and bounds of calls priced by a file on top of the shipped book."""

    def price(content: str, *calls: dict[str, Any]) -> list[Verdict]:
        path = tmp_path / "own.yaml"
        path.write_text(content)
        rows = price_spans(usage_of(*calls), load_price_book([path]))
        told = ["cost_status", "cost_reason", "cost_usd", "cost_low_usd", "cost_high_usd"]
        return rows.select(told).rows()

    return price


def dollars(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def test_an_uncertain_price_gives_an_estimate_between_the_bounds_of_the_file(
    priced: Callable[..., list[Verdict]],
) -> None:
    [call] = priced(ACME, THOUSAND)

    # 1000 at $10 a million
    assert call == ("estimated", "price_uncertain", *dollars("0.01", "0.005", "0.02"))


def test_two_doubts_about_one_price_are_multiplied(priced: Callable[..., list[Verdict]]) -> None:
    [call] = priced(ACME, THOUSAND | {"region": "eu"})

    # $0.02; x 0.5 x 0.5 and x 2 x 1
    assert call == ("estimated", "price_uncertain", *dollars("0.02", "0.005", "0.04"))


def test_an_uncertain_price_widens_what_the_usage_leaves_open(
    priced: Callable[..., list[Verdict]],
) -> None:
    cached = ACME.replace('"20"}', '"20", cache_read_tokens: "1"}')
    [call] = priced(cached, THOUSAND | {"uncertainty": ["cache_read_unreported"]})

    # all of it cached is $0.001, half of that is $0.0005
    assert call == ("estimated", "price_uncertain", *dollars("0.01", "0.0005", "0.02"))


@pytest.mark.parametrize(
    ("prices", "status"),
    [
        ('{input_tokens: "7", output_tokens: "9"}', "exact"),
        ('{input_tokens: "7"}', "estimated"),
    ],
)
def test_a_later_entry_ends_the_doubt_if_it_prices_all_that_was_doubted(
    priced: Callable[..., list[Verdict]], prices: str, status: str
) -> None:
    entry = f"  - {{provider: acme, model: m-1, from: 2026-02-01, {CITED}, prices: {prices}}}\n"
    [call] = priced(ACME.replace("adjustments:", entry + "adjustments:"), THOUSAND)

    assert (call[0], call[2]) == (status, Decimal("0.007"))


@pytest.mark.parametrize(
    ("prices", "verdict"),
    [
        ('{call: "0.006"}', ("exact", None, *dollars("0.006", "0.006", "0.006"))),
        (
            '{web_search: "1"}',
            ("estimated", "price_uncertain", *dollars("0.008", "0.005", "0.016")),
        ),
    ],
)
def test_what_a_contract_fixes_is_certain(
    priced: Callable[..., list[Verdict]], prices: str, verdict: Verdict
) -> None:
    contract = f'contracts:\n  - {{id: c, tenant: "*", prices: {prices}, {CITED}}}\n'

    assert priced(contract, {"tool_name": "tavily_search", "candidate": False}) == [verdict]


@pytest.mark.parametrize(
    ("call", "verdict"),
    [
        # $0.001 of tokens, and $5 to $12 for a thousand requests
        (
            {"provider": "perplexity", "model": "sonar"},
            ("estimated", "price_uncertain", *dollars("0.006", "0.006", "0.0144")),
        ),
        # $0.0025 of tokens, and $25 to $50 for a thousand requests
        (
            {"provider": "openai", "model": "gpt-4o-search-preview"},
            ("estimated", "price_uncertain", *dollars("0.0275", "0.0275", "0.055")),
        ),
        # $0.039 a million at one reseller, and nothing on machines of one's own
        (
            {"provider": "openai", "model": "openai/gpt-oss-120b"},
            ("estimated", "price_uncertain", *dollars("0.000039", "0", "0.00039")),
        ),
        (
            {"provider": "groq", "model": "openai/gpt-oss-120b"},
            ("exact", None, *dollars("0.00015", "0.00015", "0.00015")),
        ),
    ],
)
def test_a_price_that_depends_on_what_no_span_shows_is_no_exact_one(
    priced: Callable[..., list[Verdict]], call: dict[str, Any], verdict: Verdict
) -> None:
    assert priced("aliases: {}", call | {"input_tokens": 1000}) == [verdict]


@pytest.mark.parametrize(
    ("model", "as_text", "spoken"),
    [
        # 100 at $10, 400 at $80 a million; its first release cost 2.5 times as much
        (
            "gpt-4o-audio-preview-2025-06-03",
            ("partial", "modality_unreported", *dollars("0.001", "0.001"), None),
            ("estimated", "price_uncertain", *dollars("0.033", "0.033", "0.0825")),
        ),
        # 100 at $0.60, 400 at $20 a million
        (
            "gpt-4o-mini-audio-preview",
            ("partial", "modality_unreported", *dollars("0.00006", "0.00006"), None),
            ("exact", None, *dollars("0.00806", "0.00806", "0.00806")),
        ),
    ],
)
def test_an_answer_of_a_model_that_speaks_is_dearer_than_text(
    priced: Callable[..., list[Verdict]], model: str, as_text: Verdict, spoken: Verdict
) -> None:
    said = {"provider": "openai", "model": model, "output_tokens": 100}

    assert priced("aliases: {}", said, said | {"output_audio_tokens": 400}) == [as_text, spoken]


VERTEX = {"provider": "gcp.vertex_ai", "input_tokens": 1_000_000}
OPENAI = {"provider": "openai", "region": "eu", "input_tokens": 1_000_000}


@pytest.mark.parametrize(
    ("call", "status", "bounds"),
    [
        ({"tool_name": "tavily_search"}, "estimated", ("0.008", "0.005", "0.016")),
        ({"tool_name": "exa_search"}, "estimated", ("0.007", "0.00399", "0.21")),
        (VERTEX | {"model": "gemini-3.5-flash", "region": "us-east5"}, "exact", ("1.65",) * 3),
        (VERTEX | {"model": "gemini-3.5-flash", "region": "eu"}, "exact", ("1.65",) * 3),
        (VERTEX | {"model": "gemini-3.5-flash", "region": "global"}, "exact", ("1.5",) * 3),
        (VERTEX | {"model": "gemini-2.5-flash", "region": "us-east5"}, "exact", ("0.3",) * 3),
        ({"provider": "gcp.gemini", "model": "gemini-3.5-flash", "region": "europe-west1",
          "input_tokens": 1_000_000}, "exact", ("1.65",) * 3),
        (OPENAI | {"model": "gpt-5.4"}, "exact", ("5.5",) * 3),
        (OPENAI | {"model": "gpt-5.1"}, "exact", ("1.25",) * 3),
        (OPENAI | {"model": "gpt-5.4", "region": None}, "exact", ("5",) * 3),
        (OPENAI | {"model": "gpt-realtime-2"}, "estimated", ("4.4", "3.96", "4.4")),
        ({"provider": "anthropic", "model": "claude-opus-4-6", "region": "us",
          "input_tokens": 100_000}, "exact", ("0.55",) * 3),
        ({"provider": "anthropic", "model": "claude-opus-4-5", "region": "us",
          "input_tokens": 100_000}, "exact", ("0.5",) * 3),
        ({"provider": "azure", "model": "text-embedding-3-small", "region": "eu",
          "input_tokens": 1_000_000}, "exact", ("0.022",) * 3),
        ({"provider": "dashscope", "model": "text-embedding-v4", "region": "cn-beijing",
          "input_tokens": 1_000_000}, "exact", ("0.072",) * 3),
        ({"provider": "aws", "model": "amazon.rerank-v1:0",
          "units": [{"unit": "rerank_search", "quantity": Decimal(1000)}]},
         "estimated", ("1", "1", "2")),
    ],
)  # fmt: skip
def test_the_shipped_prices_are_as_sure_as_their_sources(
    book: PriceBook,
    usage_of: UsageOf,
    call: dict[str, Any],
    status: str,
    bounds: tuple[str, str, str],
) -> None:
    row = price_spans(usage_of(call), book).row(0, named=True)

    amounts = (row["cost_usd"], row["cost_low_usd"], row["cost_high_usd"])
    assert (row["cost_status"], amounts) == (status, dollars(*bounds))


def test_a_call_before_the_doubt_is_certain(priced: Callable[..., list[Verdict]]) -> None:
    dated = ACME.replace("uncertain", "from: 2026-06-01, uncertain", 1)
    old = (
        f"  - {{provider: acme, model: m-1, until: 2026-06-01, {CITED},"
        ' prices: {input_tokens: "5"}}\n'
    )

    calls = priced(
        dated.replace("adjustments:", old + "adjustments:"),
        THOUSAND | {"started_at": datetime(2026, 5, 31, 23, tzinfo=UTC)},
        THOUSAND,
    )

    assert [call[0] for call in calls] == ["exact", "estimated"]
