"""A local double of OpenAI's and Anthropic's HTTP APIs: requests in, scripted replies out, and a
ledger of what was billed.

`python -m farebox_processor.demo.provider_double` serves it until interrupted.
"""

import asyncio
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from farebox_processor.demo import anthropic_double, openai_double
from farebox_processor.demo.replies import (
    SCRIPT_HEADER,
    Json,
    Reply,
    Tokens,
    default_reply,
    read_script,
    tokens_of,
)

__all__ = ["LedgerEntry", "ProviderDouble", "running_double"]

_Body: TypeAlias = Callable[[Mapping[str, Any], Reply, Tokens], Json]
_Stream: TypeAlias = Callable[[Mapping[str, Any], Reply, Json], Iterator[str]]

_CLIENT_CLOSED_REQUEST: Final = 499
_STOP_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One request as the provider's accountant sees it."""

    provider: str
    path: str
    model: str
    """As served; as asked for where the request failed."""
    status: int
    response_id: str | None = None
    usage: Json | None = None
    """The usage object of the provider, also where a stream hides it; None: nothing is billed."""
    service_tier: str | None = None
    tokens: Tokens | None = None
    """The same usage in the vocabulary of the script."""
    web_searches: int = 0


@dataclass(frozen=True, slots=True)
class _Endpoint:
    provider: str
    path: str
    body: _Body
    stream: _Stream | None
    error: Callable[[int], Json]


_ENDPOINTS: Final = (
    _Endpoint(
        "openai",
        "/v1/chat/completions",
        openai_double.chat_completion,
        openai_double.chat_stream,
        openai_double.error,
    ),
    _Endpoint(
        "openai",
        "/v1/responses",
        openai_double.response,
        openai_double.response_stream,
        openai_double.error,
    ),
    _Endpoint("openai", "/v1/embeddings", openai_double.embeddings, None, openai_double.error),
    _Endpoint(
        "anthropic",
        "/v1/messages",
        anthropic_double.message,
        anthropic_double.message_stream,
        anthropic_double.error,
    ),
)


class ProviderDouble:
    """The double's state: replies that wait to be given, and the ledger. An ASGI app in `app`."""

    def __init__(self) -> None:
        self.ledger: list[LedgerEntry] = []
        self.url = ""
        """Where it listens. Anthropic's base URL; OpenAI's is this and /v1."""
        self._waiting: deque[Reply] = deque()
        self.app = Starlette(
            routes=[
                *(Route(e.path, self._handler(e), methods=["POST"]) for e in _ENDPOINTS),
                Route("/ledger", self._show_ledger),
            ]
        )

    def script(self, *replies: Reply) -> None:
        """Queue replies for the next requests that do not carry a script of their own."""
        self._waiting.extend(replies)

    def _handler(self, endpoint: _Endpoint) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            asked: Json = await request.json()
            reply = self._choose(request, asked)
            await asyncio.sleep(reply.stall_s)
            if reply.stall_s and await request.is_disconnected():
                return self._refuse(endpoint, asked, Reply(status=_CLIENT_CLOSED_REQUEST))
            if reply.status >= 400:
                return self._refuse(endpoint, asked, reply)
            return self._answer(endpoint, asked, reply)

        return handle

    def _choose(self, request: Request, asked: Json) -> Reply:
        if header := request.headers.get(SCRIPT_HEADER):
            replies = read_script(header)
            attempt = int(request.headers.get("x-stainless-retry-count", "0"))
            return replies[min(attempt, len(replies) - 1)]
        return self._waiting.popleft() if self._waiting else default_reply(asked)

    def _answer(self, endpoint: _Endpoint, asked: Json, reply: Reply) -> Response:
        tokens = tokens_of(reply, asked)
        body = endpoint.body(asked, reply, tokens)
        self.ledger.append(
            LedgerEntry(
                provider=endpoint.provider,
                path=endpoint.path,
                model=body["model"],
                status=reply.status,
                response_id=body.get("id"),
                usage=body["usage"],
                service_tier=reply.service_tier,
                tokens=tokens,
                web_searches=reply.web_searches,
            )
        )
        if endpoint.stream and asked.get("stream"):
            events = endpoint.stream(asked, reply, body)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(body)

    def _refuse(self, endpoint: _Endpoint, asked: Json, reply: Reply) -> Response:
        self.ledger.append(
            LedgerEntry(endpoint.provider, endpoint.path, asked["model"], reply.status)
        )
        wait = {} if reply.retry_after_s is None else {"retry-after": str(reply.retry_after_s)}
        return JSONResponse(endpoint.error(reply.status), reply.status, headers=wait)

    async def _show_ledger(self, request: Request) -> Response:
        return JSONResponse([asdict(entry) for entry in self.ledger])


@contextmanager
def running_double(port: int = 0) -> Iterator[ProviderDouble]:
    """Serve a double on 127.0.0.1 from a thread; `port` 0 takes a free one."""
    double = ProviderDouble()
    with socket.create_server(("127.0.0.1", port)) as listener:
        double.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(
                double.app,
                log_config=None,
                lifespan="off",
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield double
        finally:
            server.should_exit = True
            thread.join(timeout=_STOP_SECONDS * 2)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 8089
    with running_double(wanted) as served, suppress(KeyboardInterrupt):
        print(f"OpenAI base URL {served.url}/v1, Anthropic base URL {served.url}", flush=True)
        threading.Event().wait()
