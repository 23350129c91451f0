"""A flush that breaks costs nobody's spans but, in the end, those of the request that breaks it."""

import pytest

from farebox_processor.errors import RetryableStoreError
from farebox_processor.server.flush import SteadyFlush, UnexpectedError, Verdict
from farebox_processor.server.metrics import Metrics


class Fragile:
    """Stores every body but the ones that begin with `bad`."""

    def __init__(self, error: BaseException):
        self.error = error
        self.stored: list[bytes] = []
        self.buried: list[tuple[bytes, str]] = []

    def __call__(self, bodies, tenants):
        if any(body.startswith(b"bad") for body in bodies):
            raise self.error
        self.stored.extend(bodies)
        return [Verdict(accepted=1)] * len(bodies)

    def bury(self, body, tenant, detail):
        self.buried.append((body, detail))
        return Verdict(rejected=1)


def outcome(verdict):
    return type(verdict.refusal) if verdict.refusal else (verdict.accepted, verdict.rejected)


class PanicException(BaseException):
    """What a panic in Rust code looks like."""


@pytest.mark.parametrize("error", [ValueError("boom"), PanicException("boom")])
def test_only_the_request_that_breaks_the_flush_is_to_be_sent_again(error):
    fragile = Fragile(error)
    steady = SteadyFlush(fragile, fragile.bury, Metrics())

    verdicts = steady([b"a", b"b", b"bad", b"c", b"d"], [""] * 5)

    assert [outcome(one) for one in verdicts] == [
        (1, 0),
        (1, 0),
        UnexpectedError,
        (1, 0),
        (1, 0),
    ]
    assert sorted(fragile.stored) == [b"a", b"b", b"c", b"d"]


def test_a_request_that_breaks_the_flush_three_times_is_buried():
    fragile = Fragile(ValueError("boom"))
    steady = SteadyFlush(fragile, fragile.bury, Metrics())

    verdicts = [steady([b"bad"], [""])[0] for _ in range(4)]

    assert [outcome(one) for one in verdicts] == [
        UnexpectedError,
        UnexpectedError,
        (0, 1),
        UnexpectedError,
    ]
    assert fragile.buried == [(b"bad", "ValueError: boom")]


def test_the_same_bytes_of_another_tenant_count_apart():
    fragile = Fragile(ValueError("boom"))
    steady = SteadyFlush(fragile, fragile.bury, Metrics())

    for tenant in ("acme", "globex", "acme", "globex"):
        steady([b"bad"], [tenant])

    assert fragile.buried == []


def test_a_request_that_cannot_be_buried_either_is_to_be_sent_again():
    fragile = Fragile(ValueError("boom"))

    def no_grave(body, tenant, detail):
        raise RetryableStoreError("ClickHouse is away")

    steady = SteadyFlush(fragile, no_grave, Metrics())

    verdicts = [steady([b"bad"], [""])[0] for _ in range(4)]

    assert [outcome(one) for one in verdicts] == [UnexpectedError] * 4


def test_a_store_that_is_away_blames_no_request():
    fragile = Fragile(RetryableStoreError("ClickHouse is away"))
    steady = SteadyFlush(fragile, fragile.bury, Metrics())

    verdicts = [one for _ in range(4) for one in steady([b"bad", b"bad"], ["", ""])]

    assert [outcome(one) for one in verdicts] == [RetryableStoreError] * 8
    assert fragile.buried == []


def test_a_flush_that_forgets_a_verdict_is_a_flush_that_fails():
    metrics = Metrics()
    steady = SteadyFlush(lambda bodies, tenants: [], Fragile(ValueError()).bury, metrics)

    verdicts = steady([b"a", b"b"], ["", ""])

    assert [outcome(one) for one in verdicts] == [UnexpectedError, UnexpectedError]
    assert metrics.registry.get_sample_value("farebox_errors_total", {"where": "flush"}) == 3
