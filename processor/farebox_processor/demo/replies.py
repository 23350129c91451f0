"""What the provider double is told to answer, and how a caller in another process tells it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

__all__ = ["SCRIPT_HEADER", "Json", "Reply", "Tokens", "ToolCall", "default_reply", "scripted"]

Json: TypeAlias = dict[str, Any]

SCRIPT_HEADER: Final = "x-double-replies"
"""Carries the replies to one request and its retries, as the JSON that `scripted` writes."""

_CHARACTERS_PER_TOKEN: Final = 4
_CHUNK_CHARACTERS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a request is billed for. The input holds cached and written tokens, the output holds
    reasoning; each provider's body says so in its own way."""

    input: int
    output: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Without `tokens` they are counted from the lengths of what was said."""

    text: str = ""
    tokens: Tokens | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    model: str | None = None
    """The model that serves the request. None: the dated one behind the name that was asked for."""
    service_tier: str | None = None
    """As served. None: the provider's standard tier."""
    inference_geo: str | None = None
    """Anthropic: where the inference ran."""
    web_searches: int = 0
    """Searches that the provider ran itself, and bills one by one."""
    status: int = 200
    """Above 399 nothing is billed and the provider's error body is sent."""
    retry_after_s: float | None = None
    stall_s: float = 0.0
    """How long to say nothing first, for clients that time out."""

    def chunks(self) -> list[str]:
        """Return the text in the pieces that a stream sends."""
        return [
            self.text[start : start + _CHUNK_CHARACTERS]
            for start in range(0, len(self.text), _CHUNK_CHARACTERS)
        ]


def scripted(*replies: Reply) -> dict[str, str]:
    """Return the header that makes the double answer a request, then its retries, with `replies`.

    The SDKs number their retries in a header of their own; the last reply is repeated.
    """
    return {SCRIPT_HEADER: json.dumps([asdict(reply) for reply in replies])}


def read_script(header: str) -> list[Reply]:
    """Return the replies that `scripted` wrote into `header`."""
    return [_reply(fields) for fields in json.loads(header)]


def default_reply(request: Mapping[str, Any]) -> Reply:
    """Return the answer to a request that nobody scripted: the same for the same request."""
    return Reply(text=f"An answer to {_length_of_the_question(request)} characters.")


def tokens_of(reply: Reply, request: Mapping[str, Any]) -> Tokens:
    """Return what the request is billed for: as scripted, or counted from the lengths."""
    if reply.tokens is not None:
        return reply.tokens
    said = reply.text + reply.thinking + "".join(map(_rendered, reply.tool_calls))
    return Tokens(
        input=_count(_length_of_the_question(request)),
        output=_count(len(said)),
        reasoning=_count(len(reply.thinking)) if reply.thinking else 0,
    )


def _reply(fields: Json) -> Reply:
    tokens = fields.pop("tokens")
    tool_calls = tuple(ToolCall(**call) for call in fields.pop("tool_calls"))
    return Reply(tokens=Tokens(**tokens) if tokens else None, tool_calls=tool_calls, **fields)


def _length_of_the_question(request: Mapping[str, Any]) -> int:
    asked: Sequence[str] = ("system", "instructions", "messages", "input", "tools")
    return sum(len(json.dumps(request[part])) for part in asked if request.get(part))


def _rendered(call: ToolCall) -> str:
    return call.name + json.dumps(call.arguments)


def _count(characters: int) -> int:
    return max(1, -(-characters // _CHARACTERS_PER_TOKEN))
