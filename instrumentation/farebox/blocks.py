"""Which conversation the running code serves: a block, a decorator, carried in the context."""

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox import carrying
from farebox._guard import harmless, note_fault, say_once
from farebox.conversation_state import Conversation, conversation_in, holding
from farebox.propagation import conversation_from_baggage, with_baggage_of

__all__ = ["Block", "conversation", "current_conversation", "turn"]

_F = TypeVar("_F", bound=Callable[..., Any])
_Opened: TypeAlias = tuple[tuple["Block", Context], ...]
"""Each open block with the context before it, the outermost first."""

_OPENED: Final = otel_context.create_key("farebox-opened-blocks")
_OPENED_MAX: Final = 64
"""Work that starts its successor inside a block passes its open ones on, for ever."""
_LEFT_ELSEWHERE: Final = (
    "a block of a conversation or turn was left elsewhere than it was entered, or after one that "
    "was entered later, as happens around a `yield`: calls since then may be in another "
    "conversation or in none; decorate the generator instead"
)


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
        before = otel_context.get_current()
        entered = _entered(self._given_now(), self._extra)
        opened = (*_opened_in(before), (self, _without_opened(before)))
        _go_to(before if entered is None else entered, opened)
        return current_conversation()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the conversation; an exception passes through as it is."""
        here = otel_context.get_current()
        opened = _opened_in(here)
        place = next((n for n in reversed(range(len(opened))) if opened[n][0] is self), None)
        if place is None:  # entered elsewhere: there is nothing to leave
            say_once(_LEFT_ELSEWHERE)
            return
        before, later = opened[place][1], opened[place + 1 :]
        if not later:
            _go_to(before, opened[:place])
            return
        say_once(_LEFT_ELSEWHERE)
        # Those entered later stay, but must not lead back into this one.
        (block, _), *others = later
        _go_to(here, (*opened[:place], (block, before), *others))

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


# Kept in the context: whatever takes that elsewhere, as between the steps of a decorated generator,
# takes its open blocks along.
def _opened_in(context: Context) -> _Opened:
    opened: Any = context.get(_OPENED, ())
    return cast("_Opened", opened)


def _without_opened(context: Context) -> Context:
    return Context({key: value for key, value in context.items() if key != _OPENED})


def _go_to(context: Context, opened: _Opened) -> None:
    if opened:
        context = otel_context.set_value(_OPENED, opened[-_OPENED_MAX:], context)
    otel_context.attach(context)


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
