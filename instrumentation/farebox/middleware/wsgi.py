"""Conversations of a WSGI application: Flask, Bottle, Django's own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox._guard import harmless
from farebox.carrying import carry
from farebox.middleware.sources import (
    CONVERSATION_HEADER,
    Request,
    Source,
    context_for,
    from_header,
)

__all__ = ["ConversationMiddleware"]

_Environ: TypeAlias = dict[str, Any]


class ConversationMiddleware:
    """Serves each request in its conversation, until the last byte of the answer is sent.

    Takes what the ASGI one takes.
    """

    def __init__(
        self,
        app: Callable[[_Environ, Any], Iterable[bytes]],
        *,
        accept_baggage: bool = True,
        **sources: Source,
    ) -> None:
        self._app = app
        self._accept_baggage = accept_baggage
        self._sources = {"id": from_header(CONVERSATION_HEADER), **sources}

    def __call__(self, environ: _Environ, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        context = self._context(environ) or otel_context.get_current()
        token = otel_context.attach(context)
        try:
            body = self._app(environ, start_response)
            # Nothing runs any more for a body that is there.
            return body if isinstance(body, list | tuple) else _Body(body, context)
        finally:
            otel_context.detach(token)

    @harmless("middleware")
    def _context(self, environ: _Environ) -> Context | None:
        return context_for(_request(environ), self._sources, accept_baggage=self._accept_baggage)


class _Body:
    def __init__(self, body: Iterable[bytes], context: Context) -> None:
        self._body = body
        self._context = context

    def __iter__(self) -> Iterator[bytes]:
        token = otel_context.attach(self._context)
        try:
            return carry(iter(self._body))
        finally:
            otel_context.detach(token)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            token = otel_context.attach(self._context)
            try:
                close()
            finally:
                otel_context.detach(token)


def _request(environ: _Environ) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    return Request(path, headers, environ)
