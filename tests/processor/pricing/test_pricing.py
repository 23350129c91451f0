"""What a span costs, and how far the number can be trusted."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest

from farebox_processor.frames import COST_COMPONENTS, PRICED_SPANS, TOKENS, price_of
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.pricing import price_spans

UsageOf: TypeAlias = Callable[..., pl.DataFrame]
GPT_4O = {"provider": "openai", "model": "gpt-4o"}  # $2.50 in, $1.25 cached, $10 out per million
SONNET = {"provider": "anthropic", "model": "claude-sonnet-4-5"}


def verdict(priced: pl.DataFrame, row: int = 0) -> tuple[str | None, ...]:
    """status, reason, cost, low and high of a row, money as the shortest text."""
    status, reason, *money = priced.select(
        "cost_status", "cost_reason", "cost_usd", "cost_low_usd", "cost_high_usd"
    ).row(row)
    return status, reason, *(None if one is None else shortest(one) for one in money)


def shortest(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def test_a_priced_frame_has_exactly_the_columns_of_its_schema(
    book: PriceBook, usage_of: UsageOf
) -> None:
    priced = price_spans(usage_of(GPT_4O | {"input_tokens": 10}, {"candidate": False}), book)

    assert priced.schema == pl.Schema({"request": pl.UInt32(), **PRICED_SPANS})


def test_an_empty_batch_is_priced_to_an_empty_frame(book: PriceBook, usage_of: UsageOf) -> None:
    priced = price_spans(usage_of(), book)

    assert priced.height == 0
    assert priced.drop("request").schema == pl.Schema(PRICED_SPANS)


def test_a_call_carries_its_prices_and_its_components(book: PriceBook, usage_of: UsageOf) -> None:
    usage = usage_of(GPT_4O | {"input_tokens": 86, "cache_read_tokens": 1920, "output_tokens": 300})

    row = price_spans(usage, book).row(0, named=True)

    prices = {one: row[price_of(one)] for one in TOKENS if row[price_of(one)] is not None}
    assert {name: shortest(price) for name, price in prices.items()} == {
        "input_tokens": "0.0000025",
        "cache_read_tokens": "0.00000125",
        "output_tokens": "0.00001",
    }
    assert {name: shortest(row[name]) for name in (*COST_COMPONENTS, "list_cost_usd")} == {
        "input_cost_usd": "0.000215",
        "cache_read_cost_usd": "0.0024",
        "cache_write_cost_usd": "0",
        "output_cost_usd": "0.003",
        "units_cost_usd": "0",
        "list_cost_usd": "0.005615",
    }
    assert (row["priced_model"], row["price_source"], row["rating_revision"]) == (
        "openai/gpt-4o",
        f"{book.base.version}: gpt-4o",
        1,
    )


def test_a_span_is_priced_at_the_rate_in_force_when_it_started(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "openai", "model": "gpt-5.6-sol", "input_tokens": 100_000}
    last_moment = datetime(2026, 8, 20, 23, 59, 59, 999_999, tzinfo=UTC)
    usage = usage_of(
        call | {"started_at": last_moment},
        call | {"started_at": datetime(2026, 8, 21, tzinfo=UTC)},
    )

    costs = price_spans(usage, book)["cost_usd"].to_list()

    assert [shortest(cost) for cost in costs] == ["0.5", "0.4"]


def test_each_step_of_a_context_tier_begins_above_its_threshold(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "dashscope", "model": "qwen3-max"}
    sizes = (32_000, 32_001, 128_000, 128_001)
    usage = usage_of(*(call | {"input_tokens": size} for size in sizes))

    costs = price_spans(usage, book)["cost_usd"].to_list()

    # 1.2, 2.4, 2.4 and 3 dollars per million
    assert [shortest(cost) for cost in costs] == ["0.0384", "0.0768024", "0.3072", "0.384003"]


def test_the_xai_threshold_is_reached_with_its_last_token(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "x_ai", "model": "grok-4.3"}
    usage = usage_of(*(call | {"input_tokens": size} for size in (199_999, 200_000)))

    costs = price_spans(usage, book)["cost_usd"].to_list()

    # $1.25, then $2.50 per million
    assert [shortest(cost) for cost in costs] == ["0.24999875", "0.5"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (GPT_4O | {"input_tokens": 1000}, ("exact", None, "0.0025", "0.0025", "0.0025")),
        (GPT_4O | {"input_tokens": 0, "output_tokens": 0}, ("exact", None, "0", "0", "0")),
        ({"candidate": False}, (None, None, None, None, None)),
        (GPT_4O | {"candidate": False, "input_tokens": 5}, (None, None, None, None, None)),
        ({"input_tokens": 5}, ("unpriced", "no_model", None, "0", None)),
        ({"provider": "openai", "model": "gpt-99", "input_tokens": 5},
         ("unpriced", "unknown_model", None, "0", None)),
        ({"provider": "acme", "model": "gpt-4o", "input_tokens": 5},
         ("unpriced", "unknown_provider", None, "0", None)),
        ({"provider": "openai", "model": "ft:gpt-5:acme::abc", "input_tokens": 5},
         ("unpriced", "fine_tuned_model_without_price", None, "0", None)),
        (GPT_4O, ("unpriced", "usage_missing", None, "0", None)),
        (GPT_4O | {"is_error": True}, ("exact", "failed_without_usage", "0", "0", "0")),
        # the beginning of a stream that broke: the provider bills what it had put out
        (GPT_4O | {"is_error": True, "response_id": "chatcmpl-1"},
         ("unpriced", "usage_missing", None, "0", None)),
        (GPT_4O | {"is_error": True, "error_type": "pydantic_core.ValidationError"},
         ("unpriced", "usage_missing", None, "0", None)),
        (GPT_4O | {"is_error": True, "error_type": "openai.RateLimitError"},
         ("exact", "failed_without_usage", "0", "0", "0")),
        ({"model": "gpt-99", "is_error": True}, ("exact", "failed_without_usage", "0", "0", "0")),
        (GPT_4O | {"is_error": True, "input_tokens": 1000},
         ("exact", None, "0.0025", "0.0025", "0.0025")),
        (GPT_4O | {"price_context": "response_cache=hit", "input_tokens": 1000},
         ("exact", "response_cache_hit", "0", "0", "0")),
        ({"provider": "openai", "model": "text-embedding-3-small", "input_tokens": 50,
          "output_tokens": 10},
         ("partial", "no_price_for_unit", "0.000001", "0.000001", None)),
        (GPT_4O | {"input_tokens": 1000, "units": [{"unit": "image", "quantity": Decimal(1)}]},
         ("partial", "no_price_for_unit", "0.0025", "0.0025", None)),
        ({"provider": "groq", "model": "llama-3.3-70b-versatile", "service_tier": "flex",
          "input_tokens": 1_000_000},
         ("upper_bound", "no_price_for_discount", "0.59", "0", "0.59")),
        ({"provider": "anthropic", "model": "claude-sonnet-4-6", "service_tier": "priority",
          "input_tokens": 1000},
         ("partial", "no_price_for_surcharge", "0.003", "0.003", None)),
        # $0.30 and $2.50 a million for text; images are $30
        ({"provider": "google", "model": "gemini-2.5-flash-image", "input_tokens": 1000,
          "output_tokens": 1290},
         ("partial", "modality_unreported", "0.003525", "0.003525", None)),
        ({"provider": "google", "model": "gemini-2.5-flash-image", "input_tokens": 1000,
          "output_tokens": 0, "output_image_tokens": 1290},
         ("exact", None, "0.039", "0.039", "0.039")),
        (GPT_4O | {"model": "deployment-7", "request_model": "gpt-4o", "input_tokens": 1000},
         ("estimated", "served_model_unknown", "0.0025", "0", None)),
        # not offered in flex, unlike other models of OpenAI: the standard price holds
        (GPT_4O | {"service_tier": "flex", "input_tokens": 1000},
         ("exact", None, "0.0025", "0.0025", "0.0025")),
        # in batch before the book knows since when it is cheaper
        (GPT_4O | {"price_context": "processing=batch", "input_tokens": 1000,
                   "started_at": datetime(2026, 5, 1, tzinfo=UTC)},
         ("upper_bound", "no_price_for_discount", "0.0025", "0", "0.0025")),
        ({"provider": "google", "model": "gemma-4-31b-it", "input_tokens": 1000},
         ("exact", None, "0", "0", "0")),
    ],
)  # fmt: skip
def test_a_verdict_says_how_far_a_number_can_be_trusted(
    book: PriceBook,
    usage_of: UsageOf,
    call: dict[str, Any],
    expected: tuple[str | None, ...],
) -> None:
    priced = price_spans(usage_of(call), book)

    assert verdict(priced) == expected


def test_an_unknown_model_takes_the_cost_that_came_with_the_span(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "openai", "model": "gpt-99", "supplied_cost_usd": Decimal("0.12")}

    priced = price_spans(usage_of(call | {"input_tokens": 5}), book)

    assert verdict(priced) == ("supplied", "supplied_cost", "0.12", "0.12", "0.12")


def test_a_supplied_cost_is_kept_beside_that_of_a_known_model(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = GPT_4O | {"input_tokens": 1000, "supplied_cost_usd": Decimal("0.12")}

    priced = price_spans(usage_of(call), book)

    assert verdict(priced) == ("exact", None, "0.0025", "0.0025", "0.0025")
    assert priced["supplied_cost_usd"].item() == Decimal("0.12")


@pytest.mark.parametrize("trusted", ["openai", "operation.cost", "*"])
def test_a_trusted_supplied_cost_wins_and_the_list_price_stays_beside_it(
    usage_of: UsageOf, trusted: str
) -> None:
    call = GPT_4O | {
        "input_tokens": 1000,
        "supplied_cost_usd": Decimal("0.12"),
        "supplied_cost_source": "operation.cost",
    }

    priced = price_spans(usage_of(call), load_price_book(trusted=[trusted]))

    assert verdict(priced) == ("supplied", "supplied_cost", "0.12", "0.12", "0.12")
    assert priced["list_cost_usd"].item() == Decimal("0.0025")


def test_a_reasoning_price_of_its_own_replaces_that_of_output(
    book: PriceBook, usage_of: UsageOf
) -> None:
    # $2 in, $8 out, $3 per million reasoning tokens
    call = {"provider": "perplexity", "model": "sonar-deep-research"}
    usage = usage_of(call | {"input_tokens": 1000, "output_tokens": 500, "reasoning_tokens": 200})

    row = price_spans(usage, book).row(0, named=True)

    assert shortest(row["output_cost_usd"]) == "0.003"  # 300 x 8 + 200 x 3


def test_an_hour_is_divided_exactly_and_the_minimum_is_charged(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "groq", "model": "whisper-large-v3"}  # $0.111 an hour, at least 10 s
    seconds = ("63", "2", "0")
    usage = usage_of(
        *(call | {"units": [{"unit": "audio_second", "quantity": Decimal(s)}]} for s in seconds)
    )

    costs = price_spans(usage, book)["cost_usd"].to_list()

    assert [shortest(cost) for cost in costs] == ["0.0019425", "0.000308333333333333", "0"]


RULES = """\
rules:
  - id: h200
    match: {provider: vllm, model: "llama-*"}
    prices: {second: {usd: "3.50", per: 3600}}
    source: https://gpu.test/prices
    recorded: 2026-11-21
  - id: lookup
    match: {tool_name: "crm_*"}
    prices: {call: "0.001", page: "0.01"}
    source: https://crm.test/prices
    recorded: 2026-11-21
  - id: by-name
    match: {}
    prices: {call: "0.25"}
    source: https://expert.test/prices
    recorded: 2026-11-21
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    path = tmp_path_factory.mktemp("prices") / "rules.yaml"
    path.write_text(RULES)
    return load_price_book([path])


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        # 24 s of an H200 at $3.50 an hour
        ({"provider": "vllm", "model": "Llama-3.3-70b", "duration_ns": 24_000_000_000,
          "output_tokens": 1200}, "0.023333333333333333"),
        ({"tool_name": "crm_search", "candidate": False}, "0.001"),
        ({"tool_name": "crm_search", "units": [{"unit": "page", "quantity": Decimal(3)}]}, "0.031"),
        ({"tool_name": "crm_search", "is_error": True}, "0"),
        ({"tool_name": "ask", "price_rule": "by-name", "candidate": None}, "0.25"),
        ({"tool_name": "tavily_search"}, "0.008"),
        ({"tool_name": "get_weather", "candidate": False}, None),
    ],
)  # fmt: skip
def test_a_rule_prices_a_span_per_call_per_unit_or_by_its_duration(
    ruled: PriceBook, usage_of: UsageOf, span: dict[str, Any], expected: str | None
) -> None:
    priced = price_spans(usage_of(span), ruled)

    cost = priced["cost_usd"].item()
    assert (None if cost is None else shortest(cost)) == expected
    assert priced["candidate"].item() is (expected is not None)


