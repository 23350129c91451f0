"""Which model of the price book a span's names lead to, and which they must not lead to."""

import pytest

from farebox_processor.model_resolution import resolve
from farebox_processor.price_book import PriceBook
from farebox_processor.verdicts import Reason


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "GPT-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-5.1-2026-08-06", "openai/gpt-5.1"),
        ("openai", "gpt-5.1-20260806", "openai/gpt-5.1"),
        (None, "gpt-4o", "openai/gpt-4o"),
        (None, "openai/gpt-4o", "openai/gpt-4o"),
        ("litellm", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "azure/gpt-4o", "azure/gpt-4o"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("anthropic", "claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/anthropic/models/claude-opus-5-5@20261001",
         "google/claude-opus-5-5"),
        ("gcp.vertex_ai",
         "projects/acme/locations/us-central1/publishers/google/models/gemini-2.5-pro",
         "google/gemini-2.5-pro"),
        ("aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
         "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws.bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
         "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws.bedrock",
         "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
         "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
         "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws.bedrock",
         "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
         "aws/regional.anthropic.claude-3-haiku-20240307-v1:0"),
        (None, "us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        ("openrouter", "anthropic/claude-3.7-sonnet", "openrouter/anthropic/claude-3.7-sonnet"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "openai/ft:gpt-4o-mini"),
        ("cohere", "rerank-english-v3.0", "cohere/rerank-v3.5"),
        ("dashscope", "qwen3-max", "dashscope/qwen3-max"),
    ],
)  # fmt: skip
def test_a_name_is_found_with_its_decoration_taken_off(
    book: PriceBook, provider: str | None, model: str, expected: str
) -> None:
    assert resolve(book, provider, model).name == expected


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "gpt-99", Reason.UNKNOWN_MODEL),
        ("openai", "gpt-4o-supermini", Reason.UNKNOWN_MODEL),
        ("deepseek", "deepseek-r1-distill-qwen-7b", Reason.UNKNOWN_MODEL),
        ("anthropic", "claude-opus-4.8-fast", Reason.UNKNOWN_MODEL),
        ("google", "anthropic/claude-opus-4.6-fast", Reason.UNKNOWN_MODEL),
        ("azure", "gpt-4o-private-build", Reason.UNKNOWN_MODEL),
        ("azure.ai.inference", "DeepSeek-R1", Reason.UNKNOWN_MODEL),
        ("azure.ai.inference", "grok-4", Reason.UNKNOWN_MODEL),
        ("openrouter", "anthropic/claude-99", Reason.UNKNOWN_MODEL),
        ("my-gateway", "gpt-4o", Reason.UNKNOWN_PROVIDER),
        (None, "llama3", Reason.UNKNOWN_MODEL),
        (None, None, Reason.NO_MODEL),
        ("openai", "ft:gpt-4-0613:acme::abc", Reason.FINE_TUNED),
        ("openai", "ft:gpt-5:acme::abc", Reason.FINE_TUNED),
        ("aws.bedrock",
         "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
         Reason.UNKNOWN_MODEL),
        ("gcp.vertex_ai", "projects/acme/locations/us-central1/endpoints/4711",
         Reason.UNKNOWN_MODEL),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:123456789012:custom-model/anthropic.claude-3/x",
         Reason.FINE_TUNED),
    ],
)  # fmt: skip
def test_a_name_never_leads_to_a_model_of_another_name(
    book: PriceBook, provider: str | None, model: str | None, reason: Reason
) -> None:
    found = resolve(book, provider, model)

    assert (found.name, found.reason) == (None, reason)


def test_the_requested_model_counts_where_the_response_names_an_unknown_one(
    book: PriceBook,
) -> None:
    found = resolve(book, "openai", "deployment-7", request_model="gpt-4o")

    assert (found.name, found.is_asked) == ("openai/gpt-4o", True)


def test_the_requested_model_is_not_asked_where_the_response_names_a_known_one(
    book: PriceBook,
) -> None:
    found = resolve(book, "openai", "gpt-4o-2024-08-06", request_model="gpt-4o")

    assert (found.name, found.is_asked) == ("openai/gpt-4o", False)


def test_a_fine_tuned_response_is_not_priced_by_the_model_that_was_requested(
    book: PriceBook,
) -> None:
    found = resolve(book, "openai", "ft:gpt-5:acme::abc", request_model="gpt-5")

    assert found.reason is Reason.FINE_TUNED


@pytest.mark.parametrize(
    ("model", "request_model", "region", "expected"),
    [
        ("azure/eu/gpt-4o-2024-11-20", None, None, "eu"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", None, None, "us-gov"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0",
         "jp.anthropic.claude-sonnet-4-5-20250929-v1:0", None, "jp"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929"
         "-v1:0", None, None, "us-gov"),
        ("projects/acme/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929",
         None, None, "us-east5"),
        ("gemini-3.5-flash",
         "projects/acme/locations/eu/publishers/google/models/gemini-3.5-flash", None, "eu"),
        ("gpt-4o", None, "EU", "eu"),
        ("gpt-4o", None, None, None),
    ],
)  # fmt: skip
def test_the_region_is_taken_from_the_span_or_from_the_names(
    book: PriceBook,
    model: str,
    request_model: str | None,
    region: str | None,
    expected: str | None,
) -> None:
    found = resolve(book, None, model, request_model=request_model, region=region)

    assert found.region == expected


def test_a_bare_bedrock_name_is_sold_in_the_region_that_the_span_tells(book: PriceBook) -> None:
    bare = "anthropic.claude-sonnet-4-5-20250929-v1:0"

    found = resolve(book, "aws.bedrock", bare, region="global")

    assert found.name == f"aws/global.{bare}"


def test_every_model_of_the_base_is_found_under_its_own_id(book: PriceBook) -> None:
    unfound = [
        (model.provider, model.id)
        for model in book.base.models
        if (found := book.base.model(model.provider, model.id)) is None
        or found.info is not model.info
    ]

    assert unfound == []
