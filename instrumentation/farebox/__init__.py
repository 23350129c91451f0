"""Make an existing service say which conversation each of its LLM calls belongs to."""

from farebox.blocks import conversation, current_conversation, turn
from farebox.carrying import carry
from farebox.conversation_state import Conversation
from farebox.marking import end_conversation, outcome, record_cost, tool_cost
from farebox.propagation import headers
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
