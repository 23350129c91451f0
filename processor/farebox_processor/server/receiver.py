"""What both transports do with a request once its bytes are there: wait for an answer in time."""

import asyncio
import logging
from typing import Final

from farebox_processor.config import ServerConfig
from farebox_processor.errors import (
    BadRequestError,
    FareboxError,
    RequestTooLargeError,
    RetryableStoreError,
    TenantShareError,
)
from farebox_processor.server.auth import Admission
from farebox_processor.server.budget import Budget
from farebox_processor.server.flush import UnexpectedError, Verdict
from farebox_processor.server.gathering import Gatherer
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.statuses import Answer, Condition

__all__ = ["Receiver", "refusal"]

_logger = logging.getLogger(__name__)

_ANSWER_MARGIN_S: Final = 0.5
"""An answer that comes after the sender's deadline is no answer: it would repeat the request and
never learn that it should wait."""

_CONDITIONS: Final = (
    (BadRequestError, Condition.UNDECODABLE),
    (RequestTooLargeError, Condition.TOO_LARGE),
    (RetryableStoreError, Condition.UNAVAILABLE),
    (TenantShareError, Condition.THROTTLED),
    (UnexpectedError, Condition.UNEXPECTED),
)


class Receiver:
    """Takes requests while the server accepts, and answers each within its time."""

    def __init__(
        self,
        gatherer: Gatherer,
        settings: ServerConfig,
        *,
        admission: Admission,
        budget: Budget,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.admission = admission
        self.budget = budget
        self.metrics = metrics
        self.accepting = True
        self._gatherer = gatherer

    async def receive(self, body: bytes, tenant: str, remaining_s: float | None = None) -> Answer:
        """Return the answer to a request of which the sender waits `remaining_s` at most."""
        if not self.accepting:
            return Answer(Condition.UNAVAILABLE, "the server is stopping; try again")
        try:
            async with asyncio.timeout(self._patience_s(remaining_s)):
                return _answer(await self._gatherer.submit(body, tenant))
        except TimeoutError:
            return Answer(Condition.UNAVAILABLE, "not stored in time; try again")
        except FareboxError as error:
            return refusal(error)

    def at_fault(self, error: Exception) -> Answer:
        """Log and count an error that nobody expected, and return the answer to its request."""
        self.metrics.errors.labels("listener").inc()
        _logger.error("a request could not be handled", exc_info=error)
        return refusal(UnexpectedError("the request could not be handled; try again"))

    def count(self, transport: str, answer: Answer) -> None:
        """Count an answer, and log it if it refuses the request."""
        self.metrics.requests_answered.labels(transport, answer.condition).inc()
        if answer.status.http != 200:
            _logger.warning(
                "request refused",
                extra={"reason": str(answer.condition), "detail": answer.message},
            )

    def _patience_s(self, remaining_s: float | None) -> float:
        longest_s = self.settings.answer_within_ms / 1000
        if remaining_s is None:
            return longest_s
        return min(longest_s, max(remaining_s - _ANSWER_MARGIN_S, remaining_s / 2))


def refusal(error: FareboxError) -> Answer:
    """Return the answer for an error. What is not known to be final is tried again."""
    for kind, condition in _CONDITIONS:
        if isinstance(error, kind):
            return Answer(condition, str(error))
    return Answer(Condition.UNEXPECTED, "the request could not be handled; try again")


def _answer(verdict: Verdict) -> Answer:
    if verdict.refusal is not None:
        return refusal(verdict.refusal)
    if verdict.rejected:
        return Answer(Condition.PARTLY_REJECTED, verdict.message, verdict.rejected)
    if verdict.accepted == 0:
        return Answer(Condition.EMPTY, verdict.message)
    return Answer(Condition.STORED, verdict.message)
