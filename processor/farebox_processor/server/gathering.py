"""Requests that wait for the same flush: one at a time goes in, one verdict each comes out."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from farebox_processor.config import FlushConfig
from farebox_processor.server.budget import Budget
from farebox_processor.server.flush import SteadyFlush, Verdict
from farebox_processor.server.metrics import Metrics

__all__ = ["Gatherer", "in_thread"]

_Result = TypeVar("_Result")


@dataclass(eq=False, slots=True)
class _Waiting:
    body: bytes
    tenant: str
    verdict: asyncio.Future[Verdict]
    since: float = field(default_factory=time.monotonic)


class Gatherer:
    """Gathers requests and flushes them together, gathering on while a flush runs."""

    def __init__(
        self, flush: SteadyFlush, limits: FlushConfig, *, budget: Budget, metrics: Metrics
    ) -> None:
        self._flush = flush
        self._limits = limits
        self._budget = budget
        self._metrics = metrics
        # Insertion-ordered: the first is the oldest, and one that gave up is removed at once.
        self._waiting: dict[_Waiting, None] = {}
        self._waiting_bytes = 0
        self._unfinished = 0
        self._following_up = False
        self._hurried = False
        self._some_wait = asyncio.Event()
        self._due = asyncio.Event()  # before the interval is over
        self._none_left = asyncio.Event()
        metrics.in_flight_bytes.set_function(lambda: budget.in_use_bytes)
        metrics.oldest_waiting_seconds.set_function(self._oldest_waiting_seconds)

    @property
    def unfinished(self) -> int:
        """How many requests have no verdict yet."""
        return self._unfinished

    async def submit(self, body: bytes, tenant: str) -> Verdict:
        """Wait for the verdict on a request.

        When cancelled, a request that is not yet part of a flush is forgotten. Raises
        RetryableStoreError or TenantShareError where too much is in flight already.
        """
        self._budget.take(len(body), tenant)
        waiting = _Waiting(body, tenant, asyncio.get_running_loop().create_future())
        self._waiting[waiting] = None
        self._waiting_bytes += len(body)
        self._unfinished += 1
        self._tell()
        try:
            return await waiting.verdict
        finally:
            if waiting in self._waiting:
                self._remove(waiting)
                self._finish(waiting)
                self._tell()

    async def run(self) -> None:
        """Flush whatever comes, for ever."""
        while True:
            await self._some_wait.wait()
            remaining_s = self._limits.interval_ms / 1000 - self._oldest_waiting_seconds()
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining_s):
                    await self._due.wait()
            await self._flush_once(self._take())

    async def drain(self) -> None:
        """Flush without waiting for company, until nothing is left."""
        self._hurried = True
        self._tell()
        await self._none_left.wait()

    def _tell(self) -> None:
        """Bring the events in line with what waits."""
        full = (
            self._waiting_bytes >= self._limits.max_bytes
            or len(self._waiting) >= self._limits.max_requests
        )
        for event, holds in (
            (self._some_wait, bool(self._waiting)),
            (self._due, full or self._hurried),
            (self._none_left, self._unfinished == 0 and not self._following_up),
        ):
            event.set() if holds else event.clear()

    def _take(self) -> Sequence[_Waiting]:
        batch: list[_Waiting] = []
        size_bytes = 0
        for waiting in _in_turns(self._waiting):
            size_bytes += len(waiting.body)
            if batch and size_bytes > self._limits.max_bytes:
                break
            if len(batch) == self._limits.max_requests:
                break
            batch.append(waiting)
            self._remove(waiting)
        self._tell()
        return batch

    async def _flush_once(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        bodies = [waiting.body for waiting in batch]
        tenants = [waiting.tenant for waiting in batch]
        with self._metrics.flush_seconds.time():
            verdicts = await in_thread(lambda: self._flush(bodies, tenants))
        for waiting, verdict in zip(batch, verdicts, strict=True):
            # Whoever waited too long was told to try again; repeated spans do no harm.
            if not waiting.verdict.done():
                waiting.verdict.set_result(verdict)
            self._finish(waiting)
        self._following_up = True
        self._tell()
        await in_thread(self._flush.follow_up)
        self._following_up = False
        self._tell()

    def _remove(self, waiting: _Waiting) -> None:
        del self._waiting[waiting]
        self._waiting_bytes -= len(waiting.body)

    def _finish(self, waiting: _Waiting) -> None:
        self._budget.give_back(len(waiting.body), waiting.tenant)
        self._unfinished -= 1

    def _oldest_waiting_seconds(self) -> float:
        oldest = next(iter(self._waiting), None)
        return time.monotonic() - oldest.since if oldest else 0.0


def _in_turns(waiting: Iterable[_Waiting]) -> list[_Waiting]:
    """Return the requests so that tenants take turns, byte by byte, each one's oldest first.

    However much one of them sends, what another one sends now is part of the next flush.
    """
    ahead: Counter[str] = Counter()
    places: dict[_Waiting, int] = {}
    for one in waiting:
        places[one] = ahead[one.tenant]
        ahead[one.tenant] += len(one.body)
    return sorted(places, key=places.__getitem__)


async def in_thread(call: Callable[[], _Result]) -> _Result:
    """Run a call in a thread of its own that does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        # A server that was forced to stop has closed its loop.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else outcome())

    def work() -> None:
        try:
            result = call()
        # Whatever it is belongs to the caller; a panic in Rust code is no Exception.
        except BaseException as error:
            failure = error
            settle(lambda: done.set_exception(failure))
        else:
            settle(lambda: done.set_result(result))

    threading.Thread(target=work, name="farebox-flush", daemon=True).start()
    return await done
