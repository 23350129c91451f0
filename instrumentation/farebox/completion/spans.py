"""The span of the model call that is under way, and how to add to it, also as it ends."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox._guard import harmless

__all__ = ["before_end", "call_span", "complete", "complete_call"]

_CALLS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings", "responses", "completion"}
)
_OPENINFERENCE_KIND: Final = "openinference.span.kind"
_OPENINFERENCE_CALLS: Final = frozenset({"LLM", "EMBEDDING"})
_OPENINFERENCE_NAMES: Final = {
    attributes.RESPONSE_MODEL: "llm.model_name",
    attributes.INPUT_TOKENS: "llm.token_count.prompt",
    attributes.OUTPUT_TOKENS: "llm.token_count.completion",
    attributes.CACHE_READ_TOKENS: "llm.token_count.prompt_details.cache_read",
    attributes.CACHE_WRITE_TOKENS: "llm.token_count.prompt_details.cache_write",
    attributes.REASONING_TOKENS: "llm.token_count.completion_details.reasoning",
}
_TRACELOOP_KIND: Final = "llm.request.type"
_STANDARD_PREFIX: Final = "gen_ai."

_INCLUSIVE: Final = (
    "opentelemetry.instrumentation.genai.openai",
    "opentelemetry.instrumentation.genai.anthropic",
    "opentelemetry.instrumentation.google_genai",
    "com.anthropic.sdk.python",
    "pydantic-ai",
)
"""Scopes that were seen to count cached tokens as input, for OpenAI's and Anthropic's own APIs."""


def call_span() -> Span | None:
    """Return the current span if it stands for a call of a model and still records."""
    span = trace.get_current_span()
    if not span.is_recording():
        return None
    said = getattr(span, "attributes", None) or {}
    is_call = (
        said.get(attributes.OPERATION_NAME) in _CALLS
        or said.get(_OPENINFERENCE_KIND) in _OPENINFERENCE_CALLS
        or _TRACELOOP_KIND in said
    )
    return span if is_call else None


def complete(span: Span, found: Mapping[str, AttributeValue | None]) -> None:
    """Add what was found in a response to a span; None is not said.

    A span in OpenInference's words gets none of the standard ones: it would say some things twice.
    """
    if not span.is_recording():
        return
    foreign = _OPENINFERENCE_KIND in (getattr(span, "attributes", None) or {})
    said: dict[str, AttributeValue] = {
        name: value
        for name, value in found.items()
        if value is not None and not (foreign and name.startswith(_STANDARD_PREFIX))
    }
    if _counts_cached_as_input(span):
        said[attributes.TOKEN_SEMANTICS] = "inclusive"
    span.set_attributes(said)


def complete_call(
    span: Span, answered: Mapping[str, AttributeValue | None], *, read_alike: bool
) -> None:
    """Say what a call used as soon as its answer is there; None is not said.

    The instrumentation says so itself of an answer that reaches the service. One that the SDK then
    cannot parse is an error to it, without any usage, but has been billed. `read_alike`: whether
    all instrumentations count an API's tokens as `answered` does, not only those seen to do so.
    """
    if not (read_alike or _counts_cached_as_input(span)) or not span.is_recording():
        return
    foreign = _OPENINFERENCE_KIND in (getattr(span, "attributes", None) or {})
    names = _OPENINFERENCE_NAMES if foreign else {name: name for name in answered}
    said = {names[name]: value for name, value in answered.items() if name in names}
    span.set_attributes({name: value for name, value in said.items() if value is not None})


def _counts_cached_as_input(span: Span) -> bool:
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and str(scope.name).startswith(_INCLUSIVE)


def before_end(span: Span, say: Callable[[], None]) -> None:
    """Run `say` when a span is about to end, while it can still be added to.

    The SDK shows processors a span only once it is closed for changes, so the span's own `end` is
    followed.
    """
    end = span.end
    said = harmless("stream end")(say)

    def end_after_saying(*args: Any, **kwargs: Any) -> None:
        if span.is_recording():
            said()
        end(*args, **kwargs)

    span.end = end_after_saying  # type: ignore[method-assign]
