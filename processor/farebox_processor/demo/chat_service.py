"""A chat service on the providers' real SDKs, traced by the official OpenTelemetry
instrumentations: conversations in, OTLP out.

`python -m farebox_processor.demo.chat_service` plays every scene and prints one JSON line for each
conversation that is over. Addresses come from the variables of the SDKs and of OpenTelemetry:
OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import anthropic
import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.genai.handler import TelemetryHandler

import farebox
from farebox_processor.demo.replies import scripted
from farebox_processor.demo.scenes import SCENES, Api, Exchange, Scene, Turn

__all__ = ["ChatService"]

_CONVERSATIONS_AT_ONCE: Final = 4
_INSTRUCTIONS: Final = "You are the assistant of Harbor, a shop for boats. Answer in one line."
_MAX_ANSWER_TOKENS: Final = 2000
_WEB_SEARCH: Final = {"type": "web_search_20250305", "name": "web_search"}

_Messages: TypeAlias = list[Any]
"""Role and content of each message, in the shape that both SDKs take."""


class ChatService:
    """Holds conversations. It retries and falls back itself: the SDKs' own retries are off, so
    that each attempt is a span."""

    def __init__(self) -> None:
        self._openai = openai.AsyncOpenAI(max_retries=0)
        self._anthropic = anthropic.AsyncAnthropic(max_retries=0)
        self._tracer = trace.get_tracer("farebox.demo")
        self._genai = TelemetryHandler()
        self._ask: Mapping[Api, Callable[[Exchange, _Messages], Awaitable[None]]] = {
            Api.CHAT: self._ask_chat,
            Api.RESPONSES: self._ask_responses,
            Api.EMBEDDINGS: self._ask_embeddings,
            Api.MESSAGES: self._ask_messages,
        }

    async def hold(self, scene: Scene) -> None:
        """Hold one conversation, from its first question to its outcome."""
        history: _Messages = []
        with farebox.conversation(
            scene.conversation_id,
            user=scene.user,
            user_tier=scene.user_tier,
            feature=scene.feature,
            action=scene.action,
        ):
            for number, turn in enumerate(scene.turns, start=1):
                is_last = number == len(scene.turns)
                await self._answer(turn, history, outcome=scene.outcome if is_last else None)

    async def close(self) -> None:
        """Close the connections to the providers."""
        await self._openai.close()
        await self._anthropic.close()

    async def _answer(self, turn: Turn, history: _Messages, *, outcome: str | None) -> None:
        history.append({"role": "user", "content": turn.question})
        with (
            farebox.turn(),
            self._tracer.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER),
        ):
            for exchange in turn.exchanges:
                await self._attempt(exchange, history)
            if outcome:
                farebox.end_conversation(outcome)

    async def _attempt(self, exchange: Exchange, history: _Messages) -> None:
        try:
            await self._ask[exchange.api](exchange, history)
        except (openai.APIStatusError, anthropic.APIStatusError):
            return  # the next exchange is the retry, or another model
        history.append({"role": "assistant", "content": exchange.reply.text or "One moment."})
        for call in exchange.reply.tool_calls:
            with self._genai.tool(call.name, tool_type="function"):
                history.append({"role": "user", "content": f"{call.name}: done"})

    async def _ask_chat(self, exchange: Exchange, history: _Messages) -> None:
        await self._openai.chat.completions.create(
            model=exchange.model,
            messages=[{"role": "system", "content": _INSTRUCTIONS}, *history],
            extra_headers=scripted(exchange.reply),
        )

    async def _ask_responses(self, exchange: Exchange, history: _Messages) -> None:
        await self._openai.responses.create(
            model=exchange.model,
            instructions=_INSTRUCTIONS,
            input=list(history),
            extra_headers=scripted(exchange.reply),
        )

    async def _ask_embeddings(self, exchange: Exchange, history: _Messages) -> None:
        await self._openai.embeddings.create(
            model=exchange.model,
            input=history[-1]["content"],
            encoding_format="float",
            extra_headers=scripted(exchange.reply),
        )

    async def _ask_messages(self, exchange: Exchange, history: _Messages) -> None:
        asked: dict[str, Any] = {
            "model": exchange.model,
            "system": _INSTRUCTIONS,
            "max_tokens": _MAX_ANSWER_TOKENS,
            "messages": list(history),
            "extra_headers": scripted(exchange.reply),
        }
        if exchange.reply.web_searches:
            asked["tools"] = [_WEB_SEARCH]
        if not exchange.streamed:
            await self._anthropic.messages.create(**asked)
            return
        async with self._anthropic.messages.stream(**asked) as stream:
            await stream.get_final_message()


def _start_tracing() -> TracerProvider:
    resource = {"service.name": "harbor-chat", "deployment.environment.name": "demo"}
    provider = TracerProvider(resource=Resource.create(resource))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    farebox.instrument()
    return provider


async def _play() -> None:
    service = ChatService()
    at_once = asyncio.Semaphore(_CONVERSATIONS_AT_ONCE)

    async def hold(scene: Scene) -> None:
        async with at_once:
            await service.hold(scene)
        print(json.dumps({"conversation_id": scene.conversation_id}), flush=True)

    async with asyncio.TaskGroup() as held:
        for scene in SCENES:
            held.create_task(hold(scene))
    await service.close()


def main() -> None:
    """Play the scenes, and export every span before the process ends."""
    provider = _start_tracing()
    asyncio.run(_play())
    provider.shutdown()


if __name__ == "__main__":
    main()
