"""Work that is given to an executor runs in the context of whoever gave it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate
from opentelemetry.context import Context

from farebox._guard import harmless, note_fault
from farebox.carrying import in_context_of
from farebox.conversation_state import Conversation, conversation_in, holding
from farebox.imports import when_imported
from farebox.propagation import headers, with_baggage_of

__all__ = ["follow_executors", "leave_executors"]

_originals: list[tuple[Any, Callable[..., Any]]] = []


def follow_executors() -> None:
    """Make pools of threads and of processes carry the context along with each piece of work.

    Once is enough. Threads themselves are left alone: one that lives on and serves others would
    keep them all in the conversation that it happened to be started from.
    """
    if _originals:
        return
    _follow(ThreadPoolExecutor, _bound)
    when_imported("concurrent.futures.process", _follow_processes)


def leave_executors() -> None:
    """Undo `follow_executors`."""
    while _originals:
        executor, submit = _originals.pop()
        executor.submit = submit


def _follow_processes() -> None:
    from concurrent.futures.process import ProcessPoolExecutor  # noqa: PLC0415 - heavy

    _follow(ProcessPoolExecutor, _sent)


def _follow(executor: Any, carried: Callable[[Any], Any]) -> None:
    submit = executor.submit
    _originals.append((executor, submit))

    @wraps(submit)
    def submit_carried(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (_carried(args[0], carried), *args[1:])
        return submit(self, *args, **kwargs)

    executor.submit = submit_carried


def _carried(work: Any, carried: Callable[[Any], Any]) -> Any:
    try:
        return carried(work)
    except Exception as error:  # the work itself matters more than what it belongs to
        note_fault("executor", error)
        return work


def _bound(work: Any) -> Any:
    context = otel_context.get_current()
    # Work is called, also where it could be iterated over.
    return in_context_of(work, lambda args, kwargs: context)


def _sent(work: Any) -> Any:
    return _Sent(work, conversation_in(None), headers())


class _Sent:
    """Work for another process, with what it belongs to.

    A process that was forked has the context of its first task, whomever it works for later.
    """

    def __init__(
        self, work: Callable[..., Any], held: Conversation | None, carrier: dict[str, str]
    ) -> None:
        self._work = work
        self._held = held
        self._carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = self._context()
        token = otel_context.attach(Context() if context is None else context)
        try:
            return self._work(*args, **kwargs)
        finally:
            otel_context.detach(token)

    @harmless("executor")
    def _context(self) -> Context:
        context = propagate.extract(self._carrier, Context())
        held = self._held
        return context if held is None else with_baggage_of(held, holding(held, context))
