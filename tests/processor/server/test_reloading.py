"""Rules are loaded again while the server runs; a mistake in them changes nothing."""

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from farebox_processor.config import Config
from farebox_processor.errors import PriceBookError
from farebox_processor.pipeline import Rules
from farebox_processor.rules import load_rules
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.reloading import Reloading


@dataclass
class Follower:
    rules: Rules


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def loads(metrics: Metrics) -> dict[str, float]:
    samples = (sample for metric in metrics.registry.collect() for sample in metric.samples)
    return {
        sample.labels["result"]: sample.value
        for sample in samples
        if sample.name == "farebox_rules_loads_total"
    }


@pytest.fixture(scope="module")
def shipped() -> Rules:
    return load_rules(Config())


def test_rules_that_can_be_used_are_published_and_handed_to_everyone(
    shipped: Rules, metrics: Metrics
) -> None:
    followers = [Follower(cast("Any", None)), Follower(cast("Any", None))]
    published: list[Rules] = []

    assert Reloading(lambda: shipped, published.append, followers, metrics).reload() is True

    assert [each.rules for each in followers] == [shipped, shipped]
    assert published == [shipped]
    assert loads(metrics) == {"loaded": 1}


def test_a_price_file_with_a_mistake_leaves_the_rules_in_use_and_is_named(
    shipped: Rules, metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overlay = tmp_path / "prices.yaml"
    overlay.write_text("models: [{provider: openai, modell: gpt-4o}]\n", encoding="utf-8")
    follower = Follower(shipped)

    def load() -> Rules:
        config = Config.load(None, {"FAREBOX_PRICES__OVERLAYS": str(overlay)})
        return load_rules(config)

    assert Reloading(load, lambda _: None, [follower], metrics).reload() is False

    assert follower.rules is shipped
    [record] = caplog.records
    assert f"{overlay}:1" in cast("Any", record).reason
    assert loads(metrics) == {"kept": 1}


def test_an_error_of_our_own_leaves_the_rules_in_use_and_is_counted(
    shipped: Rules, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(shipped)

    def load() -> Rules:
        raise KeyError("unforeseen")

    assert Reloading(load, lambda _: None, [follower], metrics).reload() is False

    assert follower.rules is shipped
    assert loads(metrics) == {"kept": 1}
    assert metrics.registry.get_sample_value("farebox_errors_total", {"where": "reload"}) == 1
    [record] = caplog.records
    assert record.exc_info is not None


def test_a_store_that_does_not_answer_leaves_the_rules_in_use(
    shipped: Rules, metrics: Metrics
) -> None:
    follower = Follower(cast("Any", None))

    def refuse(_: Rules) -> None:
        raise PriceBookError("the store is away")

    assert Reloading(lambda: shipped, refuse, [follower], metrics).reload() is False
    assert follower.rules is None


def test_sighup_asks_for_it(shipped: Rules, metrics: Metrics) -> None:
    loaded = threading.Event()
    before = signal.getsignal(signal.SIGHUP)
    try:
        Reloading(lambda: shipped, lambda _: loaded.set(), [], metrics).listen()
        os.kill(os.getpid(), signal.SIGHUP)
        assert loaded.wait(timeout=30)
    finally:
        signal.signal(signal.SIGHUP, before)
