"""Make an existing service say which conversation each of its LLM calls belongs to."""

from typing import TYPE_CHECKING

from farebox.blocks import conversation, current_conversation, turn
from farebox.carrying import carry
from farebox.conversation_state import Conversation
from farebox.marking import end_conversation, outcome, record_cost, tool_cost
from farebox.propagation import headers

if TYPE_CHECKING:
    from farebox.setting_up import instrument
    from farebox.standing import Status, status

__all__ = [
    "Conversation",
    "Status",
    "carry",
    "conversation",
    "current_conversation",
    "end_conversation",
    "headers",
    "instrument",
    "outcome",
    "record_cost",
    "status",
    "tool_cost",
    "turn",
]


def __getattr__(name: str) -> object:
    """Import what sets a service up as it is asked for: the SDK takes longer than all the rest."""
    if name == "instrument":
        from farebox.setting_up import instrument  # noqa: PLC0415

        return instrument
    if name in ("Status", "status"):
        from farebox import standing  # noqa: PLC0415

        return getattr(standing, name)
    raise AttributeError(f"module 'farebox' has no attribute {name!r}")
