"""Rows of otel_traces: the collector's columns, without content, with what a call cost."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from farebox_processor.content import is_content
from farebox_processor.enrichment import attach
from farebox_processor.evidence import evidence_rows
from farebox_processor.frames import EVIDENCE, PRICED_SPANS
from farebox_processor.otlp import Decoded, decode

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "corpus").glob("*/case.pb"))
START = 1_795_227_231_393_262_900
AT = datetime(2026, 11, 21, 2, 13, 51, 393262, tzinfo=UTC)


def decoded_span(**fields: Any) -> Decoded:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "the.scope", "1.2"
    given = {
        "trace_id": b"\1" * 16,
        "span_id": b"\2" * 8,
        "name": "chat gpt-4o",
        "kind": 3,
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 7,
    }
    scope.spans.append(Span(**(given | fields)))
    return decode([message.SerializeToString()], ["acme"])


def texts(**values: str) -> list[dict[str, Any]]:
    return [
        {"key": key.replace("__", "."), "value": {"string_value": value}}
        for key, value in values.items()
    ]


def priced(decoded: Decoded, **columns: Any) -> pl.DataFrame:
    """Priced spans as the chain would hand them on, all alike, null where nothing is said."""
    spans = decoded.spans
    return pl.DataFrame(
        {
            name: spans[name]
            if name in spans.columns
            else pl.Series([columns.get(name)] * spans.height, dtype=dtype)
            for name, dtype in PRICED_SPANS.items()
        }
    )


def row(decoded: Decoded, *, content: bool = False, **columns: Any) -> dict[str, Any]:
    spans = priced(decoded, **columns)
    rows = evidence_rows(decoded, spans, attach(decoded, spans), content=content).decoded()
    assert dict(rows.schema) == EVIDENCE
    return rows.row(0, named=True)


def test_a_span_that_is_no_call_has_the_collectors_columns_and_no_cost() -> None:
    decoded = decoded_span(
        parent_span_id=b"\3" * 8,
        trace_state="a=b",
        status={"code": 2, "message": "broke"},
        attributes=[*texts(http__route="/chat"), {"key": "n", "value": {"double_value": 1.0}}],
    )

    assert row(decoded) == {
        "Timestamp": AT,
        "TraceId": "01" * 16,
        "SpanId": "02" * 8,
        "ParentSpanId": "03" * 8,
        "TraceState": "a=b",
        "SpanName": "chat gpt-4o",
        "SpanKind": "Client",
        "ServiceName": "shop",
        "ResourceAttributes": {"service.name": "shop"},
        "ScopeName": "the.scope",
        "ScopeVersion": "1.2",
        "SpanAttributes": {"http.route": "/chat", "n": "1"},
        "Duration": 7,
        "StatusCode": "Error",
        "StatusMessage": "broke",
        "Events.Timestamp": [],
        "Events.Name": [],
        "Events.Attributes": [],
        "Links.TraceId": [],
        "Links.SpanId": [],
        "Links.TraceState": [],
        "Links.Attributes": [],
        "TenantId": "acme",
        "ConversationId": "",
        "Model": None,
        "Provider": None,
        "CostUsd": None,
        "CostStatus": None,
        "InputTokens": None,
        "OutputTokens": None,
    }


def test_a_call_carries_its_cost_as_columns_and_as_attributes() -> None:
    found = row(
        decoded_span(attributes=texts(gen_ai__request__model="gpt-4o")),
        conversation_id="conv-1",
        model="gpt-4o",
        provider="openai",
        cost_usd=Decimal("10.0000625"),
        input_cost_usd=Decimal("10"),
        output_cost_usd=Decimal("0.0000625"),
        cache_read_cost_usd=Decimal(0),
        cost_status="estimated",
        cost_reason="aggregate",
        price_source="base: openai/gpt-4o",
        input_tokens=3,
        cache_read_tokens=4,
        output_tokens=5,
        reasoning_tokens=2,
    )

    assert found["SpanAttributes"] == {
        "gen_ai.request.model": "gpt-4o",
        "farebox.cost.usd": "10.0000625",
        "farebox.cost.input_usd": "10",
        "farebox.cost.cache_read_usd": "0",
        "farebox.cost.output_usd": "0.0000625",
        "farebox.cost.currency": "USD",
        "farebox.cost.status": "estimated",
        "farebox.cost.reason": "aggregate",
        "farebox.cost.source": "base: openai/gpt-4o",
    }
    assert {name: found[name] for name in list(EVIDENCE)[-8:]} == {
        "TenantId": "acme",
        "ConversationId": "conv-1",
        "Model": "gpt-4o",
        "Provider": "openai",
        "CostUsd": Decimal("10.000062500000000000"),
        "CostStatus": "estimated",
        "InputTokens": 7,
        "OutputTokens": 5,
    }


def test_a_call_without_a_price_says_so_and_claims_no_amount() -> None:
    found = row(decoded_span(), cost_status="unpriced", cost_reason="unknown_model")

    assert found["SpanAttributes"] == {
        "farebox.cost.status": "unpriced",
        "farebox.cost.reason": "unknown_model",
    }


def test_a_cost_that_a_span_claims_to_come_from_farebox_is_left_out() -> None:
    sent = texts(farebox__cost__usd="0.01", gen_ai__usage__cost="0.02")

    assert row(decoded_span(attributes=sent))["SpanAttributes"] == {"gen_ai.usage.cost": "0.02"}


def test_a_conversation_named_by_the_resource_counts_where_the_span_names_none() -> None:
    assert row(decoded_span(), resource_conversation_id="c-r")["ConversationId"] == "c-r"


def test_of_two_attributes_of_one_name_the_last_is_stored() -> None:
    sent = [*texts(a="1"), *texts(b="2"), *texts(a="3")]

    assert row(decoded_span(attributes=sent))["SpanAttributes"] == {"b": "2", "a": "3"}


@pytest.mark.parametrize(
    "key",
    [
        "ai.request.text",
        "genkit:input",
        "genkit:output",
        "mastra.agent_run.input",
        "mastra.model_step.output",
        "mastra.metadata.body",
    ],
)
def test_what_emitters_in_javascript_record_of_a_prompt_is_content(key: str) -> None:
    sent = [{"key": key, "value": {"string_value": "hi"}}, *texts(user__id="u")]

    assert row(decoded_span(attributes=sent))["SpanAttributes"] == {"user.id": "u"}


def test_content_is_left_out_unless_asked_for() -> None:
    sent = texts(gen_ai__input__messages="[...]", user__id="u", output__value="hi")
    message = {"name": "gen_ai.user.message", "attributes": texts(content="hello", role="user")}
    failure = {
        "name": "exception",
        "attributes": texts(message="not content here", input__value="x"),
    }
    decoded = decoded_span(attributes=sent, events=[message, failure])

    without, with_content = row(decoded), row(decoded, content=True)

    assert without["SpanAttributes"] == {"user.id": "u"}
    assert without["Events.Attributes"] == [{"role": "user"}, {}]
    assert with_content["SpanAttributes"] == {
        "gen_ai.input.messages": "[...]",
        "user.id": "u",
        "output.value": "hi",
    }
    assert with_content["Events.Attributes"] == [
        {"content": "hello", "role": "user"},
        {"message": "not content here", "input.value": "x"},
    ]


def test_events_and_links_are_lists_beside_their_span() -> None:
    decoded = decoded_span(
        events=[{"name": "first", "time_unix_nano": START}, {"name": "second"}],
        links=[
            {
                "trace_id": b"\4" * 16,
                "span_id": b"\5" * 8,
                "trace_state": "x=y",
                "attributes": texts(why="retry"),
            }
        ],
    )

    found = row(decoded)

    assert {name: found[name] for name in EVIDENCE if name.startswith(("Events", "Links"))} == {
        "Events.Timestamp": [AT, datetime(1970, 1, 1, tzinfo=UTC)],
        "Events.Name": ["first", "second"],
        "Events.Attributes": [{}, {}],
        "Links.TraceId": ["04" * 16],
        "Links.SpanId": ["05" * 8],
        "Links.TraceState": ["x=y"],
        "Links.Attributes": [{"why": "retry"}],
    }


def test_values_are_cut_at_64_kibi_characters() -> None:
    sent = texts(long="é" * 70_000)

    assert row(decoded_span(attributes=sent))["SpanAttributes"] == {"long": "é" * 65_536}


@pytest.mark.parametrize(
    ("number", "name"), [(0, "Unspecified"), (5, "Consumer"), (9, "Unspecified")]
)
def test_kinds_are_named_as_the_collector_names_them(number: int, name: str) -> None:
    assert row(decoded_span(kind=number))["SpanKind"] == name


def test_the_recordings_leave_no_prompt_or_answer_behind() -> None:
    decoded = decode([path.read_bytes() for path in CORPUS], [""] * len(CORPUS))

    spans = priced(decoded)
    rows = evidence_rows(decoded, spans, attach(decoded, spans)).decoded()

    stored = str(rows.select("SpanAttributes", "Events.Attributes").to_dicts())
    assert rows.height == decoded.spans.height
    assert "support bot" not in stored
    assert "Weather in Paris" not in stored


def test_no_spans_are_no_rows() -> None:
    decoded = decode([], [])

    spans = priced(decoded)
    rows = evidence_rows(decoded, spans, attach(decoded, spans)).decoded()
    assert dict(rows.schema) == EVIDENCE


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.input.messages",
        "gen_ai.prompt",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.content",
        "gen_ai.tool.call.arguments",
        "traceloop.entity.input",
        "llm.input_messages.0.message.content",
        "llm.openai.messages",
        "langfuse.observation.output",
        "ai.prompt.messages",
        "ai.response.text",
        "ai.toolCall.args",
        "pydantic_ai.all_messages",
        "gcp.vertex.agent.llm_request",
    ],
)
def test_what_was_said_is_content(key: str) -> None:
    assert is_content(pl.Series([key])).to_list() == [True]


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.prompt.name",
        "gen_ai.usage.raw",
        "gen_ai.tool.name",
        "gen_ai.request.model",
        "llm.token_count.prompt",
        "llm.token_count.completion",
        "llm.openai.usage",
        "langfuse.observation.usage_details",
        "ai.response.model",
        "ai.usage.tokens",
        "messages",
        "input.mime_type",
        "inputXvalue",
    ],
)
def test_what_it_took_is_not(key: str) -> None:
    assert is_content(pl.Series([key])).to_list() == [False]
