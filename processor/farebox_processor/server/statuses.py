"""How an export request can end, and what each ending is called in gRPC and in HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import grpc

__all__ = ["RETRY_AFTER_S", "STATUSES", "Answer", "Condition", "Status"]

RETRY_AFTER_S: Final = 1
"""What a sender is asked to wait. A Python exporter gives a request up at once when the hint is
longer than what is left of its ten seconds."""


class Condition(StrEnum):
    """The ending of a request; a label of `farebox_requests_answered`."""

    STORED = "stored"
    """ClickHouse has every span."""
    PARTLY_REJECTED = "partly_rejected"
    """ClickHouse has the spans that could be taken; the others would be refused again."""
    EMPTY = "empty"
    """There was no span in it."""
    UNDECODABLE = "undecodable"
    """Not a trace export request, or not one span of it can be taken."""
    TOO_LARGE = "too_large"
    """Above the limit of bytes or of spans."""
    UNAVAILABLE = "unavailable"
    """ClickHouse is away, too much is in flight, or the server is about to stop."""
    THROTTLED = "throttled"
    """The tenant has as much in flight as one of several may have."""
    UNEXPECTED = "unexpected"
    """A fault of the server's own; the payload is kept aside if it happens again."""
    UNAUTHENTICATED = "unauthenticated"
    """No token, or an unknown one."""
    FORBIDDEN = "forbidden"
    """The token may not send."""
    UNSUPPORTED = "unsupported"
    """A compression or content type that is not OTLP's."""


@dataclass(frozen=True, slots=True)
class Status:
    """One row of the table: the codes of both transports, and whether senders try again."""

    grpc: grpc.StatusCode
    http: int
    retry: bool = False


STATUSES: Final[Mapping[Condition, Status]] = {
    Condition.STORED: Status(grpc.StatusCode.OK, 200),
    Condition.PARTLY_REJECTED: Status(grpc.StatusCode.OK, 200),
    Condition.EMPTY: Status(grpc.StatusCode.OK, 200),
    Condition.UNDECODABLE: Status(grpc.StatusCode.INVALID_ARGUMENT, 400),
    # Without RetryInfo, which makes it final: https://opentelemetry.io/docs/specs/otlp/
    Condition.TOO_LARGE: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
    Condition.UNAVAILABLE: Status(grpc.StatusCode.UNAVAILABLE, 503, retry=True),
    Condition.THROTTLED: Status(grpc.StatusCode.UNAVAILABLE, 429, retry=True),
    Condition.UNEXPECTED: Status(grpc.StatusCode.UNAVAILABLE, 503, retry=True),
    Condition.UNAUTHENTICATED: Status(grpc.StatusCode.UNAUTHENTICATED, 401),
    Condition.FORBIDDEN: Status(grpc.StatusCode.PERMISSION_DENIED, 403),
    Condition.UNSUPPORTED: Status(grpc.StatusCode.UNIMPLEMENTED, 415),
}
"""The whole table. INTERNAL and UNKNOWN make senders drop data that could have been kept;
DATA_LOSS, OUT_OF_RANGE and ABORTED make them repeat what can never be taken: none is used."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is told."""

    condition: Condition
    message: str = ""
    rejected_spans: int = 0

    @property
    def status(self) -> Status:
        """Return the row of the table for this answer."""
        return STATUSES[self.condition]
