"""Functions, generators and streams go in; the same come out, bound to a context."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

__all__ = ["carry", "in_context_of"]

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


class _Place:
    """The context that a generator is in between its steps."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        token = otel_context.attach(self._context)
        try:
            return step(*args)
        finally:
            # A span that the generator made current stays so until its next step.
            self._context = otel_context.get_current()
            otel_context.detach(token)

    async def wait(self, step: Callable[..., Any], *args: Any) -> Any:
        token = otel_context.attach(self._context)
        try:
            return await step(*args)
        finally:
            self._context = otel_context.get_current()
            otel_context.detach(token)


class _CarriedIterator(Iterator[Any]):
    def __init__(self, iterator: Any, context: Context) -> None:
        self._iterator = iterator
        self._place = _Place(context)

    def __next__(self) -> Any:
        return self._place.run(self._iterator.__next__)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._iterator, name)
        if name not in ("send", "throw", "close"):
            return found
        return lambda *args: self._place.run(found, *args)


class _CarriedAsyncIterator(AsyncIterator[Any]):
    def __init__(self, iterator: Any, context: Context) -> None:
        self._iterator = iterator
        self._place = _Place(context)

    async def __anext__(self) -> Any:
        return await self._place.wait(self._iterator.__anext__)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._iterator, name)
        if name not in ("asend", "athrow", "aclose"):
            return found
        return lambda *args: self._place.wait(found, *args)


def carry(what: _T) -> _T:
    """Bind a function, coroutine, generator or stream to the conversation of the running code.

    For work that is done later or elsewhere: a generator that is read after the block has ended, a
    callback, a thread that something other than an executor starts.
    """
    context = otel_context.get_current()
    bound = _bound(what, context)
    if bound is not what:
        return cast("_T", bound)
    if hasattr(what, "__anext__"):
        return cast("_T", _CarriedAsyncIterator(what, context))
    if hasattr(what, "__next__"):
        return cast("_T", _CarriedIterator(what, context))
    if callable(what):
        return cast("_T", in_context_of(what, lambda args, kwargs: context))
    return what


def _bound(result: Any, context: Context) -> Any:
    """Return code that is yet to run as the same bound to a context; anything else as it is."""
    if inspect.iscoroutine(result):
        return _awaited(result, context)
    if inspect.isgenerator(result):
        return _generator(lambda: result, lambda args, kwargs: context)()
    if inspect.isasyncgen(result):
        return _async_generator(lambda: result, lambda args, kwargs: context)()
    return result


def in_context_of(
    function: _F, context_of: Callable[[tuple[Any, ...], dict[str, Any]], Context]
) -> _F:
    """Return `function` with each call run in the context that `context_of` gives for it.

    The kind of function stays: coroutine functions and generators remain what they are.
    """
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, context_of)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, context_of)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, context_of)
    else:
        wrapper = _call(function, context_of)
    return cast("_F", wraps(function)(wrapper))


async def _awaited(coroutine: Any, context: Context) -> Any:
    token = otel_context.attach(context)
    try:
        return await coroutine
    finally:
        otel_context.detach(token)


def _call(function: Any, context_of: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        context = context_of(args, kwargs)
        token = otel_context.attach(context)
        try:
            result = function(*args, **kwargs)
        finally:
            otel_context.detach(token)
        # What another decorator has made a plain function may not have run yet.
        return _bound(result, context)

    return call


def _coroutine(function: Any, context_of: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await _awaited(function(*args, **kwargs), context_of(args, kwargs))

    return call


def _generator(function: Any, context_of: Any) -> Callable[..., Any]:
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = _CarriedIterator(function(*args, **kwargs), context_of(args, kwargs))
        return (yield from steps)

    return generate


def _async_generator(function: Any, context_of: Any) -> Callable[..., Any]:
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps = _CarriedAsyncIterator(function(*args, **kwargs), context_of(args, kwargs))
        try:
            item = await steps.__anext__()
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # what the reader throws in is the generator's
                    item = await steps.athrow(error)
                else:
                    item = await steps.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await steps.aclose()

    return generate
