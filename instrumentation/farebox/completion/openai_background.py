"""A response that was made in the background goes in as it is fetched; a span with its usage goes
out: the call that asked for it ended before there was any, and to others fetching is no call."""

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from farebox import attributes
from farebox._settings import own_tracer
from farebox.completion.openai import RESPONSE_ENDS, answered, found_in

__all__ = ["FetchedResponse", "fetching_span"]

_FETCHES: Final = "fetch_response"
_FROM_FETCHING: Final = (attributes.PROVIDER_NAME, attributes.SERVER_ADDRESS)


def fetching_span() -> Span | None:
    """Return the current span if it stands for fetching a response that was made before."""
    span = trace.get_current_span()
    said = getattr(span, "attributes", None) or {}
    return span if said.get(attributes.OPERATION_NAME) == _FETCHES else None


class FetchedResponse:
    """Records what a fetched response used, whole or as the end of its stream tells it.

    One that is fetched again is recorded again; by its response id it is billed once.
    """

    def __init__(self, fetching: Span) -> None:
        said = getattr(fetching, "attributes", None) or {}
        self._fetching = {name: said[name] for name in _FROM_FETCHING if name in said}

    def see(self, event: Any) -> None:
        """Take note of an event as it passes."""
        if getattr(event, "type", "") in RESPONSE_ENDS:
            self.record(event.response)

    def record(self, response: Any) -> None:
        """Record a response of the background that is done; the call itself told of any other."""
        found = found_in(response) if getattr(response, "background", None) else None
        if found is None:
            return
        said = {
            **self._fetching,
            attributes.OPERATION_NAME: "chat",
            attributes.REQUEST_MODEL: response.model,
            attributes.TOKEN_SEMANTICS: "inclusive",
            **answered(response),
            **found,
        }
        known = {name: value for name, value in said.items() if value is not None}
        own_tracer().start_span(
            f"chat {response.model}", kind=SpanKind.CLIENT, attributes=known
        ).end()
