"""The bodies and streams of Anthropic's API, as the types of the anthropic SDK describe them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

from farebox_processor.demo.replies import Json, Reply, Tokens

__all__ = ["SERVED_MODELS", "error", "message", "message_stream"]

SERVED_MODELS: Final = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
}
"""The dated model that answers to a name."""

_CUMULATIVE: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
)
_ERRORS: Final = {
    400: ("invalid_request_error", "The request is not valid."),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    529: ("overloaded_error", "Overloaded"),
}
_SERVER_ERROR: Final = ("api_error", "Internal server error")


def error(status: int) -> Json:
    """Return the body of a failed request."""
    kind, text = _ERRORS.get(status, _SERVER_ERROR)
    return {
        "type": "error",
        "error": {"type": kind, "message": text},
        "request_id": f"req_{uuid4().hex}",
    }


def message(request: Mapping[str, Any], reply: Reply, tokens: Tokens) -> Json:
    """Return the body of /v1/messages."""
    asked = str(request["model"])
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or SERVED_MODELS.get(asked, asked),
        "content": list(_content_blocks(reply)),
        "stop_reason": "tool_use" if reply.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": _usage(reply, tokens),
    }


def message_stream(request: Mapping[str, Any], reply: Reply, whole: Json) -> Iterator[str]:
    """Yield a message as the events of a stream: input usage comes first, the whole of it last."""
    usage = whole["usage"]
    begun = whole | {
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1, "output_tokens_details": None}
        | {"server_tool_use": None},
    }
    yield _event({"type": "message_start", "message": begun})
    yield _event({"type": "ping"})
    for index, block in enumerate(whole["content"]):
        yield from _block_events(index, block, reply)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    cumulative = {name: usage[name] for name in _CUMULATIVE}
    yield _event({"type": "message_delta", "delta": ended, "usage": cumulative})
    yield _event({"type": "message_stop"})


def _usage(reply: Reply, tokens: Tokens) -> Json:
    written = tokens.cache_write_5m + tokens.cache_write_1h
    searches = {"web_search_requests": reply.web_searches, "web_fetch_requests": 0}
    return {
        "input_tokens": tokens.input - tokens.cache_read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "server_tool_use": searches if reply.web_searches else None,
        "service_tier": reply.service_tier or "standard",
        "inference_geo": reply.inference_geo,
    }


def _content_blocks(reply: Reply) -> Iterator[Json]:
    if reply.thinking:
        yield {"type": "thinking", "thinking": reply.thinking, "signature": "double"}
    for number in range(reply.web_searches):
        yield from _web_search(f"search {number + 1}")
    if reply.text:
        yield {"type": "text", "text": reply.text, "citations": None}
    for call in reply.tool_calls:
        called = f"toolu_{uuid4().hex[:24]}"
        yield {"type": "tool_use", "id": called, "name": call.name, "input": call.arguments}


def _web_search(query: str) -> Iterator[Json]:
    called = f"srvtoolu_{uuid4().hex[:24]}"
    yield {
        "type": "server_tool_use",
        "id": called,
        "name": "web_search",
        "input": {"query": query},
    }
    yield {"type": "web_search_tool_result", "tool_use_id": called, "content": []}


def _block_events(index: int, block: Json, reply: Reply) -> Iterator[str]:
    empty, deltas = _in_pieces(block, reply)
    yield _event({"type": "content_block_start", "index": index, "content_block": empty})
    for delta in deltas:
        yield _event({"type": "content_block_delta", "index": index, "delta": delta})
    yield _event({"type": "content_block_stop", "index": index})


def _in_pieces(block: Json, reply: Reply) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "text":
            pieces = [{"type": "text_delta", "text": chunk} for chunk in reply.chunks()]
            return block | {"text": ""}, pieces
        case "thinking":
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [thought, signed]
        case "tool_use" | "server_tool_use":
            whole = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            return block | {"input": {}}, [whole]
        case _:
            return block, []


def _event(body: Json) -> str:
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n"
