"""Conversations of an ASGI application: FastAPI, Starlette, Litestar, Django's own."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox._guard import harmless
from farebox.middleware.sources import (
    CONVERSATION_HEADER,
    Request,
    Source,
    context_for,
    from_header,
)

__all__ = ["ConversationMiddleware"]

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ConversationMiddleware:
    """Serves each request in its conversation, until the last byte of the answer is sent.

    Every keyword but `accept_baggage` is a dimension of the conversation (id, user, tenant,
    feature, ...): a value, or what finds it in the request. `accept_baggage` False refuses the
    conversation that a caller sent along, for services that anybody can reach.
    """

    def __init__(
        self,
        app: Callable[[_Scope, _Receive, _Send], Awaitable[None]],
        *,
        accept_baggage: bool = True,
        **sources: Source,
    ) -> None:
        self._app = app
        self._accept_baggage = accept_baggage
        self._sources = {"id": from_header(CONVERSATION_HEADER), **sources}

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        context = self._context(scope)
        token = otel_context.attach(otel_context.get_current() if context is None else context)
        try:
            await self._app(scope, receive, send)
        finally:
            otel_context.detach(token)

    @harmless("middleware")
    def _context(self, scope: _Scope) -> Context | None:
        return context_for(_request(scope), self._sources, accept_baggage=self._accept_baggage)


def _request(scope: _Scope) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        key = name.decode("latin-1").lower()
        joined = "; " if key == "cookie" else ", "
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}{joined}{text}" if key in headers else text
    return Request(scope.get("path", ""), headers, scope)
