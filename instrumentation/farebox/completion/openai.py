"""A response of OpenAI's API goes in; what its call used comes out as attributes."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox.completion.tallies import Tally

__all__ = ["RESPONSE_ENDS", "ChatTally", "ResponseTally", "answered", "found_in", "tally_for"]

_UNIT_OF_ITEM: Final = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
}
_SEARCH_MODELS: Final = ("search-preview", "search-api")
RESPONSE_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""The events that tell what a streamed response used."""


def found_in(response: Any) -> dict[str, AttributeValue | None] | None:
    """Return what a chat completion, a response or embeddings say of their usage, or None.

    Token counts that are 0 or missing are not said.
    """
    usage = getattr(response, "usage", None)
    if usage is None:
        return None
    asked = _details(usage, "prompt_tokens_details", "input_tokens_details")
    wrote = _details(usage, "completion_tokens_details", "output_tokens_details")
    tier = getattr(response, "service_tier", None)
    return {
        attributes.CACHE_READ_TOKENS: _count(asked, "cached_tokens"),
        attributes.CACHE_WRITE_TOKENS: _count(asked, "cache_write_tokens"),
        attributes.REASONING_TOKENS: _count(wrote, "reasoning_tokens"),
        attributes.OPENAI_SERVICE_TIER: tier if isinstance(tier, str) else None,
        attributes.PROCESSING: "batch" if tier == "batch" else None,
        **_units(response),
    }


def answered(response: Any) -> dict[str, AttributeValue | None]:
    """Return which model answered, and its tokens, cached ones and reasoning included."""
    usage = getattr(response, "usage", None)
    return {
        attributes.RESPONSE_ID: _text(response, "id"),
        attributes.RESPONSE_MODEL: _text(response, "model"),
        attributes.INPUT_TOKENS: _tokens(usage, "prompt_tokens", "input_tokens"),
        attributes.OUTPUT_TOKENS: _tokens(usage, "completion_tokens", "output_tokens"),
    }


class ChatTally(Tally):
    """Watches the chunks of a chat completion.

    OpenAI tells the usage in a last chunk of its own. Others that speak its language tell it with
    every chunk, as it grows: it is final once each choice has said why it ends.
    """

    def __init__(self, span: Span, request: Any) -> None:
        super().__init__(span, request)
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def see(self, chunk: Any) -> None:
        """Take note of a chunk as it passes."""
        choices = getattr(chunk, "choices", None) or ()
        for choice in choices:
            self._begun.add(choice.index)
            if getattr(choice, "finish_reason", None):
                self._ended.add(choice.index)
            delta = getattr(choice, "delta", None)
            self._wrote(getattr(delta, "content", None))
            self._wrote(getattr(delta, "refusal", None))
            for call in getattr(delta, "tool_calls", None) or ():
                self._wrote(getattr(getattr(call, "function", None), "arguments", None))
        found = found_in(chunk)
        if found is not None:
            self._so_far = found
            self._input_tokens = _tokens(chunk.usage, "prompt_tokens")
            self._output_tokens = _tokens(chunk.usage, "completion_tokens") or 0
        whole = bool(self._begun) and self._begun == self._ended
        if self._so_far and (whole or (found is not None and not choices)):
            self._settle(self._so_far)


class ResponseTally(Tally):
    """Watches the events of a response."""

    def see(self, chunk: Any) -> None:
        """Take note of an event as it passes."""
        kind = getattr(chunk, "type", "")
        if kind == "response.created":
            # Of the background, it goes on where the stream is cut, and may be fetched.
            self._so_far = {attributes.RESPONSE_ID: _text(chunk.response, "id")}
        elif kind.endswith(".delta"):
            self._wrote(getattr(chunk, "delta", None))
        elif kind in RESPONSE_ENDS:
            found = found_in(getattr(chunk, "response", None))
            if found is not None:
                self._settle(found)


def tally_for(path: str) -> type[Tally] | None:
    """Return what watches the stream of an endpoint."""
    if path.endswith("/chat/completions"):
        return ChatTally
    return ResponseTally if path.endswith("/responses") else None


def _units(response: Any) -> Mapping[str, AttributeValue]:
    counts: dict[str, int] = {}
    for item in getattr(response, "output", None) or ():
        unit = _UNIT_OF_ITEM.get(getattr(item, "type", ""))
        # Only searching is billed, not opening or reading through a page that was found.
        action = getattr(getattr(item, "action", None), "type", "search")
        if unit is not None and action == "search":
            counts[unit] = counts.get(unit, 0) + 1
    if any(part in str(getattr(response, "model", "")) for part in _SEARCH_MODELS):
        counts["web_search"] = counts.get("web_search", 0) or 1
    return {attributes.USAGE_PREFIX + unit: count for unit, count in counts.items()}


def _details(usage: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(usage, name, None))), None)


def _count(details: Any, name: str) -> int | None:
    value = getattr(details, name, None)
    return value if isinstance(value, int) and value > 0 else None


def _tokens(usage: Any, *names: str) -> int | None:
    counts = (getattr(usage, name, None) for name in names)
    return next((count for count in counts if isinstance(count, int)), None)


def _text(response: Any, name: str) -> str | None:
    value = getattr(response, name, None)
    return value if isinstance(value, str) else None