def test_a_unit_that_a_span_counts_is_not_charged_again_because_its_price_implies_it(
    ruled: PriceBook, usage_of: UsageOf
) -> None:
    calls = {"tool_name": "crm_search", "units": [{"unit": "call", "quantity": Decimal(3)}]}
    seconds = {"unit": "second", "quantity": Decimal(36)}
    machine = {"provider": "vllm", "model": "llama-3", "duration_ns": 24_000_000_000}
    requests = {"provider": "perplexity", "model": "sonar", "input_tokens": 1000}
    usage = usage_of(
        calls,
        machine | {"units": [seconds]},
        requests | {"units": [{"unit": "request", "quantity": Decimal(2)}]},
    )

    costs = price_spans(usage, ruled)["cost_usd"].to_list()

    # 3 x $0.001; 36 s at $3.50 an hour; 2 x $0.005 and 1000 tokens at $1 a million
    assert [shortest(cost) for cost in costs] == ["0.003", "0.035", "0.011"]


def test_a_request_that_failed_without_usage_costs_no_fee_per_request(
    book: PriceBook, usage_of: UsageOf
) -> None:
    call = {"provider": "perplexity", "model": "sonar", "is_error": True}

    priced = price_spans(usage_of(call, call | {"input_tokens": 1000}), book)

    # The fee is $5 to $12 per 1000 requests, and a million tokens of input cost $1.
    assert verdict(priced, 0) == ("exact", "failed_without_usage", "0", "0", "0")
    assert verdict(priced, 1) == ("estimated", "price_uncertain", "0.006", "0.006", "0.0144")


