"""What work sees of the conversation it is in; of a module that another process can import."""

from opentelemetry import trace

import farebox

__all__ = ["held_here"]


def held_here() -> tuple[str | None, str | None, int]:
    """Return the id and the user of the conversation in force, and the trace."""
    held = farebox.current_conversation() or farebox.Conversation()
    return held.id, held.user, trace.get_current_span().get_span_context().trace_id
