"""What a dialect consists of: the words that its files may use and the shape of what they say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from farebox_processor.frames import DIMENSIONS

__all__ = [
    "BLINDNESSES",
    "DEFAULT",
    "DIMENSION_NAMES",
    "KINDS",
    "NOBODY_SHOWS",
    "NO_CALL",
    "QUANTITIES",
    "READINGS",
    "TEXTS",
    "VENDORS",
    "Common",
    "Dialect",
    "Emitter",
    "KindRule",
    "Layout",
    "Loss",
    "Source",
    "release",
]

DEFAULT: Final = "opentelemetry"
"""The dialect of spans that no other dialect claims."""

KINDS: Final = ("inference", "embeddings", "rerank", "retrieval", "tool", "agent", "gpu")
NO_CALL: Final = "none"
"""Kind of a span that must not be taken for a call, whatever else it carries."""
READINGS: Final = ("inclusive", "exclusive")
VENDORS: Final = ("anthropic", "google", "openai")
BLINDNESSES: Final = ("cache_ttl", "data_zone", "service_tier", "web_search")
NOBODY_SHOWS: Final = ("data_zone",)
"""Blindnesses of every emitter, which dialects need not list."""

QUANTITIES: Final = (
    "input",
    "output",
    "total",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "thoughts",  # reasoning that `output` leaves out
    "input_beside",  # billed as input, and not in `input`
    "output_beside",
    "input_audio",
    "input_image",
    "input_video",
    "cache_read_audio",
    "cache_read_image",
    "output_audio",
    "output_image",
    "output_video",
)
"""What a layout may state. Unlike frames.TOKENS these overlap, as emitters have it."""

TEXTS: Final = (
    "operation",
    "provider",
    "host",  # of a provider: it counts before `provider`, on spans of models
    "request_model",
    "response_model",
    "response_id",
    "tool_name",
    "finish_reason",
    "tool_call",  # anything that shows that the answer ends in a tool call
    "error_type",
    "refusal",  # there where the provider refused: whatever id the span has is of no response
    "streaming",
    "served_tier",
    "asked_tier",
    "speed",
    "processing",
    "region",
    "response_cache",  # true or hit where a cache of the service answered, not the provider
    "currency",
    "reading",
    "estimated",
    "price_rule",
)

DIMENSION_NAMES: Final = (
    *(name for name in DIMENSIONS if name != "service_name"),
    "conversation_id",
    "conversation_ended",
    "turn_id",
    "outcome",
    "tenant_id",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value stands: an attribute, or something inside of its text."""

    attribute: str
    path: tuple[str, ...] = ()
    """Keys to follow in JSON, or in a Python dict printed as text."""
    pattern: str | None = None
    """Regular expression whose one group is the value."""
    value: str | None = None
    """The value itself, where the attribute is there at all."""
    count: str | None = None
    """Regular expression whose matches are counted; no match is no value."""
    distinct: str | None = None
    """Regular expression whose different matches are counted; no match is no value."""
    sum: str | None = None
    """Regular expression whose matches are added up."""

    @property
    def inside(self) -> bool:
        """Whether the value is found in the text of the attribute, not the attribute's own."""
        return bool(
            self.path or self.pattern or self.value or self.count or self.distinct or self.sum
        )


@dataclass(frozen=True, slots=True)
class KindRule:
    """One way to tell what kind of call a span is; of several, the first that answers counts."""

    source: Source | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    """Kind per value of the source, in lower case; `*` is any other."""
    absent: tuple[str, ...] = ()
    """Attributes that must not be there."""
    unless_failed: bool = False
    span_name: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One consistent statement of usage; of several on a span, the first counts, alone."""

    name: str
    reading: str | None
    requires: tuple[Source, ...]
    """What else must be on a span, all of it."""
    quantities: Mapping[str, tuple[Source, ...]]


@dataclass(frozen=True, slots=True)
class Loss:
    """What an emitter is known to drop or to get wrong, and on which spans."""

    code: str
    kinds: tuple[str, ...]
    unless: str | None = None
    """Quantity whose being stated, and not 0, shows that nothing was lost."""
    vendors: tuple[str, ...] = ()
    streaming: bool = False
    where: tuple[tuple[str, str], ...] = ()
    """Attributes and the regular expressions that they must match, all of them."""
    where_not: tuple[tuple[str, str], ...] = ()
    """Attributes and the regular expressions that they must not match, none of them."""
    absent: tuple[str, ...] = ()
    """Attributes that must not be there."""

    @property
    def asked(self) -> tuple[str, ...]:
        """The attributes that it depends on."""
        return (*(key for key, _ in (*self.where, *self.where_not)), *self.absent)


@dataclass(frozen=True, slots=True)
class Emitter:
    """Who emits spans, known by scope and version; without a scope: anyone else's."""

    scope: str | None
    below: tuple[int, ...] | None = None
    """First version that is another emitter."""
    reading: str | None = None
    blind_to: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()

    def matches(self, scope: str, version: str | None) -> bool:
        """Return whether spans of this scope and version are this emitter's."""
        if self.scope is None or re.search(self.scope, scope) is None:
            return False
        return self.below is None or (version is not None and release(version) < self.below)


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One vocabulary of attributes."""

    name: str
    file: str
    about: str
    extends: str | None
    marks: tuple[str, ...]
    """Attributes that give the dialect away where the scope does not."""
    span_names: str | None
    """Regular expression on the span's name that does the same."""
    emitters: tuple[Emitter, ...]
    kinds: tuple[KindRule, ...]
    layouts: tuple[Layout, ...]
    texts: Mapping[str, tuple[Source, ...]]
    units: Mapping[str, tuple[Source, ...]]
    evidence: Mapping[str, tuple[Source, ...]]
    """Per unit, what shows that some of it was used."""
    supplied_cost: tuple[Source, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What holds in every dialect."""

    dimensions: Mapping[str, tuple[Source, ...]]
    resource: Mapping[str, tuple[str, ...]]
    quantities: Mapping[str, tuple[Source, ...]]
    texts: Mapping[str, tuple[Source, ...]]
    supplied_cost: tuple[Source, ...]
    providers: Mapping[str, str | None]
    operations: Mapping[str, str]
    extra: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    """Per configured dimension, the attributes of the span or of its resource that hold it."""


def release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (1, 3) of 1.3b0; at most 18 digits of each."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part[:18]) for part in numbers.group().split(".")) if numbers else ()
