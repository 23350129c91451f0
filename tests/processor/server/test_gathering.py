"""Requests wait for company, one flush at a time, and never more bytes than allowed."""

import asyncio
import threading

import pytest

from farebox_processor.config import FlushConfig
from farebox_processor.errors import RetryableStoreError, TenantShareError
from farebox_processor.server.budget import Budget
from farebox_processor.server.flush import SteadyFlush, Verdict
from farebox_processor.server.gathering import Gatherer
from farebox_processor.server.metrics import Metrics


class HeldFlush:
    """A flush that ends when the test says so."""

    def __init__(self):
        self.batches: list[list[bytes]] = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def __call__(self, bodies, tenants):
        self.batches.append(list(bodies))
        self.entered.release()
        self.leave.acquire(timeout=10)
        return [Verdict(accepted=int(body)) for body in bodies]


def gathering(flush, scenario, *, limit_bytes=100, tenant_limit_bytes=None, **limits):
    """Run a scenario beside a gatherer, which is cancelled at its end."""

    async def run():
        metrics = Metrics()
        budget = Budget(limit_bytes, tenant_limit_bytes)
        steady = SteadyFlush(flush, None, metrics)
        gatherer = Gatherer(steady, FlushConfig(**limits), budget=budget, metrics=metrics)
        running = asyncio.create_task(gatherer.run())
        try:
            return await asyncio.wait_for(scenario(gatherer, budget), 20)
        finally:
            running.cancel()

    return asyncio.run(run())


def submit(gatherer, *bodies, tenant=""):
    return [asyncio.create_task(gatherer.submit(body, tenant)) for body in bodies]


async def entered(flush):
    assert await asyncio.to_thread(flush.entered.acquire, timeout=10)


def test_what_comes_during_a_flush_goes_into_the_next_one_together():
    flush = HeldFlush()

    async def scenario(gatherer, budget):
        first = submit(gatherer, b"1")
        await entered(flush)
        others = submit(gatherer, b"2", b"3", b"4")
        flush.leave.release(2)
        return [one.accepted for one in await asyncio.gather(*first, *others)]

    accepted = gathering(flush, scenario, interval_ms=0)

    assert accepted == [1, 2, 3, 4]
    assert flush.batches == [[b"1"], [b"2", b"3", b"4"]]


@pytest.mark.parametrize("limits", [{"max_requests": 2}, {"max_bytes": 2}])
def test_a_full_batch_does_not_wait_for_the_interval(limits):
    flush = HeldFlush()
    flush.leave.release(2)

    async def scenario(gatherer, budget):
        return await asyncio.gather(*submit(gatherer, b"1", b"2"))

    gathering(flush, scenario, interval_ms=3_600_000, **limits)

    assert flush.batches == [[b"1", b"2"]]


def test_a_request_larger_than_a_flush_goes_alone():
    flush = HeldFlush()
    flush.leave.release(3)

    async def scenario(gatherer, budget):
        return await asyncio.gather(*submit(gatherer, b"1", b"10000", b"2"))

    gathering(flush, scenario, interval_ms=0, max_bytes=3)

    assert flush.batches == [[b"1"], [b"10000"], [b"2"]]


def test_above_the_bytes_in_flight_a_request_is_to_be_sent_again():
    flush = HeldFlush()

    async def scenario(gatherer, budget):
        first = submit(gatherer, b"11111")
        await entered(flush)
        with pytest.raises(RetryableStoreError, match="in flight"):
            await gatherer.submit(b"222222", "")
        flush.leave.release()
        await asyncio.gather(*first)
        return budget.in_use_bytes

    assert gathering(flush, scenario, interval_ms=0, limit_bytes=10) == 0


def test_a_tenant_with_its_share_in_flight_is_told_so_and_others_are_served():
    flush = HeldFlush()
    flush.leave.release(3)

    async def scenario(gatherer, budget):
        greedy = submit(gatherer, b"11", b"22", tenant="greedy")
        await asyncio.sleep(0)
        with pytest.raises(TenantShareError, match="this tenant"):
            await gatherer.submit(b"33", "greedy")
        await gatherer.submit(b"44", "modest")
        await asyncio.gather(*greedy)
        await gatherer.submit(b"55", "greedy")
        return budget.in_use_bytes

    left = gathering(flush, scenario, interval_ms=0, limit_bytes=10, tenant_limit_bytes=5)

    assert left == 0


def test_what_a_tenant_sends_is_in_the_next_flush_however_much_waits_of_another():
    flush = HeldFlush()

    async def scenario(gatherer, budget):
        first = submit(gatherer, b"1")
        await entered(flush)
        much = submit(gatherer, b"10", b"11", b"12", b"13", tenant="greedy")
        little = submit(gatherer, b"20", b"2", tenant="modest")
        await asyncio.sleep(0)
        flush.leave.release(4)
        await asyncio.gather(*first, *much, *little)

    gathering(flush, scenario, interval_ms=0, max_bytes=4)

    assert flush.batches == [[b"1"], [b"10", b"20"], [b"11", b"2"], [b"12", b"13"]]


def test_a_request_whose_sender_left_is_not_flushed():
    flush = HeldFlush()

    async def scenario(gatherer, budget):
        first = submit(gatherer, b"1")
        await entered(flush)
        (left, stays) = submit(gatherer, b"2", b"3")
        await asyncio.sleep(0)
        left.cancel()
        flush.leave.release(2)
        await asyncio.gather(*first, stays)
        return budget.in_use_bytes, gatherer.unfinished

    assert gathering(flush, scenario, interval_ms=0) == (0, 0)
    assert flush.batches == [[b"1"], [b"3"]]


def test_the_bytes_of_a_sender_who_left_during_the_flush_stay_counted_until_its_end():
    flush = HeldFlush()

    async def scenario(gatherer, budget):
        (first,) = submit(gatherer, b"1")
        await entered(flush)
        first.cancel()
        await asyncio.sleep(0)
        during = budget.in_use_bytes
        flush.leave.release()
        await gatherer.drain()
        return during, budget.in_use_bytes

    assert gathering(flush, scenario, interval_ms=0) == (1, 0)


def test_draining_waits_for_nobody_else():
    flush = HeldFlush()
    flush.leave.release(1)

    async def scenario(gatherer, budget):
        tasks = submit(gatherer, b"1", b"2")
        await asyncio.sleep(0)
        await gatherer.drain()
        return [one.accepted for one in await asyncio.gather(*tasks)]

    assert gathering(flush, scenario, interval_ms=3_600_000) == [1, 2]
