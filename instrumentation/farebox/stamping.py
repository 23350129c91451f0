"""Every span that starts goes in; it comes out with the attributes of its conversation."""

from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from farebox._guard import note_fault
from farebox.completion import google_genai
from farebox.conversation_state import conversation_in
from farebox.propagation import conversation_from_baggage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["ConversationSpanProcessor", "stamp_spans_of"]


class ConversationSpanProcessor(SpanProcessor):
    """Says of which conversation a span is, as it starts: a sampler downstream needs it then.

    What the service says wins over what a library set by itself.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a span with the conversation of the context that it starts in."""
        try:
            held = conversation_in(parent_context) or conversation_from_baggage(parent_context)
            if held is not None:
                span.set_attributes(held.attributes)
            google_genai.mark_tool(span, parent_context)
        except Exception as error:  # a span without its conversation is better than no answer
            note_fault("span start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Leave the span as it is."""

    def shutdown(self) -> None:
        """Hold nothing, release nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hold nothing, flush nothing."""
        return True


def stamp_spans_of(provider: "TracerProvider") -> bool:
    """Add the stamping to a provider, ahead of what exports; False if it was there already."""
    multi = provider._active_span_processor
    if any(isinstance(held, ConversationSpanProcessor) for held in multi._span_processors):
        return False
    provider.add_span_processor(ConversationSpanProcessor())
    return True
