"""What the server counts and measures of itself, in the exposition format of Prometheus."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MODEL_CHARACTERS: Final = 128
_MODEL_LABELS: Final = 100
"""Model names come from senders: after this many different ones the rest counts as `other`."""


class Metrics:
    """The counters of one server, in a registry of its own.

    At rest, for every tenant: spans received = stored + rejected + unacknowledged.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests_received = self._counter(
            "requests_received", "Export requests that came in", "transport"
        )
        self.requests_answered = self._counter(
            "requests_answered", "Export requests by how they ended", "transport", "condition"
        )
        self.spans_received = self._counter(
            "spans_received", "Spans of requests that could be read", "tenant"
        )
        self.spans_stored = self._counter(
            "spans_stored", "Spans that ClickHouse has, repeated ones included", "tenant"
        )
        self.spans_rejected = self._counter(
            "spans_rejected", "Spans that no retry would bring in", "tenant", "reason"
        )
        self.spans_unacknowledged = self._counter(
            "spans_unacknowledged", "Spans whose sender was asked to try again", "tenant"
        )
        self.spans_unpriced = self._counter(
            "spans_unpriced", "Calls without a price, by model", "model"
        )
        self.parts_dropped = self._counter(
            "parts_dropped", "Attributes, events and links beyond what is read of one span"
        )
        self.texts_cut = self._counter("texts_cut", "Texts of spans of which the beginning is kept")
        self.export_spans_sent = self._counter(
            "export_spans_sent", "Spans that the downstream has taken"
        )
        self.export_spans_dropped = self._counter(
            "export_spans_dropped", "Spans stored but not sent downstream", "reason"
        )
        self.export_queue_bytes = self._gauge("export_queue_bytes", "Waiting to be sent downstream")
        self.reloads = self._counter(
            "reloads", "Times that SIGHUP asked for rules or tokens", "what", "result"
        )
        self.errors = self._counter("errors", "Unexpected errors, by where they were met", "where")
        self.flush_seconds = self._histogram("flush_seconds", "Time of a flush, insert included")
        self.insert_seconds = self._histogram("insert_seconds", "Time of an insert of spans")
        self.in_flight_bytes = self._gauge("in_flight_bytes", "Received and not yet flushed")
        self.oldest_waiting_seconds = self._gauge(
            "oldest_waiting_seconds", "Age of the request that waits longest for a flush"
        )
        self.live_traces = self._gauge("live_traces", "Traces in memory")
        self.live_spans = self._gauge("live_spans", "Spans of the traces in memory")
        self.lag_seconds = self._gauge(
            "lag_seconds", "From the end of the newest span of the last flush to its storing"
        )
        self.repair_seconds = self._histogram("repair_seconds", "Time of a run of repair")
        self.repaired_rows = self._counter(
            "repaired_rows", "Derived rows that repair has written or taken out", "table"
        )
        self.repaired_at = time.monotonic()
        self._gauge(
            "repair_lag_seconds", "Since rows were last compared with all spans stored"
        ).set_function(lambda: time.monotonic() - self.repaired_at)
        self._models: set[str] = set()

    def count_unpriced(self, model: str, spans: int) -> None:
        """Count calls without a price under their model, or under `other` beyond the limit."""
        model = model[:_MODEL_CHARACTERS]
        if model not in self._models and len(self._models) >= _MODEL_LABELS:
            model = "other"
        self._models.add(model)
        self.spans_unpriced.labels(model).inc(spans)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"farebox_{name}", f"{meaning}.", labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"farebox_{name}", f"{meaning}.", registry=self.registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(f"farebox_{name}", f"{meaning}.", buckets=_SECONDS, registry=self.registry)
