"""Enriched spans out again, over OTLP/gRPC, behind a queue that nobody ever waits for."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from farebox_processor.config import ExportConfig
from farebox_processor.enriched_otlp import Enriched, Flushed, enrich
from farebox_processor.server.grpc_listener import SERVICE
from farebox_processor.server.metrics import Metrics

__all__ = ["Exporter"]

_logger = logging.getLogger(__name__)

_METHOD: Final = f"/{SERVICE}/Export"
_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""Small requests are sent together up to this size: half of what a stock receiver takes."""
_DETAILS: Final = "grpc-status-details-bin"
_CALL_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 30.0
_GIVE_UP_AFTER_S: Final = 300.0
"""As the collector's exporters do: after five minutes the next request has its turn."""
_FAREWELL_S: Final = 1.0

_Code: Final = grpc.StatusCode
_RETRYABLE: Final = frozenset(
    {
        _Code.CANCELLED,
        _Code.DEADLINE_EXCEEDED,
        _Code.ABORTED,
        _Code.OUT_OF_RANGE,
        _Code.UNAVAILABLE,
        _Code.DATA_LOSS,
    }
)
"""By OTLP's specification; RESOURCE_EXHAUSTED too where it says when to try again."""
_OF_ONE: Final = frozenset(
    {_Code.INVALID_ARGUMENT, _Code.INTERNAL, _Code.RESOURCE_EXHAUSTED, _Code.UNKNOWN}
)
"""What may be the fault of one among several requests that were sent together."""


@dataclass(slots=True)
class _Queue:
    """What waits to be sent, bounded by its bytes."""

    limit_bytes: int
    waiting: deque[Flushed] = field(default_factory=deque)
    size_bytes: int = 0
    closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, flushed: Flushed) -> bool:
        """Append, and tell whether there was room."""
        with self.changed:
            if self.closed or self.size_bytes + flushed.size_bytes > self.limit_bytes:
                return False
            self.waiting.append(flushed)
            self.size_bytes += flushed.size_bytes
            self.changed.notify()
            return True

    def get(self) -> Flushed | None:
        """Wait for the first and return it; None when the queue is closed and empty."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closed)
            return self.waiting.popleft() if self.waiting else None

    def done(self, flushed: Flushed) -> None:
        """Give back the room of what has been sent or dropped."""
        with self.changed:
            self.size_bytes -= flushed.size_bytes

    def close(self) -> None:
        """Take nothing more."""
        with self.changed:
            self.closed = True
            self.changed.notify()


class Exporter:
    """Sends what it is given to one downstream, in a thread of its own."""

    def __init__(self, config: ExportConfig, endpoint: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._queue = _Queue(config.queue_max_bytes)
        self._channel = _channel(endpoint, insecure=config.insecure)
        self._call = self._channel.unary_unary(
            _METHOD, request_serializer=bytes, response_deserializer=bytes
        )
        self._metadata = _metadata(config.headers.reveal())
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="farebox-export", daemon=True)
        metrics.export_queue_bytes.set_function(lambda: self._queue.size_bytes)
        self._thread.start()

    def __call__(self, flushed: Flushed) -> None:
        """Put what a flush has stored into the queue, or drop it where there is no room."""
        if not self._queue.put(flushed):
            self._drop(len(flushed.requests), "queue_full", "the downstream is too slow")

    def stop(self, within_s: float) -> None:
        """Send what waits, as far as the time goes, and close the connection."""
        self._deadline = time.monotonic() + within_s
        self._queue.close()
        self._stopping.set()
        self._thread.join(within_s)
        self._channel.close()
        # The call that was cut short ends now.
        self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        while (flushed := self._queue.get()) is not None:
            try:
                for together in _gathered(enrich(flushed)):
                    self._deliver(together)
            # What is stored is safe; a fault of ours here must not end the export of the rest. A
            # panic in Rust code is no Exception.
            except BaseException:
                _logger.exception("spans could not be enriched")
                self._drop(len(flushed.requests), "unexpected_error", "see the error before")
            finally:
                self._queue.done(flushed)

    def _deliver(self, requests: Sequence[Enriched]) -> None:
        """Send some requests as one, again and again as far as that helps."""
        spans = sum(request.spans for request in requests)
        body = b"".join(request.body for request in requests)
        give_up_at = time.monotonic() + _GIVE_UP_AFTER_S
        for pause_s in _pauses():
            if (left_s := self._deadline - time.monotonic()) <= 0:
                return self._drop(spans, "shutdown", "the server was told to stop")
            error = self._send(body, spans, min(_CALL_S, left_s))
            if error is None:
                return None
            asked_s = _asked_pause(error)
            if error.code() not in _RETRYABLE and asked_s is None:
                return self._refused(requests, spans, error)
            if time.monotonic() > give_up_at:
                return self._drop(spans, "unavailable", str(error.details()))
            self._wait(max(pause_s, asked_s or 0))
        return None

    def _send(self, body: bytes, spans: int, timeout_s: float) -> grpc.RpcError | None:
        try:
            answer = self._call(body, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return error
        response = ExportTraceServiceResponse.FromString(answer).partial_success
        self._metrics.export_spans_sent.inc(spans - response.rejected_spans)
        if response.rejected_spans:
            self._drop(response.rejected_spans, "rejected", response.error_message)
        return None

    def _refused(self, requests: Sequence[Enriched], spans: int, error: grpc.RpcError) -> None:
        if len(requests) > 1 and error.code() in _OF_ONE:
            half = len(requests) // 2
            self._deliver(requests[:half])
            self._deliver(requests[half:])
        else:
            self._drop(spans, "refused", f"{error.code().name}: {error.details()}")

    def _drop(self, spans: int, reason: str, detail: str) -> None:
        self._metrics.export_spans_dropped.labels(reason).inc(spans)
        if reason not in self._told:
            self._told.add(reason)
            _logger.warning(
                "spans are not sent downstream; this is said once for each reason",
                extra={"reason": reason, "detail": detail},
            )

    def _wait(self, pause_s: float) -> None:
        """Pause; when the server is told to stop, no longer than the time that is left."""
        if not self._stopping.wait(pause_s):
            return
        left_s = self._deadline - time.monotonic()
        time.sleep(max(0.0, min(left_s, _FIRST_PAUSE_S)))


def _gathered(requests: Iterable[Enriched]) -> Iterator[list[Enriched]]:
    together: list[Enriched] = []
    size_bytes = 0
    for request in requests:
        if together and size_bytes + len(request.body) > _REQUEST_BYTES:
            yield together
            together, size_bytes = [], 0
        together.append(request)
        size_bytes += len(request.body)
    if together:
        yield together


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _asked_pause(error: grpc.RpcError) -> float | None:
    """Return the seconds after which the downstream asks for the request again, if it does."""
    details = [one.value for one in error.trailing_metadata() or () if one.key == _DETAILS]
    status = status_pb2.Status()
    try:
        status.ParseFromString(b"".join(details))
    except DecodeError:
        return None
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return None


def _channel(endpoint: str, *, insecure: bool) -> grpc.Channel:
    if insecure:
        return grpc.insecure_channel(endpoint)
    return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials())


def _metadata(headers: str) -> tuple[tuple[str, str], ...]:
    pairs = (pair.partition("=") for pair in headers.split(",") if pair)
    return tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
