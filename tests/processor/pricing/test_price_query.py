"""What a price book answers: a model's prices, and all list prices."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_cards import CallTerms
from farebox_processor.price_query import (
    PRICE_LIST,
    describe,
    price_list,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OVERLAY = """\
models:
  - {provider: openai, model: gpt-4o, from: 2026-11-01, source: x, recorded: 2026-11-21,
     prices: {input_tokens: "2"}}
"""


def test_a_description_names_the_layer_and_source_of_each_price(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(OVERLAY)

    described = describe(load_price_book([path]), CallTerms("openai", "gpt-4o"), NOON)

    rows = {
        row["unit"]: (row["usd"], row["per"], row["source"]) for row in described.prices.to_dicts()
    }
    assert described.priced_model == "openai/gpt-4o"
    assert rows["input_tokens"] == (Decimal(2), 1_000_000, "x (2026-11-21)")
    assert rows["output_tokens"] == (Decimal(10), 1_000_000, "genai-prices 0.2.3: gpt-4o")


def test_a_description_lists_each_step_of_a_context_tier(book: PriceBook) -> None:
    described = describe(book, CallTerms("gcp.gemini", "gemini-2.5-pro"), NOON)

    inputs = [
        (row["above_input_tokens"], row["usd"])
        for row in described.prices.to_dicts()
        if row["unit"] == "input_tokens"
    ]
    assert inputs == [(0, Decimal("1.25")), (200_000, Decimal("2.5"))]


def test_a_description_of_an_unknown_model_says_so(book: PriceBook) -> None:
    described = describe(book, CallTerms("openai", "gpt-99"), NOON)

    assert (described.priced_model, described.reason) == (None, "unknown_model")
    assert described.prices.is_empty()


def test_the_price_list_holds_every_model_of_every_layer(book: PriceBook) -> None:
    listed = price_list(book)

    models = set(listed.select("provider", "model").iter_rows())
    assert dict(listed.schema) == PRICE_LIST
    assert len(models) > 2_000
    assert {("openai", "gpt-4o"), ("dashscope", "qwen3-max"), ("cohere", "rerank-v3.5")} <= models
