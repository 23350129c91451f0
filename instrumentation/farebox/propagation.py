"""A conversation goes to the next service as W3C baggage, and comes back out of it there."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from farebox._guard import harmless
from farebox._settings import current_settings
from farebox.attributes import EXTRA_PREFIX
from farebox.conversation_state import ATTRIBUTE_OF_FIELD, Conversation, as_text, conversation_in

__all__ = [
    "conversation_from_baggage",
    "conversation_from_headers",
    "headers",
    "with_baggage_of",
    "with_incoming",
    "without_baggage",
]

_FIELD_OF_ATTRIBUTE: Final = {name: key for key, name in ATTRIBUTE_OF_FIELD.items()}


def with_baggage_of(held: Conversation, context: Context) -> Context:
    """Return `context` with the conversation in its baggage, in place of any that was there.

    Only fields on the allow-list go out, the most important first, as long as they fit.
    """
    settings = current_settings()
    room = settings.baggage_bytes_max
    kept: dict[str, object] = {
        key: value for key, value in baggage.get_all(context).items() if not _is_ours(key)
    }
    for name in _outgoing(held, settings.baggage_fields):
        size = len(name) + len(quote_plus(held.attributes[name])) + len("=,")
        if size <= room:
            kept[name] = held.attributes[name]
            room -= size
    cleared = baggage.clear(context) if baggage.get_all(context) else context
    for name, value in kept.items():
        cleared = baggage.set_baggage(name, value, cleared)
    return cleared


def without_baggage(context: Context) -> Context:
    """Return `context` without any conversation in its baggage, for a request that is not trusted.

    It then goes no further either.
    """
    for key in [key for key in baggage.get_all(context) if _is_ours(key)]:
        context = baggage.remove_baggage(key, context)
    return context


def conversation_from_baggage(context: Context | None) -> Conversation | None:
    """Return the conversation that another service sent along, if such are accepted."""
    entries = baggage.get_all(context)
    if not entries or not current_settings().accept_baggage:
        return None
    given = {
        _FIELD_OF_ATTRIBUTE[key]: value
        for key, value in entries.items()
        if key in _FIELD_OF_ATTRIBUTE
    }
    extra = {
        key.removeprefix(EXTRA_PREFIX): as_text(value)
        for key, value in entries.items()
        if key.startswith(EXTRA_PREFIX)
    }
    return Conversation().changed(given, extra) if given or extra else None


def conversation_from_headers(carrier: Mapping[str, str]) -> Conversation | None:
    """Return the conversation that `headers` of another place hold, if such are accepted."""
    return conversation_from_baggage(W3CBaggagePropagator().extract(carrier, Context()))


def with_incoming(carrier: Mapping[str, str], *, accept: bool = True) -> Context:
    """Return the current context, joined by what a caller sent along in `carrier`.

    What another instrumentation took from the request already stays, except a conversation that
    is not accepted. Names in `carrier` are in lower case.
    """
    context = otel_context.get_current()
    if not current_settings().accept_baggage:
        return without_baggage(context)
    if not accept:
        if conversation_in(context) is None:  # else the span says the service's own
            _take_back(trace.get_current_span(context), context)
        return without_baggage(context)
    if not trace.get_current_span(context).get_span_context().is_valid:
        return propagate.extract(carrier, context)
    if not baggage.get_all(context):
        return W3CBaggagePropagator().extract(carrier, context)
    return context


def _take_back(span: trace.Span, context: Context) -> None:
    """Have a span that began before the conversation of its request was refused say none of it.

    Nearest the root, it would decide for its whole trace. Empty text is not known.
    """
    said = getattr(span, "attributes", None) or {}
    for name, value in baggage.get_all(context).items():
        if _is_ours(name) and said.get(name) == as_text(value):
            span.set_attribute(name, "")


def headers() -> dict[str, str]:
    """Return the headers that carry trace and conversation to work done elsewhere.

    For what no instrumentation passes on by itself: a task in a queue, a call by other means.
    """
    carrier: dict[str, str] = {}
    _inject(carrier)
    return carrier


@harmless("headers")
def _inject(carrier: dict[str, str]) -> None:
    propagate.inject(carrier)


def _outgoing(held: Conversation, fields: frozenset[str]) -> list[str]:
    names = [name for key, name in ATTRIBUTE_OF_FIELD.items() if key in fields]
    names += [EXTRA_PREFIX + key for key in held.extra if key in fields]
    return [name for name in names if name in held.attributes]


def _is_ours(name: str) -> bool:
    return name in _FIELD_OF_ATTRIBUTE or name.startswith(EXTRA_PREFIX)
