"""Conversations of tasks that come out of a queue: Celery, RQ, a loop of one's own."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context

from farebox._guard import harmless, note_fault
from farebox.carrying import in_context_of
from farebox.conversation_state import ATTRIBUTE_OF_FIELD, Conversation
from farebox.middleware.sources import Request, context_for
from farebox.propagation import conversation_from_headers

__all__ = ["worker"]

_F = TypeVar("_F", bound=Callable[..., Any])


def worker(
    headers: Callable[..., Mapping[str, str] | None],
    *,
    accept_baggage: bool = True,
    **dimensions: str | Callable[..., str | None] | None,
) -> Callable[[_F], _F]:
    """Run each call of a function in the conversation of the task that it handles.

    `headers` finds, in the arguments of the call, what `farebox.headers()` returned where the task
    was sent, and the task goes on in the trace of that place. `dimensions` (id, user, tenant, ...)
    are values, or find them in the arguments.
    """

    @harmless("worker")
    def found(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context | None:
        carrier = _call(headers, args, kwargs) or {}
        named = {str(name).lower(): str(value) for name, value in dict(carrier).items()}
        said = {
            name: _call(value, args, kwargs) if callable(value) else value
            for name, value in dimensions.items()
        }
        sent = conversation_from_headers(named) if accept_baggage else None
        # The task knows better than the code around the worker, which has served others too.
        sources = {**_fields_of(sent), **{name: text for name, text in said.items() if text}}
        context = context_for(Request("", named, None), sources, accept_baggage=accept_baggage)
        return context if context is None or sent is None else _in_trace_of_sender(context, named)

    def context_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
        return found(args, kwargs) or otel_context.get_current()

    def decorate(function: _F) -> _F:
        return in_context_of(function, context_of)

    return decorate


def _in_trace_of_sender(context: Context, carrier: Mapping[str, str]) -> Context:
    """Return `context` in the trace that a task was sent from.

    A trace belongs to one conversation: the tasks that one loop takes out of a queue, within a span
    of its own, must not go on in the trace of the loop.
    """
    sender = trace.get_current_span(propagate.extract(carrier, Context()))
    sent, here = sender.get_span_context(), trace.get_current_span(context).get_span_context()
    if not sent.is_valid or sent.trace_id == here.trace_id:
        return context
    return trace.set_span_in_context(sender, context)


def _fields_of(held: Conversation | None) -> dict[str, str]:
    if held is None:
        return {}
    said = {name: getattr(held, name) for name in ATTRIBUTE_OF_FIELD} | dict(held.extra)
    return {name: value for name, value in said.items() if value is not None}


def _call(find: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    try:
        return find(*args, **kwargs)
    except Exception as error:  # the service's own callable must not stop the task
        note_fault("worker", error)
        return None
