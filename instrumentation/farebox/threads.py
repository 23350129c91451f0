"""Work that is given to an executor runs in the context of whoever gave it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

from opentelemetry import context as otel_context

from farebox._guard import note_fault
from farebox.carrying import in_context_of

__all__ = ["follow_executors", "leave_executors"]

_original: list[Callable[..., Any]] = []


def follow_executors() -> None:
    """Make thread pools carry the context along with each piece of work. Once is enough.

    Threads themselves are left alone: one that lives on and serves others would keep them all in
    the conversation that it happened to be started from.
    """
    if _original:
        return
    submit: Any = ThreadPoolExecutor.submit
    _original.append(submit)

    @wraps(submit)
    def submit_carried(self: ThreadPoolExecutor, /, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (_carried(args[0]), *args[1:])
        return submit(self, *args, **kwargs)

    ThreadPoolExecutor.submit = submit_carried  # type: ignore[method-assign,assignment]


def leave_executors() -> None:
    """Undo `follow_executors`."""
    if _original:
        ThreadPoolExecutor.submit = _original.pop()  # type: ignore[method-assign]


def _carried(work: Any) -> Any:
    context = otel_context.get_current()
    try:
        # Work is called, also where it could be iterated over.
        return in_context_of(work, lambda args, kwargs: context)
    except Exception as error:  # the work itself matters more than what it belongs to
        note_fault("executor", error)
        return work
