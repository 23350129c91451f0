"""Follows what the SDKs of OpenAI and Anthropic parse, whole responses and streams alike.

Both are generated from one template: every response, sync, async, raw or streamed, is parsed in one
method, inside the span that an instrumentation has made current.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from farebox._guard import note_fault
from farebox.completion import anthropic, openai
from farebox.completion.anthropic_batches import BatchResults, reads_results
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
_originals: dict[str, list[tuple[Any, str, Any]]] = {"openai": [], "anthropic": []}


def complete_openai() -> bool:
    """Complete what the OpenAI SDK's calls used; False if it is not installed."""
    if not known_version("openai", "openai", range(1, 4)):
        return False
    _follow(_OPENAI, known_class("openai._response", "BaseAPIResponse", "_parse"))
    raw = known_class("openai._legacy_response", "LegacyAPIResponse", "_parse")
    _follow(_OPENAI, raw)
    _follow_raw(_OPENAI, raw)
    return True


def complete_anthropic() -> bool:
    """Complete what the Anthropic SDK's calls used; False if it is not installed."""
    if not known_version("anthropic", "anthropic", range(0, 3)):
        return False
    raw = known_class("anthropic._response", "BaseAPIResponse", "_parse")
    _follow(_ANTHROPIC, raw)
    if is_installed("anthropic._legacy_response"):  # below 2.0
        raw = known_class("anthropic._legacy_response", "LegacyAPIResponse", "_parse")
        _follow(_ANTHROPIC, raw)
    _follow_raw(_ANTHROPIC, raw)
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


def _follow_raw(api: _Api, owner: Any) -> None:
    """Have a raw response parsed while its span is open: whoever asked for it may do so later.

    Without the parser of the caller's own, which may fail, and which is the caller's to run.
    """
    if any(name == "__init__" for _, name, _ in _originals[api.sdk]):
        return
    initialise = owner.__init__
    _originals[api.sdk].append((owner, "__init__", initialise))

    @wraps(initialise)
    def initialise_and_parse(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        try:
            if _is_raw(self.http_response) and call_span() is not None:
                self._parse()
        except Exception as error:  # the caller parses for itself, and sees for itself
            note_fault(f"{api.sdk} raw response", error)

    owner.__init__ = initialise_and_parse


def _is_raw(http: Any) -> bool:
    asked = http.request.headers.get(_RAW_HEADER, "")
    kind = http.headers.get("content-type", "")
    return asked not in ("", "stream") and str(kind).startswith("application/json")


def _look(api: _Api, response: Any, parsed: Any) -> None:
    if api is _ANTHROPIC and reads_results(str(response._options.url)):
        parsed._iterator = _Watched(parsed._iterator, BatchResults(), api.sdk)
        return
    span = call_span()
    if span is None:
        return
    if getattr(response, "_is_sse_stream", False):
        options = response._options
        tally = api.tally_for(str(options.url))
        if tally is not None and hasattr(parsed, "_iterator"):
            watched = tally(span, options.json_data)
            parsed._iterator = _Watched(parsed._iterator, watched, api.sdk)
        return
    found = api.found_in(parsed)
    if found is not None:
        complete(span, found)
        complete_call(span, api.answered(parsed))


class _Watched(Iterator[Any], AsyncIterator[Any]):
    """Passes the chunks of a stream on, as they are, and shows each to a watcher."""

    def __init__(self, chunks: Any, watcher: Tally | BatchResults, sdk: str) -> None:
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
