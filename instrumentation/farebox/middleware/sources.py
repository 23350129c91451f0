"""Where in a request a conversation's id, user, tenant, ... are found."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, TypeAlias

from opentelemetry.context import Context

from farebox._guard import harmless, note_fault
from farebox.conversation_state import Conversation, conversation_in, holding
from farebox.propagation import conversation_from_baggage, with_baggage_of, with_incoming

__all__ = [
    "CONVERSATION_HEADER",
    "Request",
    "Source",
    "context_for",
    "from_cookie",
    "from_header",
    "from_path",
]

CONVERSATION_HEADER: Final = "x-conversation-id"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as every kind of server shows it."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    native: Any
    """The server's own: an ASGI scope, a WSGI environ, Django's HttpRequest."""


Source: TypeAlias = str | Callable[[Request], str | None] | None
"""A value for every request, or what finds it in one. None: not known."""


def from_header(name: str) -> Callable[[Request], str | None]:
    """Find a value in a header."""
    return lambda request: request.headers.get(name.lower())


def from_cookie(name: str) -> Callable[[Request], str | None]:
    """Find a value in a cookie."""

    def find(request: Request) -> str | None:
        try:
            held = SimpleCookie(request.headers.get("cookie", "")).get(name)
        except CookieError:
            return None
        return held.value if held else None

    return find


def from_path(pattern: str) -> Callable[[Request], str | None]:
    """Find a value in the path: the first group of a regular expression."""
    compiled = re.compile(pattern)

    def find(request: Request) -> str | None:
        found = compiled.search(request.path)
        return found.group(1) if found else None

    return find


@harmless("middleware")
def context_for(
    request: Request, sources: Mapping[str, Source], *, accept_baggage: bool
) -> Context:
    """Return the context to serve a request in.

    What the sources find wins over the conversation that the request brought along.
    """
    context = with_incoming(request.headers, accept=accept_baggage)
    brought = conversation_in(context)
    if brought is None and accept_baggage:
        brought = conversation_from_baggage(context)
    found = {name: _found(source, request) for name, source in sources.items()}
    held = (brought or Conversation()).given(found)
    if held == Conversation():
        return context
    return with_baggage_of(held, holding(held, context))


def _found(source: Source, request: Request) -> str | None:
    try:
        return source(request) if callable(source) else source
    except Exception as error:  # the service's own callable must not stop the request
        note_fault("middleware source", error)
        return None
