"""Rules and tokens are loaded again while the server runs; a mistake in them changes nothing."""

import os
import signal
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from farebox_processor.config import Config
from farebox_processor.errors import PriceBookError
from farebox_processor.pipeline import Rules
from farebox_processor.rules import load_rules
from farebox_processor.server.auth import Admission
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.reloading import Reloading, reload_on_sighup
from farebox_processor.server.statuses import Answer, Condition


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def entry(tenant: str, token: str) -> str:
    return f"- {{tenant: {tenant}, sha256: {sha256(token.encode()).hexdigest()}}}\n"


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    """A file that lets one token in: `first`, of acme."""
    path = tmp_path / "tokens.yaml"
    path.write_text(entry("acme", "first"), encoding="utf-8")
    return path


def reloads(metrics: Metrics) -> dict[tuple[str, str], float]:
    samples = (sample for metric in metrics.registry.collect() for sample in metric.samples)
    return {
        (sample.labels["what"], sample.labels["result"]): sample.value
        for sample in samples
        if sample.name == "farebox_reloads_total"
    }


def test_what_can_be_used_is_put_in_force(metrics: Metrics) -> None:
    in_force: list[str] = []

    assert Reloading("rules", lambda: "new", in_force.append, metrics).reload() is True

    assert in_force == ["new"]
    assert reloads(metrics) == {("rules", "loaded"): 1}


def test_a_price_file_with_a_mistake_leaves_the_rules_in_use_and_is_named(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overlay = tmp_path / "prices.yaml"
    overlay.write_text("models: [{provider: openai, modell: gpt-4o}]\n", encoding="utf-8")
    in_force: list[Rules] = []

    def load() -> Rules:
        config = Config.load(None, {"FAREBOX_PRICES__OVERLAYS": str(overlay)})
        return load_rules(config)

    assert Reloading("rules", load, in_force.append, metrics).reload() is False

    assert in_force == []
    [record] = caplog.records
    assert record.getMessage() == "the rules in use are kept"
    assert f"{overlay}:1" in cast("Any", record).reason
    assert reloads(metrics) == {("rules", "kept"): 1}


def test_a_token_that_was_taken_out_of_the_file_is_refused_and_a_new_one_let_in(
    metrics: Metrics, tokens_file: Path
) -> None:
    config = Config.load(None, {"FAREBOX_TENANTS__TOKENS_FILE": str(tokens_file)})
    admission = Admission(config.tokens)
    assert [admission.admit(f"Bearer {token}") for token in ("first", "second")] == [
        "acme",
        Answer(Condition.UNAUTHENTICATED, "the token is not known"),
    ]

    tokens_file.write_text(entry("globex", "second"), encoding="utf-8")
    Reloading("tokens", config.read_tokens, admission.take, metrics).reload()

    assert [admission.admit(f"Bearer {token}") for token in ("first", "second")] == [
        Answer(Condition.UNAUTHENTICATED, "the token is not known"),
        "globex",
    ]
    assert reloads(metrics) == {("tokens", "loaded"): 1}


@pytest.mark.parametrize("mistake", ["", "[]", "- {tenant: acme}", "- ["])
def test_a_tokens_file_with_a_mistake_neither_lets_anybody_in_nor_keeps_anybody_out(
    metrics: Metrics, tokens_file: Path, mistake: str
) -> None:
    config = Config.load(None, {"FAREBOX_TENANTS__TOKENS_FILE": str(tokens_file)})
    admission = Admission(config.tokens)

    tokens_file.write_text(mistake, encoding="utf-8")
    Reloading("tokens", config.read_tokens, admission.take, metrics).reload()

    assert admission.admit("Bearer first") == "acme"
    assert admission.admit(None) == Answer(
        Condition.UNAUTHENTICATED, "send `authorization: Bearer <token>`"
    )
    assert reloads(metrics) == {("tokens", "kept"): 1}


def test_an_error_of_our_own_leaves_the_rules_in_use_and_is_counted(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    in_force: list[Rules] = []

    def load() -> Rules:
        raise KeyError("unforeseen")

    assert Reloading("rules", load, in_force.append, metrics).reload() is False

    assert in_force == []
    assert reloads(metrics) == {("rules", "kept"): 1}
    assert metrics.registry.get_sample_value("farebox_errors_total", {"where": "reload"}) == 1
    [record] = caplog.records
    assert record.exc_info is not None


def test_sighup_asks_for_all_of_it_whatever_becomes_of_the_first(metrics: Metrics) -> None:
    loaded = threading.Event()

    def refuse() -> None:
        raise PriceBookError("the file is gone")

    before = signal.getsignal(signal.SIGHUP)
    try:
        reload_on_sighup(
            Reloading("tokens", refuse, lambda _: None, metrics),
            Reloading("rules", lambda: None, lambda _: loaded.set(), metrics),
        )
        os.kill(os.getpid(), signal.SIGHUP)
        assert loaded.wait(timeout=30)
    finally:
        signal.signal(signal.SIGHUP, before)
