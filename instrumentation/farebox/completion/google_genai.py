"""Follows each request of the google-genai SDK, also those that one call makes by itself.

With automatic function calling one `generate_content` is several requests, each billed, while its
span has the usage of the last. Each then gets a span of its own, below, and the span around them
the sum. The response id stays with that one: it is the last request's.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from time import time_ns
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox._guard import harmless
from farebox._settings import own_tracer
from farebox.completion import spans
from farebox.completion.spans import before_end, call_span
from farebox.completion.versions import known_class, known_version

__all__ = ["complete", "leave", "mark_tool"]

_SCOPE: Final = "opentelemetry.instrumentation.google_genai"

_METHODS: Final = ("_generate_content", "_generate_content_stream")
_originals: list[tuple[Any, str, Any]] = []
_REQUESTS: Final = "_farebox_requests"
"""Attribute of a span object that keeps what its requests said."""
_COUNTS: Final = (
    attributes.INPUT_TOKENS,
    attributes.OUTPUT_TOKENS,
    attributes.CACHE_READ_TOKENS,
    attributes.REASONING_TOKENS,
)


@dataclass(frozen=True, slots=True)
class _Request:
    said: dict[str, AttributeValue]
    started_ns: int
    ended_ns: int


def complete() -> bool:
    """Record every request of the SDK; False if it is not installed."""
    if not known_version("google-genai", "google.genai", range(1, 3)):
        return False
    models = known_class("google.genai.models", "Models", *_METHODS)
    async_models = known_class("google.genai.models", "AsyncModels", *_METHODS)
    if not _originals:
        _follow(models, "_generate_content", _whole)
        _follow(models, "_generate_content_stream", _stream)
        _follow(async_models, "_generate_content", _async_whole)
        _follow(async_models, "_generate_content_stream", _async_stream)
    return True


def mark_tool(span: Any, context: Context | None) -> None:
    """Say of a function that the SDK calls by itself that the requests around it are recorded."""
    scope = span.instrumentation_scope
    if scope is None or scope.name != _SCOPE:
        return
    if hasattr(trace.get_current_span(context), _REQUESTS):
        span.set_attribute(attributes.CALLS_RECORDED, True)


def leave() -> None:
    """Undo `complete`."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


def _follow(owner: Any, name: str, follow: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    _originals.append((owner, name, original))
    setattr(owner, name, wraps(original)(follow(original)))


def _whole(original: Any) -> Any:
    def request(self: Any, **kwargs: Any) -> Any:
        started = _begin()
        response = original(self, **kwargs)
        _record(self, kwargs, started, response)
        return response

    return request


def _async_whole(original: Any) -> Any:
    async def request(self: Any, **kwargs: Any) -> Any:
        started = _begin()
        response = await original(self, **kwargs)
        _record(self, kwargs, started, response)
        return response

    return request


def _stream(original: Any) -> Any:
    def request(self: Any, **kwargs: Any) -> Iterator[Any]:
        started, last = _begin(), None
        try:
            for chunk in original(self, **kwargs):
                last = chunk
                yield chunk
        finally:
            _record(self, kwargs, started, last)

    return request


def _async_stream(original: Any) -> Any:
    async def request(self: Any, **kwargs: Any) -> AsyncIterator[Any]:
        started = _begin()
        chunks = await original(self, **kwargs)

        async def watched() -> AsyncIterator[Any]:
            last = None
            try:
                async for chunk in chunks:
                    last = chunk
                    yield chunk
            finally:
                _record(self, kwargs, started, last)

        return watched()

    return request


def _begin() -> int:
    """Return the time, and have the span know that its requests are recorded: a stream calls
    functions before it ends."""
    _prepare()
    return time_ns()


@harmless("google-genai request")
def _prepare() -> None:
    span = call_span()
    if span is not None and not hasattr(span, _REQUESTS):
        setattr(span, _REQUESTS, [])


@harmless("google-genai response")
def _record(models: Any, asked: dict[str, Any], started: int, response: Any) -> None:
    span = call_span()
    if span is None or getattr(response, "usage_metadata", None) is None:
        return
    said = _said(models, asked, response)
    spans.complete(span, {k: v for k, v in said.items() if k.startswith(attributes.USAGE_PREFIX)})
    requests: list[_Request] = getattr(span, _REQUESTS, [])
    requests.append(_Request(said, started, time_ns()))
    if len(requests) == 2:
        _emit(span, requests[0])
        before_end(span, lambda: span.set_attributes(_total(requests)))
    if len(requests) > 1:
        _emit(span, requests[-1])


def _total(requests: Sequence[_Request]) -> dict[str, AttributeValue]:
    """Return what all requests used, for the span around them, which knows of the last only."""
    return {
        name: sum(count for request in requests if isinstance(count := request.said.get(name), int))
        for name in _COUNTS
        if any(name in request.said for request in requests)
    }


def _emit(parent: Span, request: _Request) -> None:
    own_tracer().start_span(
        f"generate_content {request.said[attributes.REQUEST_MODEL]!s}",
        context=trace.set_span_in_context(parent),
        kind=SpanKind.CLIENT,
        attributes=request.said,
        start_time=request.started_ns,
    ).end(request.ended_ns)


def _said(models: Any, asked: dict[str, Any], response: Any) -> dict[str, AttributeValue]:
    usage = response.usage_metadata
    on_vertex = bool(getattr(getattr(models, "_api_client", None), "vertexai", False))
    thoughts = usage.thoughts_token_count or 0
    said: dict[str, AttributeValue | None] = {
        attributes.OPERATION_NAME: "generate_content",
        attributes.PROVIDER_NAME: "gcp.vertex_ai" if on_vertex else "gcp.gemini",
        attributes.REQUEST_MODEL: str(asked.get("model")),
        attributes.RESPONSE_MODEL: response.model_version,
        attributes.TOKEN_SEMANTICS: "inclusive",
        attributes.INPUT_TOKENS: (usage.prompt_token_count or 0)
        + (usage.tool_use_prompt_token_count or 0),
        attributes.OUTPUT_TOKENS: (usage.candidates_token_count or 0) + thoughts,
        attributes.CACHE_READ_TOKENS: usage.cached_content_token_count or None,
        attributes.REASONING_TOKENS: thoughts or None,
        attributes.USAGE_PREFIX + "web_search": _searches(response) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _searches(response: Any) -> int:
    """Return how many searches are billed: up to Gemini 2 one for a grounded answer, then each."""
    grounding = [
        found
        for candidate in response.candidates or ()
        if (found := getattr(candidate, "grounding_metadata", None)) is not None
    ]
    queries = sum(len(found.web_search_queries or ()) for found in grounding)
    per_answer = str(response.model_version or "").startswith(("gemini-1", "gemini-2"))
    return min(queries, 1) if per_answer else queries
