"""The bodies and streams of OpenAI's API, as the types of the openai SDK describe them."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

from farebox_processor.demo.replies import Json, Reply, Tokens, ToolCall

__all__ = [
    "SERVED_MODELS",
    "chat_completion",
    "chat_stream",
    "embeddings",
    "error",
    "response",
    "response_stream",
]

SERVED_MODELS: Final = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o4-mini": "o4-mini-2025-04-16",
}
"""The dated model that answers to a name."""

_CHUNK_HEAD: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
_EMBEDDING: Final = [0.0125, -0.5, 0.25, 0.0625]
_ERRORS: Final = {
    400: ("invalid_request_error", None, "The request is not valid."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
}
_SERVER_ERROR: Final = ("server_error", None, "The server had an error processing your request.")


def error(status: int) -> Json:
    """Return the body of a failed request."""
    kind, code, message = _ERRORS.get(status, _SERVER_ERROR)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def chat_completion(request: Mapping[str, Any], reply: Reply, tokens: Tokens) -> Json:
    """Return the body of /v1/chat/completions."""
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in reply.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(reply),
    }
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": _served_model(request, reply),
        "service_tier": reply.service_tier or "default",
        "system_fingerprint": "fp_double",
        "choices": [choice],
        "usage": _chat_usage(tokens),
    }


def chat_stream(request: Mapping[str, Any], reply: Reply, whole: Json) -> Iterator[str]:
    """Yield a chat completion as the events of a stream; usage only where the request asks."""
    head = {name: whole[name] for name in _CHUNK_HEAD} | {"object": "chat.completion.chunk"}
    with_usage = (request.get("stream_options") or {}).get("include_usage", False)
    no_usage = {"usage": None} if with_usage else {}
    for delta in _chat_deltas(reply, whole["choices"][0]["message"]):
        yield _event(head | {"choices": [_chunk_choice(delta, None)]} | no_usage)
    yield _event(head | {"choices": [_chunk_choice({}, _finish_reason(reply))]} | no_usage)
    if with_usage:
        yield _event(head | {"choices": [], "usage": whole["usage"]})
    yield "data: [DONE]\n\n"


def response(request: Mapping[str, Any], reply: Reply, tokens: Tokens) -> Json:
    """Return the body of /v1/responses."""
    return {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "model": _served_model(request, reply),
        "output": list(_output_items(reply)),
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "service_tier": reply.service_tier or "default",
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools", []),
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {
                "cached_tokens": tokens.cache_read,
                "cache_write_tokens": tokens.cache_write_5m,
            },
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
    }


def response_stream(request: Mapping[str, Any], reply: Reply, whole: Json) -> Iterator[str]:
    """Yield a response as the events of a stream; the last one carries the usage."""
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for at, item in enumerate(whole["output"]) for event in _item(at, item, reply)),
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        yield f"event: {event['type']}\n" + _event(event | {"sequence_number": number})


def embeddings(request: Mapping[str, Any], reply: Reply, tokens: Tokens) -> Json:
    """Return the body of /v1/embeddings, one vector for each input."""
    asked = request["input"]
    count = len(asked) if isinstance(asked, list) else 1
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _EMBEDDING}
            for index in range(count)
        ],
        "model": _served_model(request, reply),
        "usage": {"prompt_tokens": tokens.input, "total_tokens": tokens.input},
    }


def _served_model(request: Mapping[str, Any], reply: Reply) -> str:
    asked = str(request["model"])
    return reply.model or SERVED_MODELS.get(asked, asked)


def _chat_usage(tokens: Tokens) -> Json:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_call(call: ToolCall) -> Json:
    return {
        "id": f"call_{uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
    }


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else "stop"


def _chat_deltas(reply: Reply, message: Json) -> Iterator[Json]:
    yield {"role": "assistant", "content": "", "refusal": None}
    for chunk in reply.chunks():
        yield {"content": chunk}
    for index, call in enumerate(message.get("tool_calls", [])):
        yield {"tool_calls": [{"index": index, **call}]}


def _chunk_choice(delta: Json, finish_reason: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _output_items(reply: Reply) -> Iterator[Json]:
    if reply.thinking:
        yield {"type": "reasoning", "id": f"rs_{uuid4().hex}", "summary": []}
    for number in range(reply.web_searches):
        yield {
            "type": "web_search_call",
            "id": f"ws_{uuid4().hex}",
            "status": "completed",
            "action": {"type": "search", "query": f"search {number + 1}"},
        }
    for call in reply.tool_calls:
        yield {
            "type": "function_call",
            "id": f"fc_{uuid4().hex}",
            "call_id": f"call_{uuid4().hex[:24]}",
            "name": call.name,
            "arguments": json.dumps(call.arguments),
            "status": "completed",
        }
    if reply.text:
        yield {
            "type": "message",
            "id": f"msg_{uuid4().hex}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": reply.text, "annotations": []}],
        }


def _item(position: int, item: Json, reply: Reply) -> Iterator[Json]:
    where = {"output_index": position}
    yield where | {"type": "response.output_item.added", "item": item | {"status": "in_progress"}}
    if item["type"] == "message":
        part = where | {"item_id": item["id"], "content_index": 0}
        for chunk in reply.chunks():
            yield part | {"type": "response.output_text.delta", "delta": chunk, "logprobs": []}
        yield part | {"type": "response.output_text.done", "text": reply.text, "logprobs": []}
    yield where | {"type": "response.output_item.done", "item": item}


def _event(body: Json) -> str:
    return f"data: {json.dumps(body)}\n\n"
