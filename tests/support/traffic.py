"""Spans made with the stock SDK, and the rows that they have to become."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from farebox_processor.demo.farebox_server import FareboxServer

__all__ = ["evidence_of", "evidence_rows", "send", "send_many", "span_rows", "spans_of"]

_RESOURCE = {"service.name": "harbor-chat", "deployment.environment.name": "test", "replica": 3}
_TYPED = {
    "text": "Grüße, 世界",
    "integer": 9007199254740993,
    "flag": True,
    "share": 0.25,
    "names": ["a", "b"],
    "counts": [1, 2],
}
_TYPED_AS_TEXT = {
    "text": "Grüße, 世界",
    "integer": "9007199254740993",
    "flag": "true",
    "share": "0.25",
    "names": '["a","b"]',
    "counts": "[1,2]",
}
_CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
# Without a trace state: the stock exporters do not send that of a link.
_LINKED = SpanContext(
    trace_id=0xABCDEF, span_id=0x123456, is_remote=True, trace_flags=TraceFlags(1)
)


def send(exporter: SpanExporter, conversation_id: str) -> list[ReadableSpan]:
    """Export a trace of three spans with something in every field, and return what was sent."""
    provider, kept = _provider(exporter)
    tracer = provider.get_tracer("harbor.web", "1.2.3")
    calls = provider.get_tracer("opentelemetry.instrumentation.genai.openai", "1.3b0")
    linked = [Link(_LINKED, {"because": "batch"})]
    with tracer.start_as_current_span(
        "POST /chat", kind=SpanKind.SERVER, attributes=_TYPED, links=linked
    ) as root:
        root.add_event("asked", {"length": 17})
        asked = _CALL | {"gen_ai.conversation.id": conversation_id}
        calls.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=asked).end()
        failed = tracer.start_span("save", attributes={"error.type": "disk"})
        failed.set_status(Status(StatusCode.ERROR, "disk is full"))
        failed.end()
    provider.shutdown()
    return list(kept.get_finished_spans())


def send_many(exporter: SpanExporter, count: int) -> list[ReadableSpan]:
    """Export `count` calls, a trace each, and return what was sent."""
    provider, kept = _provider(exporter)
    tracer = provider.get_tracer("opentelemetry.instrumentation.genai.openai", "1.3b0")
    for _ in range(count):
        tracer.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=_CALL).end()
    provider.shutdown()
    return list(kept.get_finished_spans())


def evidence_of(sent: Sequence[ReadableSpan]) -> list[dict[str, Any]]:
    """Return the rows of `otel_traces` that the spans of `send` have to become."""
    return sorted((_evidence(span) for span in sent), key=lambda row: row["SpanId"])


def evidence_rows(server: FareboxServer, sent: Sequence[ReadableSpan]) -> list[dict[str, Any]]:
    """Return what `otel_traces` holds of the traces that were sent, without what was attached."""
    rows = server.query(f"{_EVIDENCE} WHERE TraceId IN ({_trace_ids(sent)}) ORDER BY SpanId")
    for row in rows:
        row["SpanAttributes"] = {
            key: value
            for key, value in row["SpanAttributes"].items()
            if not key.startswith("farebox.")
        }
    return rows


def spans_of(sent: Sequence[ReadableSpan]) -> list[dict[str, Any]]:
    """Return the rows of `spans`, in part, that the spans have to become."""
    return sorted((_stored(span) for span in sent), key=lambda row: row["span_id"])


def span_rows(server: FareboxServer, sent: Sequence[ReadableSpan]) -> list[dict[str, Any]]:
    """Return the same columns of what `spans` holds of the traces that were sent."""
    return server.query(f"{_STORED} WHERE trace_id IN ({_trace_ids(sent)}) ORDER BY span_id")


def _provider(exporter: SpanExporter) -> tuple[TracerProvider, InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(_RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(BatchSpanProcessor(kept))
    return provider, kept


_EVIDENCE = """
SELECT
    toUnixTimestamp64Nano(Timestamp) AS Timestamp, TraceId, SpanId, ParentSpanId, TraceState,
    SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes,
    Duration, StatusCode, StatusMessage,
    arrayMap(time -> toUnixTimestamp64Nano(time), Events.Timestamp) AS EventTimes,
    Events.Name AS EventNames, Events.Attributes AS EventAttributes,
    Links.TraceId AS LinkTraceIds, Links.SpanId AS LinkSpanIds,
    Links.TraceState AS LinkTraceStates, Links.Attributes AS LinkAttributes
FROM otel_traces FINAL
"""


def _evidence(span: ReadableSpan) -> dict[str, Any]:
    is_root = span.parent is None
    return {
        "Timestamp": span.start_time,
        "TraceId": f"{span.context.trace_id:032x}",
        "SpanId": f"{span.context.span_id:016x}",
        "ParentSpanId": "" if is_root else f"{span.parent.span_id:016x}",
        "TraceState": "",
        "SpanName": span.name,
        "SpanKind": {"SERVER": "Server", "CLIENT": "Client", "INTERNAL": "Internal"}[
            span.kind.name
        ],
        "ServiceName": "harbor-chat",
        "ResourceAttributes": {name: str(value) for name, value in _RESOURCE.items()},
        "ScopeName": span.instrumentation_scope.name,
        "ScopeVersion": span.instrumentation_scope.version,
        "SpanAttributes": _TYPED_AS_TEXT
        if is_root
        else {name: str(value) for name, value in span.attributes.items()},
        "Duration": span.end_time - span.start_time,
        "StatusCode": {"UNSET": "Unset", "ERROR": "Error"}[span.status.status_code.name],
        "StatusMessage": span.status.description or "",
        "EventTimes": [event.timestamp for event in span.events],
        "EventNames": ["asked"] if is_root else [],
        "EventAttributes": [{"length": "17"}] if is_root else [],
        "LinkTraceIds": ["00000000000000000000000000abcdef"] if is_root else [],
        "LinkSpanIds": ["0000000000123456"] if is_root else [],
        "LinkTraceStates": [""] if is_root else [],
        "LinkAttributes": [{"because": "batch"}] if is_root else [],
    }


_STORED = """
SELECT
    trace_id, span_id, parent_span_id, span_name, service_name, scope_name, scope_version,
    start_unix_nano, end_unix_nano, duration_ns, status_code, environment, conversation_id,
    model, input_tokens, output_tokens, toString(cost_usd) AS cost_usd, cost_status
FROM spans FINAL
"""


def _stored(span: ReadableSpan) -> dict[str, Any]:
    is_call = "gen_ai.operation.name" in span.attributes
    return {
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "span_name": span.name,
        "service_name": "harbor-chat",
        "scope_name": span.instrumentation_scope.name,
        "scope_version": span.instrumentation_scope.version,
        "start_unix_nano": span.start_time,
        "end_unix_nano": span.end_time,
        "duration_ns": span.end_time - span.start_time,
        "status_code": span.status.status_code.value,
        "environment": "test",
        "conversation_id": span.attributes.get("gen_ai.conversation.id"),
        "model": "gpt-4o-2024-08-06" if is_call else None,
        "input_tokens": 1000 if is_call else None,
        "output_tokens": 100 if is_call else None,
        # 1000 x $2.50 and 100 x $10 per million
        "cost_usd": "0.0035" if is_call else None,
        "cost_status": "exact" if is_call else None,
    }


def _trace_ids(sent: Sequence[ReadableSpan]) -> str:
    return ", ".join(sorted({f"'{span.context.trace_id:032x}'" for span in sent}))
