"""Follows what the SDKs of OpenAI and Anthropic parse, whole responses and streams alike.

Both are generated from one template: every response, sync, async, raw or streamed, is parsed in one
method, inside the span that an instrumentation has made current.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from farebox._guard import note_fault
from farebox.completion import anthropic, openai
from farebox.completion.anthropic_batches import BatchResults, reads_results
from farebox.completion.openai_background import FetchedResponse, fetching_span
from farebox.completion.spans import call_span, complete, complete_call
from farebox.completion.tallies import Tally
from farebox.completion.versions import known_class, known_version
from farebox.libraries import is_installed

__all__ = ["complete_anthropic", "complete_openai", "leave_anthropic", "leave_openai"]


@dataclass(frozen=True, slots=True)
class _Api:
    sdk: str
    found_in: Callable[[Any], Mapping[str, AttributeValue | None] | None]
    answered: Callable[[Any], Mapping[str, AttributeValue | None]]
    tally_for: Callable[[str], type[Tally] | None]


_OPENAI: Final = _Api("openai", openai.found_in, openai.answered, openai.tally_for)
_ANTHROPIC: Final = _Api("anthropic", anthropic.found_in, anthropic.answered, anthropic.tally_for)
_RAW_HEADER: Final = "x-stainless-raw-response"
"""Says of a request that its caller wants the response as it came; `stream`: also unread."""
_SPAN: Final = "_farebox_span"
"""Attribute of a raw response that keeps the span of its call."""
_STREAMED: Final = ("_is_sse_stream", "_stream")
"""Attributes of a response, of a raw one of OpenAI's: whether it is a stream of events."""
_originals: dict[str, list[tuple[Any, str, Any]]] = {"openai": [], "anthropic": []}


def complete_openai() -> bool:
    """Complete what the OpenAI SDK's calls used; False if it is not installed."""
    if not known_version("openai", "openai", range(1, 4)):
        return False
    for module, name in (
        ("openai._response", "BaseAPIResponse"),
        ("openai._legacy_response", "LegacyAPIResponse"),
    ):
        _follow(_OPENAI, known_class(module, name, "_parse"))
    return True


def complete_anthropic() -> bool:
    """Complete what the Anthropic SDK's calls used; False if it is not installed."""
    if not known_version("anthropic", "anthropic", range(0, 3)):
        return False
    _follow(_ANTHROPIC, known_class("anthropic._response", "BaseAPIResponse", "_parse"))
    if is_installed("anthropic._legacy_response"):  # below 2.0
        legacy = known_class("anthropic._legacy_response", "LegacyAPIResponse", "_parse")
        _follow(_ANTHROPIC, legacy)
    return True


def leave_openai() -> None:
    """Undo `complete_openai`."""
    _leave("openai")


def leave_anthropic() -> None:
    """Undo `complete_anthropic`."""
    _leave("anthropic")


def _leave(sdk: str) -> None:
    while _originals[sdk]:
        owner, name, original = _originals[sdk].pop()
        setattr(owner, name, original)


def _follow(api: _Api, owner: Any) -> None:
    if any(followed is owner for followed, *_ in _originals[api.sdk]):
        return
    parse = owner._parse
    _originals[api.sdk].append((owner, "_parse", parse))

    @wraps(parse)
    def parse_and_look(self: Any, *args: Any, **kwargs: Any) -> Any:
        parsed = parse(self, *args, **kwargs)
        try:
            _look(api, self, parsed)
        except Exception as error:  # the caller gets its response whatever we make of it
            note_fault(f"{api.sdk} response", error)
        return parsed

    owner._parse = parse_and_look
    _follow_raw(api, owner)


def _follow_raw(api: _Api, owner: Any) -> None:
    """Have a raw response keep its span, and parse it at once if it is there: whoever asked for it
    parses it later, or never.

    Without the parser of the caller's own, which may fail, and which is the caller's to run.
    """
    initialise = owner.__init__
    _originals[api.sdk].append((owner, "__init__", initialise))

    @wraps(initialise)
    def initialise_and_parse(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        try:
            how = self.http_response.request.headers.get(_RAW_HEADER)
            span = call_span() if how else None
            if span is not None:
                setattr(self, _SPAN, span)
                kind = self.http_response.headers.get("content-type", "")
                if how != "stream" and kind.startswith("application/json"):
                    self._parse()
        except Exception as error:  # the caller parses for itself, and sees for itself
            note_fault(f"{api.sdk} raw response", error)

    owner.__init__ = initialise_and_parse


def _look(api: _Api, response: Any, parsed: Any) -> None:
    if api is _ANTHROPIC and reads_results(str(response._options.url)):
        parsed._iterator = _Watched(parsed._iterator, BatchResults(), api.sdk)
        return
    if api is _OPENAI and (fetching := fetching_span()) is not None:
        fetched = FetchedResponse(fetching)
        if hasattr(parsed, "_iterator"):
            parsed._iterator = _Watched(parsed._iterator, fetched, api.sdk)
        else:
            fetched.record(parsed)
        return
    span: Span | None = getattr(response, _SPAN, None) or call_span()
    if span is None or not span.is_recording():
        return
    if any(getattr(response, name, False) for name in _STREAMED):
        options = response._options
        tally = api.tally_for(str(options.url))
        if tally is not None and hasattr(parsed, "_iterator"):
            watched = tally(span, options.json_data)
            parsed._iterator = _Watched(parsed._iterator, watched, api.sdk)
        return
    found = api.found_in(parsed)
    if found is not None:
        complete(span, found)
        complete_call(span, {**found, **api.answered(parsed)}, read_alike=api is _OPENAI)


class _Watched(Iterator[Any], AsyncIterator[Any]):
    """Passes the chunks of a stream on, as they are, and shows each to a watcher."""

    def __init__(
        self, chunks: Any, watcher: Tally | BatchResults | FetchedResponse, sdk: str
    ) -> None:
        self._chunks = chunks
        self._watcher = watcher
        self._hook = f"{sdk} stream"

    def __iter__(self) -> "_Watched":
        return self

    def __next__(self) -> Any:
        chunk = self._chunks.__next__()
        self._see(chunk)
        return chunk

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        chunk = await self._chunks.__anext__()
        self._see(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)

    def _see(self, chunk: Any) -> None:
        try:
            self._watcher.see(chunk)
        except Exception as error:  # the caller gets its chunk whatever we make of it
            note_fault(self._hook, error)
