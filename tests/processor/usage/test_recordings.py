"""Every recording of a real emitter, held against what the provider itself stated."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from farebox_processor.dialects import Dialects
from farebox_processor.frames import ALIKE, SPANS, USAGE
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage

CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus"
CASES = sorted(path.name for path in CORPUS.iterdir())

# What the emitters of these recordings drop, as the doubts that their candidates carry.
DOUBTS: Mapping[str, set[str]] = {
    "bc_bedrock_converse": {"cache_write_ttl_unreported"},
    "ga_anthropic_chat": {"cache_write_ttl_unreported"},
    "ga_anthropic_tool_loop": {"cache_write_ttl_unreported"},
    "gb_bedrock_converse": {"cache_write_ttl_unreported"},
    "genkit_openai_tools": {"aggregate"},
    "gg_gemini_tool_loop": {"calls_unreported"},
    "go_openai_stream_cancelled": {"usage_missing"},
    "goa_openai_agents": {"usage_missing"},
    "langfuse_manual_generation": {"cache_write_ttl_unreported"},
    "litellm_streams": {"units_unreported"},  # of the call around the one that has them
    "logfire_pydantic_ai": {"aggregate"},
    "mix_tl_go_openai": {"cache_write_unreported"},
    "native_ga_anthropic_both": {"cache_write_ttl_unreported"},
    "oi_bedrock_converse": {"cache_write_ttl_unreported"},
    "openlit_anthropic_chat": {"cache_write_ttl_unreported"},
    "pyd_conversation_3turns": {"aggregate"},
    "pyd_gemini": {"aggregate"},
    "pyd_openai_agent_tool": {"aggregate"},
    "pyd_openai_responses": {"aggregate"},
    "pydold_openai_agent_tool": {"aggregate", "cache_read_unreported"},
    "strands_anthropic_agent": {"aggregate", "cache_write_ttl_unreported"},
    "strands_openai_agent_tool": {"aggregate"},
    "tl_anthropic_chat": {"cache_write_ttl_unreported"},
    "tl_bedrock_converse": {"cache_write_ttl_unreported", "region_unreported"},
    "tl_cohere": {"cache_read_unreported", "units_unreported"},
    "tl_langchain_agent": {"cache_write_unreported"},
    "tl_langchain_anthropic": {"cache_write_unreported"},
    "tl_langchain_chat": {"cache_write_unreported"},
    "tl_mistral": {"cache_read_unreported"},
    "tl_native_anthropic_both": {"cache_write_ttl_unreported"},
    "tl_openai_agents": {"cache_write_unreported"},
    "tl_openai_chat": {"cache_write_unreported"},
    "tl_openai_stream": {"cache_write_unreported"},
    "tl_sdk_workflow": {"cache_write_unreported"},
    "tljs_anthropic": {"cache_write_ttl_unreported"},  # the SDK's own span has it
    "tlold_anthropic_chat": {"cache_write_ttl_unreported"},
    "tlold_openai_chat": {"cache_write_unreported"},
    "tlold_openai_stream": {"usage_missing"},
    "v2_openai_chat": {"cache_read_unreported"},
    "v2_openai_chat_latest": {"cache_read_unreported"},
    "v2_openai_retry429": {"cache_read_unreported"},
    "v2_openai_stream_nousage": {"usage_missing"},
    "vercel6_anthropic_tools": {"aggregate", "cache_write_ttl_unreported"},
    "vercel7_otel_anthropic": {"aggregate", "cache_write_ttl_unreported"},
    "vercel_embed": {"aggregate"},
    "vercel_openai_tool": {"aggregate"},
}

# Calls of these recordings are on no span with usage: the emitter has none of them.
UNRECORDED = {
    "gg_gemini_tool_loop": 1,
    "go_openai_stream_cancelled": 1,
    "goa_openai_agents": 2,
    "tlold_openai_stream": 1,
    "v2_openai_stream_nousage": 1,
}

CALLS = ("inference", "embeddings")


@pytest.fixture
def usage(request: pytest.FixtureRequest, dialects: Dialects) -> pl.DataFrame:
    body = (CORPUS / request.param / "case.pb").read_bytes()
    return read_usage(decode([body], [""]), dialects)


def _truths(case: str) -> list[dict[str, Any]]:
    """Return the calls that the provider answered with usage."""
    truth = json.loads((CORPUS / case / "truth.json").read_text())
    return [call for call in truth["normalized_truth"]["per_call"] if call.get("input_total")]


def _parts(span: Mapping[str, Any]) -> dict[str, int]:
    """Return what a span states, with images and audio as part of the fresh input."""
    number = {name: span[name] or 0 for name in span if name.endswith("_tokens")}
    return {
        "fresh": sum(number[f"input{part}_tokens"] for part in ("", "_audio", "_image", "_video")),
        "read": number["cache_read_tokens"],
        "write_5m": number["cache_write_5m_tokens"],
        "write_1h": number["cache_write_1h_tokens"],
        "output": number["output_tokens"],
    }


def _expected(call: Mapping[str, Any], doubts: set[str]) -> dict[str, int]:
    """Return what a span of this call states, given what its emitter is known to drop."""
    five_minutes, one_hour = call["cache_write_5m"], call["cache_write_1h"]
    parts = {
        "fresh": call["uncached_input"],
        "read": call["cache_read"],
        "write_5m": call["cache_write"] if five_minutes is None else five_minutes,
        "write_1h": one_hour or 0,
        "output": call["output_total"],
    }
    if "cache_write_ttl_unreported" in doubts:
        parts |= {"write_5m": parts["write_5m"] + parts["write_1h"], "write_1h": 0}
    if "cache_write_unreported" in doubts:
        written = parts["write_5m"] + parts["write_1h"]
        parts |= {"fresh": parts["fresh"] + written, "write_5m": 0, "write_1h": 0}
    if "cache_read_unreported" in doubts:
        parts |= {"fresh": parts["fresh"] + parts["read"], "read": 0}
    return parts


@pytest.mark.parametrize(("case", "usage"), [(case, case) for case in CASES], indirect=["usage"])
def test_every_call_of_a_recording_has_the_quantities_that_the_provider_billed(
    case: str, usage: pl.DataFrame
) -> None:
    spans = usage.filter(
        pl.col("candidate") & pl.col("has_usage") & pl.col("call_kind").is_in(CALLS)
    )
    unmatched = _truths(case)

    for span in spans.iter_rows(named=True):
        doubts = set(span["uncertainty"] or ())
        fitting = [call for call in _truths(case) if _expected(call, doubts) == _parts(span)]
        assert fitting, (span["span_name"], _parts(span), doubts)
        assert span["reasoning_tokens"] in (None, fitting[0]["reasoning"])
        if fitting[0] in unmatched:
            unmatched.remove(fitting[0])

    assert len(unmatched) == UNRECORDED.get(case, 0)


@pytest.mark.parametrize(("case", "usage"), [(case, case) for case in CASES], indirect=["usage"])
def test_what_an_emitter_drops_is_named_on_the_span_and_nothing_else_is(
    case: str, usage: pl.DataFrame
) -> None:
    named = usage.filter("candidate")["uncertainty"].drop_nulls().explode().to_list()

    assert set(named) == DOUBTS.get(case, set())


@pytest.mark.parametrize("usage", CASES, indirect=True)
def test_the_frame_has_the_columns_of_the_contract_and_a_row_per_span(usage: pl.DataFrame) -> None:
    assert dict(usage.drop(ALIKE, strict=False).schema) == SPANS | USAGE


@pytest.mark.parametrize(
    ("case", "usage", "readings"),
    [
        (case, case, readings)
        for case, readings in {
            "a11y_openai_chat": {("inclusive", "marker")},
            "bc_bedrock_converse": {("exclusive", "proof")},
            "gb_bedrock_converse": {("exclusive", "proof")},
            "go_openai_chat": {("inclusive", "scope")},
            "langfuse_openai_chat": {("inclusive", "layout")},
            "litellm_openai_chat": {("inclusive", "layout")},
            "oi_bedrock_converse": {("inclusive", "scope")},
            "openlit_anthropic_chat": {("exclusive", "proof")},
            "openlit_openai_chat": {("inclusive", "scope")},
            "tl_bedrock_converse": {("exclusive", "proof")},
            "v2_openai_chat": {("inclusive", "default")},
            "vercel_openai_tool": {("inclusive", "layout")},
        }.items()
    ],
    indirect=["usage"],
)
def test_the_reading_is_written_down_with_the_rule_that_decided_it(
    case: str, usage: pl.DataFrame, readings: set[tuple[str, str]]
) -> None:
    told = usage.filter("has_usage").select("usage_reading", "usage_rule")

    assert set(told.iter_rows()) == readings


@pytest.mark.parametrize(
    ("usage", "kinds"),
    [
        ("go_openai_tool_loop", ["inference", "inference", "tool", "agent"]),
        ("goa_openai_agents", ["tool", "agent", "agent"]),
        ("langfuse_manual_generation", ["inference", "tool", "agent"]),
        ("logfire_openai", ["inference", None, "inference"]),
        ("openlit_openai_chat", [None, "inference"]),
        ("pydold_openai_agent_tool", ["inference", "tool", None, "inference", "agent"]),
        ("strands_anthropic_agent", ["inference", "agent", "agent"]),
        ("tl_cohere", ["inference", "rerank"]),
        ("tl_mistral", ["inference", "inference"]),
        ("tl_sdk_workflow", ["inference", "tool", "inference", "agent", "agent"]),
        ("vercel_embed", ["embeddings", "agent"]),
        ("vercel_openai_tool", ["inference", "tool", "inference", "agent"]),
    ],
    indirect=["usage"],
)
def test_each_span_is_told_for_what_it_is(usage: pl.DataFrame, kinds: list[str | None]) -> None:
    assert usage["call_kind"].to_list() == kinds


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ("oi_openai_chat", [("chatcmpl-b570f1522789458581c10496", "default", None)]),
        ("go_openai_chat", [("chatcmpl-dd4901dea7a44c53a308cb93", "flex", "service_tier=flex")]),
        ("native_anthropic_chat", [("msg_0160227622b56f4b20861e56", "standard", None)]),
        ("oi_anthropic_chat", [("msg_015814a952344e47f089058f", "standard", None)]),
        ("oi_openai_responses", [("resp_12368fb8c1f74f00984e802e30595bf0", "default", None)]),
        ("oi_openai_stream", [("chatcmpl-a6b0ec1a6d5147ebb2410139", "default", None)]),
        ("tl_openai_chat", [("chatcmpl-6c23b1e1ebae43fca7a10ed4", "default", None)]),
    ],
    indirect=["usage"],
)
def test_the_id_of_the_response_and_the_tier_it_was_served_in_are_found_wherever_they_stand(
    usage: pl.DataFrame, told: list[tuple[str, str, str | None]]
) -> None:
    calls = usage.filter("candidate").select("response_id", "service_tier", "price_context")

    assert list(calls.iter_rows()) == told


@pytest.mark.parametrize(
    ("usage", "cost", "source"),
    [
        ("langfuse_manual_generation", "0.0165288", "langfuse.observation.cost_details"),
        ("openlit_openai_chat", "0.0072475", "gen_ai.usage.cost"),
        ("pyd_gemini", "0.00448875", "operation.cost"),
    ],
    indirect=["usage"],
)
def test_a_cost_that_came_with_a_span_is_kept_with_its_source(
    usage: pl.DataFrame, cost: str, source: str
) -> None:
    given = usage.filter(pl.col("supplied_cost_usd").is_not_null())

    assert given.select("supplied_cost_usd", "supplied_cost_source").rows() == [
        (Decimal(cost), source)
    ]


@pytest.mark.parametrize("usage", ["oi_anthropic_chat"], indirect=True)
def test_web_searches_are_counted_where_the_emitter_shows_them(usage: pl.DataFrame) -> None:
    (call,) = usage.iter_rows(named=True)

    assert call["units"] == [{"unit": "web_search", "quantity": Decimal(2)}]
    assert call["blind_to"] == ["cache_ttl"]


@pytest.mark.parametrize(
    ("usage", "ends"),
    [
        ("go_openai_tool_loop", [True, False, None, None]),
        ("native_anthropic_chat", [False]),
        ("oi_anthropic_chat", [False]),
        ("oi_langchain_agent", [True, None, None, None, False, None, None]),
        ("tl_openai_agents", [True, None, False, None, None]),
        ("vercel_openai_tool", [True, None, False, False]),
    ],
    indirect=["usage"],
)
def test_a_call_that_asks_for_a_tool_is_known_by_any_spelling(
    usage: pl.DataFrame, ends: list[bool | None]
) -> None:
    assert usage["ends_in_tool_call"].to_list() == ends