def test_rating_a_priced_frame_again_changes_nothing(book: PriceBook, usage_of: UsageOf) -> None:
    usage = usage_of(
        GPT_4O | {"input_tokens": 1000, "uncertainty": ["cache_read_unreported"]},
        {"tool_name": "tavily_search", "candidate": False},
        SONNET | {"units": [{"unit": "web_search", "quantity": Decimal(2)}]},
    )

    once = price_spans(usage, book)
    twice = price_spans(once.select(*PRICED_SPANS), book)

    assert twice.equals(once.select(*PRICED_SPANS))


def test_order_and_batching_of_spans_change_no_price(book: PriceBook, usage_of: UsageOf) -> None:
    usage = usage_of(
        *(GPT_4O | {"input_tokens": size, "span_id": str(size)} for size in range(20)),
        *(SONNET | {"input_tokens": size * 50_000, "span_id": f"s{size}"} for size in range(10)),
    )

    together = price_spans(usage, book)
    apart = pl.concat(
        [price_spans(usage.reverse()[start : start + 7], book) for start in range(0, 30, 7)]
    )

    assert apart.reverse().equals(together)


def test_overlays_and_base_can_name_a_time_at_which_there_is_no_price_yet(
    usage_of: UsageOf, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "models:\n  - {provider: acme, model: m-1, from: 2026-12-01, source: x,"
        ' recorded: 2026-11-21, prices: {input_tokens: "1"}}\n'
    )

    priced = price_spans(
        usage_of({"provider": "acme", "model": "m-1", "input_tokens": 5}), load_price_book([path])
    )

    assert verdict(priced) == ("unpriced", "no_price_at_time", None, "0", None)


