"""Conversations of a Django site: `"farebox.middleware.django.conversation_middleware"`.

`settings.FAREBOX` says where the conversation is found, with the keywords of the ASGI middleware:
`FAREBOX = {"id": from_cookie("chat"), "user": lambda request: request.native.user.pk}`.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings  # type: ignore[import-untyped]
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox._guard import harmless, note_fault
from farebox.carrying import carry
from farebox.middleware.sources import CONVERSATION_HEADER, Request, context_for, from_header

__all__ = ["conversation_middleware"]


def conversation_middleware(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Serve each request in its conversation, until the last byte of the answer is sent.

    Place it below what the sources need, as AuthenticationMiddleware.
    """
    configured = dict(getattr(settings, "FAREBOX", {}))
    accept_baggage = configured.pop("accept_baggage", True)
    sources = {"id": from_header(CONVERSATION_HEADER), **configured}

    @harmless("middleware")
    def found(request: Any) -> Context | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Request(request.path, headers, request)
        return context_for(seen, sources, accept_baggage=accept_baggage)

    def context_of(request: Any) -> Context:
        return found(request) or otel_context.get_current()

    def serve(request: Any) -> Any:
        token = otel_context.attach(context_of(request))
        try:
            return _streamed(get_response(request))
        finally:
            otel_context.detach(token)

    async def serve_async(request: Any) -> Any:
        token = otel_context.attach(context_of(request))
        try:
            return _streamed(await get_response(request))
        finally:
            otel_context.detach(token)

    if iscoroutinefunction(get_response):
        return markcoroutinefunction(serve_async)
    return serve


conversation_middleware.sync_capable = True  # type: ignore[attr-defined]
conversation_middleware.async_capable = True  # type: ignore[attr-defined]


def _streamed(response: Any) -> Any:
    try:
        if getattr(response, "streaming", False):
            content = response.streaming_content
            steps = content.__aiter__() if hasattr(content, "__aiter__") else iter(content)
            response.streaming_content = carry(steps)
    except Exception as error:  # the answer itself matters more than what it belongs to
        note_fault("django stream", error)
    return response
