"""A message of Anthropic's API goes in; what its call used comes out as attributes."""

from typing import Any

from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox.completion.tallies import Tally

__all__ = ["MessageTally", "answered", "found_in", "tally_for"]


def found_in(message: Any) -> dict[str, AttributeValue | None] | None:
    """Return what a message says of its usage, or None if it is no message.

    Counts that are 0 or missing are not said.
    """
    usage = getattr(message, "usage", None)
    if usage is None or not isinstance(getattr(usage, "output_tokens", None), int):
        return None
    written = getattr(usage, "cache_creation", None)
    tools = getattr(usage, "server_tool_use", None)
    tier = _text(usage, "service_tier")
    speed = _text(usage, "speed")
    return {
        attributes.CACHE_READ_TOKENS: _count(usage, "cache_read_input_tokens"),
        attributes.CACHE_WRITE_TOKENS: _count(usage, "cache_creation_input_tokens"),
        attributes.CACHE_WRITE_5M_TOKENS: _count(written, "ephemeral_5m_input_tokens"),
        attributes.CACHE_WRITE_1H_TOKENS: _count(written, "ephemeral_1h_input_tokens"),
        attributes.REASONING_TOKENS: _count(
            getattr(usage, "output_tokens_details", None), "thinking_tokens"
        ),
        attributes.USAGE_PREFIX + "web_search": _count(tools, "web_search_requests"),
        attributes.ANTHROPIC_SERVICE_TIER: tier,
        attributes.PROCESSING: "batch" if tier == "batch" else None,
        attributes.INFERENCE_GEO: _text(usage, "inference_geo"),
        attributes.ANTHROPIC_SPEED: speed if speed != "standard" else None,
    }


def answered(message: Any) -> dict[str, AttributeValue | None]:
    """Return which model answered, and its tokens, cached ones and reasoning included."""
    usage = getattr(message, "usage", None)
    wrote = getattr(usage, "output_tokens", None)
    return {
        attributes.RESPONSE_ID: _text(message, "id"),
        attributes.RESPONSE_MODEL: _text(message, "model"),
        attributes.INPUT_TOKENS: _input_of(usage),
        attributes.OUTPUT_TOKENS: wrote if isinstance(wrote, int) else None,
    }


def _input_of(usage: Any) -> int | None:
    """Return all input of a usage, cached and written included."""
    fresh = getattr(usage, "input_tokens", None)
    if not isinstance(fresh, int):
        return None
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return fresh + sum(_count(usage, name) or 0 for name in cached)


class MessageTally(Tally):
    """Watches the events of a message: the input is told first, the output last."""

    def see(self, chunk: Any) -> None:
        """Take note of an event as it passes."""
        kind = getattr(chunk, "type", "")
        if kind == "message_start":
            self._so_far = found_in(chunk.message) or {}
            self._input_tokens = _input_of(getattr(chunk.message, "usage", None))
        elif kind == "content_block_delta":
            for text in ("text", "partial_json", "thinking"):
                self._wrote(getattr(chunk.delta, text, None))
        elif kind == "message_delta":
            ended = {name: value for name, value in (found_in(chunk) or {}).items() if value}
            self._settle({**self._so_far, **ended})


def tally_for(path: str) -> type[Tally] | None:
    """Return what watches the stream of an endpoint."""
    return MessageTally if "/messages" in path else None


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value > 0 else None


def _text(usage: Any, name: str) -> str | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, str) else None
