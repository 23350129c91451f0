"""The results of a batch go in as they are read; a span for each goes out: nobody else has any."""

from typing import Any

from opentelemetry.trace import SpanKind

from farebox import attributes
from farebox._settings import own_tracer
from farebox.completion.anthropic import answered, found_in

__all__ = ["BatchResults", "reads_results"]


def reads_results(path: str) -> bool:
    """Tell whether a request reads the results of a batch."""
    return "/batches/" in path and path.split("?", maxsplit=1)[0].endswith("/results")


class BatchResults:
    """Records each message of a batch, in the conversation of the code that reads it.

    Results that are read again are recorded again; by its response id a message is billed once.
    """

    def see(self, chunk: Any) -> None:
        """Record a result that succeeded; others are not billed."""
        if getattr(chunk.result, "type", None) != "succeeded":
            return
        message = chunk.result.message
        said = {
            attributes.OPERATION_NAME: "chat",
            attributes.PROVIDER_NAME: "anthropic",
            attributes.REQUEST_MODEL: message.model,
            attributes.TOKEN_SEMANTICS: "inclusive",
            **answered(message),
            **(found_in(message) or {}),
            attributes.PROCESSING: "batch",
        }
        known = {name: value for name, value in said.items() if value is not None}
        span = own_tracer().start_span(
            f"chat {message.model}", kind=SpanKind.CLIENT, attributes=known
        )
        span.end()
