"""A flush: many requests in, one verdict on each of them out, whatever happens in between."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from farebox_processor.errors import FareboxError, RetryableStoreError
from farebox_processor.server.metrics import Metrics

__all__ = ["Bury", "Flush", "FollowUp", "SteadyFlush", "UnexpectedError", "Verdict"]

_logger = logging.getLogger(__name__)

_CHANCES: Final = 3
_REMEMBERED_FAILURES: Final = 1_024


class UnexpectedError(FareboxError):
    """A fault of the server's own while it handled one request."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request.

    Without a `refusal` its `accepted` spans are stored and its `rejected` ones never will be.
    """

    accepted: int = 0
    rejected: int = 0
    message: str = ""
    refusal: FareboxError | None = None


class Flush(Protocol):
    """Store what the bodies hold and return one verdict for each, in their order.

    Runs in a thread of its own, never twice at a time. Raises RetryableStoreError where nothing
    can be stored now.
    """

    def __call__(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> Sequence[Verdict]: ...


class Bury(Protocol):
    """Put a request that breaks the server aside, in dead_letter, and return its verdict."""

    def __call__(self, body: bytes, tenant: str, detail: str) -> Verdict: ...


class FollowUp(Protocol):
    """Do what can be done after the senders of a flush were answered.

    Runs in the thread of the flush, before the next one.
    """

    def __call__(self) -> None: ...


class SteadyFlush:
    """A flush that never raises.

    A request that breaks the flush is found by halving. Its sender is asked to try again, for the
    cause may pass; when the same bytes have failed three times they are buried.
    """

    def __init__(
        self, flush: Flush, bury: Bury, metrics: Metrics, *, follow_up: FollowUp = lambda: None
    ) -> None:
        self._flush = flush
        self._follow_up = follow_up
        self._bury = bury
        self._metrics = metrics
        self._failures: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    def __call__(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> Sequence[Verdict]:
        """Return one verdict for each request."""
        try:
            verdicts = self._flush(bodies, tenants)
            if len(verdicts) != len(bodies):
                raise UnexpectedError(f"{len(verdicts)} verdicts on {len(bodies)} requests")
            return verdicts
        except RetryableStoreError as refusal:
            return [Verdict(refusal=refusal)] * len(bodies)
        # A mistake of ours must neither cost data nor stop the server; a panic in Rust code
        # (polars, ptars) is no Exception.
        except BaseException as error:
            self._metrics.errors.labels("flush").inc()
            _logger.exception("flush failed", extra={"requests": len(bodies)})
            if len(bodies) == 1:
                return [self._blame(bodies[0], tenants[0], error)]
        half = len(bodies) // 2
        return [*self(bodies[:half], tenants[:half]), *self(bodies[half:], tenants[half:])]

    def follow_up(self) -> None:
        """Do what comes after the answers; a failure costs no sender anything."""
        try:
            self._follow_up()
        except RetryableStoreError as error:
            self._metrics.errors.labels("follow_up").inc()
            _logger.warning("traces are not stored yet", extra={"detail": str(error)})
        # What is derived can be derived again; a panic in Rust code is no Exception.
        except BaseException:
            self._metrics.errors.labels("follow_up").inc()
            _logger.exception("traces could not be rolled up")

    def _blame(self, body: bytes, tenant: str, error: BaseException) -> Verdict:
        payload = (tenant, blake2b(body, digest_size=16).digest())
        failures = self._failures.pop(payload, 0) + 1
        if failures < _CHANCES:
            self._failures[payload] = failures
            if len(self._failures) > _REMEMBERED_FAILURES:
                self._failures.popitem(last=False)
            return Verdict(refusal=UnexpectedError("the request could not be handled"))
        try:
            return self._bury(body, tenant, f"{type(error).__name__}: {error}")
        # Likewise: the grave is in the same store and may fail in the same way.
        except BaseException:
            self._metrics.errors.labels("dead_letter").inc()
            _logger.exception("a request could not be put into dead_letter")
            self._failures[payload] = failures
            return Verdict(refusal=UnexpectedError("the request could not be handled"))
