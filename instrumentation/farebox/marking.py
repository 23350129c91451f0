"""What a service says about its conversations as they go: outcomes, ends, costs of its own."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox._guard import harmless, say_once
from farebox._settings import own_tracer
from farebox.conversation_state import as_text

__all__ = ["end_conversation", "outcome", "record_cost", "tool_cost"]

_USD_MAX = Decimal(1_000_000_000)


@harmless("outcome")
def outcome(result: str) -> None:
    """Say how the conversation came out: resolved, escalated, abandoned, ... The last counts."""
    _emit("farebox.outcome", {attributes.OUTCOME: as_text(result)})


@harmless("end_conversation")
def end_conversation(result: str | None = None) -> None:
    """Say that the conversation is over, and how it came out."""
    said: dict[str, AttributeValue] = {attributes.CONVERSATION_ENDED: True}
    if result is not None:
        said[attributes.OUTCOME] = as_text(result)
    _emit("farebox.end_conversation", said)


@harmless("tool_cost")
def tool_cost(
    tool: str, *, rule: str | None = None, unit: str = "request", quantity: float = 1
) -> None:
    """Record one use of a paid tool, to be priced by a rule of the price book.

    `rule` names it; without one the tool's name does. `quantity` counts `unit`s: pages, searches.
    """
    said: dict[str, AttributeValue] = {
        attributes.OPERATION_NAME: "execute_tool",
        attributes.TOOL_NAME: as_text(tool),
        attributes.PRICE_RULE: as_text(rule or tool),
        attributes.USAGE_PREFIX + as_text(unit): quantity,
    }
    _emit(f"execute_tool {as_text(tool)}", said)


@harmless("record_cost")
def record_cost(usd: Decimal | str | int, *, of: str = "cost") -> None:
    """Record a cost that the service knows itself, in US dollars; `of` says what for.

    A float is taken by its shortest decimal form; use a Decimal or text for exact money.
    """
    try:
        amount = Decimal(str(usd))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and abs(amount) <= _USD_MAX):
        say_once(f"record_cost: {usd!r} is not an amount in US dollars; nothing was recorded")
        return
    said: dict[str, AttributeValue] = {
        attributes.OPERATION_NAME: "execute_tool",
        attributes.TOOL_NAME: as_text(of),
        attributes.RECORDED_COST: format(amount, "f"),
    }
    _emit(f"execute_tool {as_text(of)}", said)


# What is said gets a span that ends as it is said: of several outcomes the one of the span that
# ended last counts, and a span around ends after all that is said inside it.
def _emit(name: str, said: Mapping[str, AttributeValue]) -> None:
    own_tracer().start_span(name, attributes=said).end()
