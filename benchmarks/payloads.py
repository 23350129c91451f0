"""OTLP requests like those of instrumented GenAI services: 16 to 20 attributes a span, varied."""

import random
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

__all__ = ["SPANS_PER_TRACE", "calls", "requests"]

_Values: TypeAlias = dict[str, Any]

SPANS_PER_TRACE: Final = 8
_SPANS_PER_RESOURCE: Final = 512
_START_UNIX_NANO: Final = 1_795_000_000_000_000_000
_MODELS: Final = (
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07"),
    ("anthropic", "claude-sonnet-4-6", "claude-sonnet-4-6"),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
)
_FEATURES: Final = ("support", "contracts", "research", "agent")
_TOOLS: Final = ("find_order", "check_stock", "change_address", "read_log")


def requests(spans: int, *, spans_per_request: int, seed: int = 1) -> list[bytes]:
    """Return serialized export requests that hold `spans` spans together."""
    chance = random.Random(seed)  # noqa: S311 - the same payload in every run
    return _requests(chance, _traces(chance), spans, spans_per_request)


def calls(count: int, *, spans_per_request: int, seed: int = 1) -> list[bytes]:
    """Return the same with spans that are calls of models, each of them a trace of its own."""
    chance = random.Random(seed)  # noqa: S311 - the same payload in every run
    return _requests(chance, _calls(chance), count, spans_per_request)


def _requests(
    chance: random.Random, made: Iterator[tuple[str, Span]], spans: int, spans_per_request: int
) -> list[bytes]:
    return [
        _request(chance, [next(made) for _ in range(spans_per_request)])
        for _ in range(spans // spans_per_request)
    ]


def _request(chance: random.Random, spans: list[tuple[str, Span]]) -> bytes:
    request = ExportTraceServiceRequest()
    for start in range(0, len(spans), _SPANS_PER_RESOURCE):
        request.resource_spans.append(_resource(chance, spans[start : start + _SPANS_PER_RESOURCE]))
    return request.SerializeToString()


def _resource(chance: random.Random, spans: list[tuple[str, Span]]) -> ResourceSpans:
    resource = ResourceSpans()
    resource.resource.attributes.extend(
        _attributes(
            {
                "service.name": chance.choice(("harbor-chat", "harbor-agents")),
                "service.version": "4.2.0",
                "deployment.environment.name": "production",
                "host.name": f"node-{chance.randrange(16)}",
                "telemetry.sdk.language": "python",
            }
        )
    )
    for name in sorted({scope for scope, _ in spans}):
        scope_spans = ScopeSpans()
        scope_spans.scope.name = name
        scope_spans.scope.version = "1.3b0"
        scope_spans.spans.extend(span for scope, span in spans if scope == name)
        resource.scope_spans.append(scope_spans)
    return resource


def _traces(chance: random.Random) -> Iterator[tuple[str, Span]]:
    """Yield spans trace by trace: a request, an agent in it, and its calls and tools in turn."""
    while True:
        trace_id, root, agent = (chance.randbytes(size) for size in (16, 8, 8))
        start = _START_UNIX_NANO + chance.randrange(3_600_000_000_000)
        told = {
            "gen_ai.conversation.id": f"conversation-{chance.randrange(100_000)}",
            "user.id": f"user-{chance.randrange(5_000)}",
            "farebox.feature": chance.choice(_FEATURES),
            "farebox.turn.id": chance.randbytes(8).hex(),
        }
        yield "harbor.web", _span((trace_id, root, b""), start, "POST /chat", _web(chance) | told)
        named = "invoke_agent harbor"
        yield "harbor.agents", _span((trace_id, agent, root), start, named, _agent(chance) | told)
        for number in range(SPANS_PER_TRACE - 2):
            began = start + number * 900_000_000
            scope, name, attributes = _tool(chance) if number % 3 == 2 else _call(chance)
            span_id = chance.randbytes(8)
            yield scope, _span((trace_id, span_id, agent), began, name, attributes | told)


def _calls(chance: random.Random) -> Iterator[tuple[str, Span]]:
    while True:
        scope, name, attributes = _call(chance)
        start = _START_UNIX_NANO + chance.randrange(3_600_000_000_000)
        told = {
            "gen_ai.conversation.id": f"conversation-{chance.randrange(100_000)}",
            "user.id": f"user-{chance.randrange(5_000)}",
            "farebox.feature": chance.choice(_FEATURES),
        }
        ids = (chance.randbytes(16), chance.randbytes(8), b"")
        yield scope, _span(ids, start, name, attributes | told)


def _span(ids: tuple[bytes, bytes, bytes], start: int, name: str, attributes: _Values) -> Span:
    trace_id, span_id, parent = ids
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_CLIENT if parent else Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start,
        end_time_unix_nano=start + 850_000_000,
        attributes=_attributes(attributes),
    )


def _call(chance: random.Random) -> tuple[str, str, _Values]:
    provider, asked, served = chance.choice(_MODELS)
    fresh, cached = chance.randrange(200, 9_000), chance.choice((0, 0, 1_024, 16_384))
    attributes: _Values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": asked,
        "gen_ai.request.max_tokens": 2_000,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.response.model": served,
        "gen_ai.response.id": f"response-{chance.randbytes(12).hex()}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": fresh + cached,
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.output_tokens": chance.randrange(20, 900),
        "server.address": f"api.{provider}.com",
        "server.port": 443,
    }
    if provider == "openai":
        attributes["openai.response.service_tier"] = "default"
        attributes["openai.response.system_fingerprint"] = f"fp_{chance.randrange(100)}"
    scope = f"opentelemetry.instrumentation.genai.{provider}"
    return scope, f"chat {asked}", attributes


def _tool(chance: random.Random) -> tuple[str, str, _Values]:
    tool = chance.choice(_TOOLS)
    attributes: _Values = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"call_{chance.randbytes(12).hex()}",
        "gen_ai.agent.name": "harbor",
        **_where(chance),
    }
    return "opentelemetry.util.genai.handler", f"execute_tool {tool}", attributes


def _agent(chance: random.Random) -> _Values:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "harbor",
        "gen_ai.agent.id": "agent-7",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        **_where(chance),
    }


def _web(chance: random.Random) -> _Values:
    return {
        "http.request.method": "POST",
        "http.route": "/chat",
        "http.response.status_code": 200,
        "url.scheme": "https",
        "client.address": f"10.0.{chance.randrange(256)}.{chance.randrange(256)}",
        **_where(chance),
    }


def _where(chance: random.Random) -> _Values:
    return {
        "code.function.name": "harbor.chat.answer",
        "code.file.path": "/srv/harbor/chat.py",
        "code.line.number": chance.randrange(900),
        "thread.id": chance.randrange(64),
        "thread.name": "asyncio_0",
        "enduser.region": chance.choice(("eu", "us")),
        "feature_flag.key": "new-agent",
    }


def _attributes(values: _Values) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items()]


def _any_value(value: object) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            made = AnyValue()
            made.array_value.values.extend(map(_any_value, value))
            return made
        case _:
            raise TypeError(f"no OTLP value for {value!r}")