def test_an_alias_leads_to_the_model_that_a_user_names(usage_of: UsageOf, tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    path.write_text("aliases: {prod-fast: openai/gpt-4o, azure/prod-slow: azure/gpt-4o}")
    book = load_price_book(aliases=[path])
    usage = usage_of(
        {"provider": "azure", "model": "prod-fast", "input_tokens": 1000},
        {"provider": "azure", "model": "Prod-Slow", "input_tokens": 1000},
        {"provider": "openai", "model": "prod-slow", "input_tokens": 1000},
    )

    priced = price_spans(usage, book)

    assert priced["priced_model"].to_list() == ["openai/gpt-4o", "azure/gpt-4o", None]


@pytest.mark.parametrize("provider", ["azure", "azure.ai.openai", "Azure.AI.OpenAI"])
def test_a_price_file_may_call_a_provider_by_its_id_or_as_spans_do(
    usage_of: UsageOf, tmp_path: Path, provider: str
) -> None:
    cited = 'source: x, recorded: "2026-11-21"'
    sections = {
        "models": f"models: [{{provider: {provider}, model: gpt-4o, {cited},"
        ' prices: {input_tokens: "2", output_tokens: "8"}}]',
        "contracts": f"contracts: [{{id: half, match: {{provider: {provider}}}, {cited},"
        ' tenant: "*", discount_percent: "50"}]',
        "rules": f"rules: [{{id: flat, match: {{provider: {provider}}}, {cited},"
        ' prices: {input_tokens: "1", output_tokens: "1"}}]',
        "aliases": f"aliases: {{{provider}/gpt-4o: {provider}/gpt-4o-mini}}",
    }
    call = {"provider": "azure.ai.openai", "model": "gpt-4o"}
    usage = usage_of(call | {"input_tokens": 1000, "output_tokens": 100})
    costs = {}
    for section, content in sections.items():
        path = tmp_path / f"{section}.yaml"
        path.write_text(content)
        costs[section] = shortest(price_spans(usage, load_price_book([path]))["cost_usd"].item())

    # 1000 and 100 tokens; the list's $2.50 and $10 a million are $0.0035, mini's $0.15 and $0.60.
    assert costs == {
        "models": "0.0028",
        "contracts": "0.00175",
        "rules": "0.0011",
        "aliases": "0.00021",
    }
