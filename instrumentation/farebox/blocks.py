"""Which conversation the running code serves: a block, a decorator, carried in the context."""

import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox import carrying
from farebox._guard import harmless, note_fault
from farebox.conversation_state import Conversation, conversation_in, holding
from farebox.propagation import conversation_from_baggage, with_baggage_of

__all__ = ["Block", "conversation", "current_conversation", "turn"]

_F = TypeVar("_F", bound=Callable[..., Any])


def current_conversation() -> Conversation | None:
    """Return the conversation of the running code, or None outside of any."""
    return conversation_in(None) or conversation_from_baggage(None)


@harmless("conversation")
def _entered(given: Mapping[str, Any], extra: Mapping[str, Any]) -> Context:
    before = current_conversation() or Conversation()
    held = before.changed(given, extra)
    return with_baggage_of(held, holding(held, None))


class Block:
    """A stretch of code that belongs to a conversation: `with`, `async with`, or a decorator.

    May be entered any number of times, also at once by several threads and tasks.
    """

    def __init__(self, given: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        self._given = given
        self._extra = extra

    def __enter__(self) -> Conversation | None:
        """Enter the conversation and return it."""
        context = _entered(self._given_now(), self._extra)
        if context is None:
            return current_conversation()
        _tokens.set((*_tokens.get(), (self, otel_context.attach(context))))
        return conversation_in(context)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the conversation; an exception passes through as it is."""
        *earlier, last = _tokens.get() or (None,)
        # Somewhere else than where it was entered (a generator closed by another task), there
        # is nothing to leave.
        if last is not None and last[0] is self:
            _tokens.set(tuple(entry for entry in earlier if entry is not None))
            otel_context.detach(last[1])

    async def __aenter__(self) -> Conversation | None:
        """Enter the conversation and return it."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the conversation; an exception passes through as it is."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Run every call of a function, coroutine function or generator in the conversation."""

        def context_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
            context = _entered(self._given_now(args, kwargs), self._extra)
            return otel_context.get_current() if context is None else context

        return carrying.in_context_of(function, context_of)

    def _given_now(
        self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        given = dict(self._given)
        identify = given.get("id")
        if callable(identify):
            given["id"] = None
            try:
                given["id"] = identify(*args, **(kwargs or {}))
            except Exception as error:  # the service's own callable must not stop the service
                note_fault("conversation id", error)
        return given


_tokens: ContextVar[tuple[tuple[Block, Token[Context]], ...]] = ContextVar(
    "farebox_tokens", default=()
)


def conversation(  # noqa: PLR0913 - one keyword per dimension
    id: str | Callable[..., str | None] | None = None,
    *,
    user: str | None = None,
    tenant: str | None = None,
    user_tier: str | None = None,
    feature: str | None = None,
    action: str | None = None,
    type: str | None = None,
    **extra: str,
) -> Block:
    """Say which conversation the code of a block, or every call of a function, belongs to.

    What is not given is kept from the block around it; no id is ever invented. As a decorator, `id`
    may be a callable that finds it in the arguments of the call. A decorated generator keeps to its
    conversation between its steps, which a `with` block around a `yield` cannot.
    """
    given = {
        "id": id,
        "user": user,
        "tenant": tenant,
        "user_tier": user_tier,
        "feature": feature,
        "action": action,
        "type": type,
    }
    return Block(given, extra)


class _Turn(Block):
    def _given_now(
        self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"turn_id": self._given["turn_id"] or os.urandom(16).hex()}


def turn(id: str | None = None) -> Block:
    """Say that the calls of a block are one turn: what the user asked, until it is answered.

    Without an id each entry gets a new one.
    """
    return _Turn({"turn_id": id}, {})
