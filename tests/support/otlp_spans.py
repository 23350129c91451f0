"""Spans as few words, and the export requests that carry them."""

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

__all__ = ["NOON_NS", "OtlpCall", "request_of"]

NOON_NS = 1_793_620_800_000_000_000
"""2026-11-02 12:00 UTC."""
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class OtlpCall:
    """A call of gpt-4o: $2.50 per million of input, $10 per million of output."""

    trace: int
    span: int
    input_tokens: int
    conversation: str | None = None
    response: str | None = None
    start_s: float = 0.0
    end_s: float = 1.0
    scope: str = "opentelemetry.instrumentation.genai.openai"
    output_tokens: int = 0
    feature: str | None = None

    @property
    def trace_id(self) -> str:
        """As it is stored."""
        return f"{self.trace:032x}"

    @property
    def span_id(self) -> str:
        """As it is stored."""
        return f"{self.span:016x}"


def request_of(calls: Iterable[OtlpCall]) -> bytes:
    """Return an export request that carries `calls` in this order."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "support-bot"
    for call in calls:
        scope = resource.scope_spans.add()
        scope.scope.name = call.scope
        span = scope.spans.add(
            name="chat gpt-4o",
            kind=3,
            trace_id=call.trace.to_bytes(16, "big"),
            span_id=call.span.to_bytes(8, "big"),
            start_time_unix_nano=NOON_NS + int(call.start_s * _SECOND_NS),
            end_time_unix_nano=NOON_NS + int(call.end_s * _SECOND_NS),
        )
        told = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.id": call.response,
            "gen_ai.conversation.id": call.conversation,
            "farebox.feature": call.feature,
        }
        for key, text in told.items():
            if text is not None:
                span.attributes.add(key=key, value=AnyValue(string_value=text))
        counts = {"input": call.input_tokens, "output": call.output_tokens}
        for key, tokens in counts.items():
            span.attributes.add(key=f"gen_ai.usage.{key}_tokens", value=AnyValue(int_value=tokens))
    return request.SerializeToString()
