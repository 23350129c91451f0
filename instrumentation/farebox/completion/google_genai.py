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
_CALL: Final = "_farebox_call"
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


class _Call:
    """The requests that the span of one call stands for."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._requests: list[_Request] = []
        self._open: _Streamed | None = None
        before_end(span, self._end)

    def stream(self, streamed: "_Streamed") -> None:
        """Keep the stream that is being read: the span may end before it does."""
        self._open = streamed

    def add(self, said: dict[str, AttributeValue], started: int) -> None:
        """Take note of an answer."""
        units = {k: v for k, v in said.items() if k.startswith(attributes.USAGE_PREFIX)}
        spans.complete(self._span, units)
        self._requests.append(_Request(said, started, time_ns()))
        if len(self._requests) == 2:
            _emit(self._span, self._requests[0])
        if len(self._requests) > 1:
            _emit(self._span, self._requests[-1])

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
        if len(self._requests) > 1:
            self._span.set_attributes(_total(self._requests))
        elif self._requests:
            # The instrumentation leaves out what tools put into the prompt, and says nothing of an
            # answer where the request after it failed.
            model = self._requests[0].said.get(attributes.RESPONSE_MODEL)
            said = {**_total(self._requests), attributes.RESPONSE_MODEL: model}
            spans.complete_call(self._span, said, read_alike=False)


class _Streamed:
    """One request whose answer is streamed. Its usage grows with each chunk, and is final with the
    one that says why the model stopped: what is known of a stream that was cut is an estimate."""

    def __init__(self, call: _Call, models: Any, asked: dict[str, Any]) -> None:
        self._call = call
        self._models = models
        self._asked = asked
        self._started = time_ns()
        self._last: Any = None
        self._closed = False

    @harmless("google-genai stream")
    def see(self, chunk: Any) -> None:
        """Take note of a chunk as it passes."""
        self._last = chunk

    @harmless("google-genai response")
    def close(self, *, whole: bool = False) -> None:
        """Take note of the end, `whole` where there was nothing more to read. Once is enough."""
        if self._closed:
            return
        self._closed = True
        if getattr(self._last, "usage_metadata", None) is None:
            return
        said = _said(self._models, self._asked, self._last)
        if not (whole or _stopped(self._last)):
            said[attributes.USAGE_ESTIMATED] = True
        self._call.add(said, self._started)


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
    around = trace.get_current_span(context)
    said = getattr(around, "attributes", None) or {}
    # Where a configuration is used again, the instrumentation wraps its functions again, and each
    # has a span for every time.
    if hasattr(around, _CALL) or attributes.CALLS_RECORDED in said:
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
        started, call = time_ns(), _call()
        response = original(self, **kwargs)
        _record(call, self, kwargs, started, response)
        return response

    return request


def _async_whole(original: Any) -> Any:
    async def request(self: Any, **kwargs: Any) -> Any:
        started, call = time_ns(), _call()
        response = await original(self, **kwargs)
        _record(call, self, kwargs, started, response)
        return response

    return request


def _stream(original: Any) -> Any:
    def request(self: Any, **kwargs: Any) -> Iterator[Any]:
        streamed = _streamed(self, kwargs)
        if streamed is None:
            yield from original(self, **kwargs)
            return
        try:
            for chunk in original(self, **kwargs):
                streamed.see(chunk)
                yield chunk
            streamed.close(whole=True)
        finally:
            streamed.close()

    return request


def _async_stream(original: Any) -> Any:
    async def request(self: Any, **kwargs: Any) -> AsyncIterator[Any]:
        streamed = _streamed(self, kwargs)
        chunks = await original(self, **kwargs)
        return chunks if streamed is None else _watched(chunks, streamed)

    return request


async def _watched(chunks: AsyncIterator[Any], streamed: _Streamed) -> AsyncIterator[Any]:
    try:
        async for chunk in chunks:
            streamed.see(chunk)
            yield chunk
        streamed.close(whole=True)
    finally:
        streamed.close()


@harmless("google-genai request")
def _call() -> _Call | None:
    """Return what the span under way keeps of its requests, from the first one on: a stream calls
    functions before it ends."""
    span = call_span()
    if span is None:
        return None
    call: _Call | None = getattr(span, _CALL, None)
    if call is None:
        call = _Call(span)
        setattr(span, _CALL, call)
    return call


@harmless("google-genai stream")
def _streamed(models: Any, asked: dict[str, Any]) -> _Streamed | None:
    call = _call()
    if call is None:
        return None
    streamed = _Streamed(call, models, asked)
    call.stream(streamed)
    return streamed


@harmless("google-genai response")
def _record(
    call: _Call | None, models: Any, asked: dict[str, Any], started: int, response: Any
) -> None:
    if call is not None and getattr(response, "usage_metadata", None) is not None:
        call.add(_said(models, asked, response), started)


def _stopped(response: Any) -> bool:
    candidates = response.candidates or ()
    return any(getattr(candidate, "finish_reason", None) for candidate in candidates)


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
