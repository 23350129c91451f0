"""Spans go in; the same go out to an exporter, their text as the service's own hook leaves it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from farebox._guard import note_fault

__all__ = ["RedactingSpanExporter", "Redactor"]

Redactor: TypeAlias = Callable[[str, str], str | None]
"""Gets the name and the text of an attribute; returns the text to keep, or None for nothing. The
message of a span that failed is named otel.status_description."""

_STATUS_DESCRIPTION: Final = "otel.status_description"


class RedactingSpanExporter(SpanExporter):
    """Lets a redactor see every text before an exporter does."""

    def __init__(self, exporter: SpanExporter, redactor: Redactor) -> None:
        self._exporter = exporter
        self._redactor = redactor

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export redacted copies; the spans themselves stay as they are for other exporters."""
        return self._exporter.export([self._redacted(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def _redacted(self, span: ReadableSpan) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=self._kept(span.attributes),
            events=[
                Event(event.name, self._kept(event.attributes), event.timestamp)
                for event in span.events
            ],
            links=[Link(link.context, self._kept(link.attributes)) for link in span.links],
            kind=span.kind,
            status=self._status(span.status),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _status(self, status: Status) -> Status:
        # The message of an error may quote what was asked or answered.
        if status.description is None:
            return status
        return Status(status.status_code, self._text(_STATUS_DESCRIPTION, status.description))

    def _kept(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        kept = {key: self._value(key, value) for key, value in (attributes or {}).items()}
        return {key: value for key, value in kept.items() if value is not None}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(key, value)
        if isinstance(value, Mapping):
            return self._kept(value)
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return tuple(kept for item in value if (kept := self._value(key, item)) is not None)
        return value

    def _text(self, key: str, text: str) -> str | None:
        try:
            return self._redactor(key, text)
        except Exception as error:  # what could not be redacted must not leave
            note_fault("redactor", error)
            return None
