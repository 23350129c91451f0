"""What is known of a conversation, and how a context holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from farebox import attributes

__all__ = ["ATTRIBUTE_OF_FIELD", "Conversation", "as_text", "conversation_in", "holding"]

ATTRIBUTE_OF_FIELD: Final[Mapping[str, str]] = {
    "id": attributes.CONVERSATION_ID,
    "turn_id": attributes.TURN_ID,
    "tenant": attributes.TENANT_ID,
    "feature": attributes.FEATURE,
    "action": attributes.ACTION,
    "type": attributes.CONVERSATION_TYPE,
    "user_tier": attributes.USER_TIER,
    "user": attributes.USER_ID,
}
"""The attribute that each field is written to, the most important first."""

_KEY: Final = otel_context.create_key("farebox-conversation")
_VALUE_CHARACTERS_MAX: Final = 256
_EXTRA_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as far as the running code knows it. None: not known."""

    id: str | None = None
    user: str | None = None
    tenant: str | None = None
    user_tier: str | None = None
    feature: str | None = None
    action: str | None = None
    type: str | None = None
    turn_id: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    """Dimensions of the service's own, at most 16."""
    attributes: Mapping[str, str] = field(init=False, compare=False, repr=False)
    """What every span of the conversation is stamped with."""

    def __post_init__(self) -> None:
        said = {name: getattr(self, key) for key, name in ATTRIBUTE_OF_FIELD.items()}
        named = {attributes.EXTRA_PREFIX + key: value for key, value in self.extra.items()}
        stamped = {name: value for name, value in (said | named).items() if value is not None}
        object.__setattr__(self, "attributes", stamped)

    def given(self, found: Mapping[str, Any]) -> "Conversation":
        """Return this conversation with what was found; names that are no fields are extra."""
        fields = {name: value for name, value in found.items() if name in ATTRIBUTE_OF_FIELD}
        extra = {name: value for name, value in found.items() if name not in fields}
        return self.changed(fields, extra)

    def changed(self, given: Mapping[str, Any], extra: Mapping[str, Any]) -> "Conversation":
        """Return this conversation with what was given; another id starts another turn."""
        texts = {key: text for key, value in given.items() if (text := as_text(value))}
        if texts.get("id", self.id) != self.id:
            texts.setdefault("turn_id", "")
        named = {key: text for key, value in extra.items() if (text := as_text(value))}
        merged = dict(list((dict(self.extra) | named).items())[:_EXTRA_MAX])
        changes: dict[str, Any] = {key: text or None for key, text in texts.items()}
        return replace(self, **changes, extra=merged)


def as_text(value: object) -> str:
    """Return a value as it goes into an attribute: text of at most 256 characters."""
    if value is None:
        return ""
    text = str(value)[:_VALUE_CHARACTERS_MAX]
    # Half a surrogate pair cannot be sent, and would take the whole export with it.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def conversation_in(context: Context | None) -> Conversation | None:
    """Return the conversation that a context holds."""
    held = otel_context.get_value(_KEY, context)
    return held if isinstance(held, Conversation) else None


def holding(held: Conversation, context: Context | None) -> Context:
    """Return a context that holds a conversation."""
    return otel_context.set_value(_KEY, held, context)
