"""Health, readiness and metrics."""

import threading

import pytest
from prometheus_client import generate_latest

from farebox_processor.errors import RetryableStoreError
from farebox_processor.server import admin
from farebox_processor.server.metrics import Metrics


def test_a_server_that_can_store_is_ready(start):
    serving = start()

    replies = [serving.admin("/healthz"), serving.admin("/readyz")]

    assert [(one.status, one.body) for one in replies] == [(200, b"alive\n"), (200, b"ready\n")]


def test_a_server_that_cannot_store_is_alive_but_not_ready(start):
    def check_store():
        raise RetryableStoreError("no ClickHouse answers at db")

    serving = start(check_store=check_store)

    replies = [serving.admin("/healthz"), serving.admin("/readyz")]

    assert [(one.status, one.body) for one in replies] == [
        (200, b"alive\n"),
        (503, b"no ClickHouse answers at db\n"),
    ]


def test_requests_are_counted_by_transport_and_ending(flush, start, span_request):
    serving = start()

    serving.send_grpc(span_request("a"))
    serving.send_http(span_request("b"))
    serving.send_http(b"garbage")
    exposition = serving.admin("/metrics").body.decode()

    requests = {
        line
        for line in exposition.splitlines()
        if line.startswith("farebox_requests_") and "_created" not in line
    }
    assert requests == {
        'farebox_requests_received_total{transport="grpc"} 1.0',
        'farebox_requests_received_total{transport="http"} 2.0',
        'farebox_requests_answered_total{condition="stored",transport="grpc"} 1.0',
        'farebox_requests_answered_total{condition="stored",transport="http"} 1.0',
        'farebox_requests_answered_total{condition="undecodable",transport="http"} 1.0',
    }


def test_otlp_is_not_spoken_on_the_admin_port(start, span_request):
    serving = start()

    assert serving.send_http(span_request("a"), port=serving.ports.admin).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/readyz"])
def test_the_otlp_port_tells_nothing_about_the_server(path, start):
    assert start().request("GET", path).status == 404


def test_models_beyond_the_limit_of_labels_are_counted_together():
    metrics = Metrics()
    for number in range(150):
        metrics.count_unpriced(f"model-{number}", 1)

    value = metrics.registry.get_sample_value
    assert value("farebox_spans_unpriced_total", {"model": "model-99"}) == 1
    assert value("farebox_spans_unpriced_total", {"model": "other"}) == 50


def test_a_store_that_hangs_is_asked_once_however_often_readiness_is(start, monkeypatch):
    monkeypatch.setattr(admin, "_CHECK_TIMEOUT_S", 0.05)
    asked, leave = [], threading.Event()

    def check_store():
        asked.append(1)
        leave.wait(10)

    serving = start(check_store=check_store)
    replies = [serving.admin("/readyz") for _ in range(3)]
    leave.set()

    assert [(one.status, one.body) for one in replies] == [
        (503, b"the store does not answer\n")
    ] * 3
    assert len(asked) == 1


def test_the_label_of_a_model_is_short_however_long_its_name():
    metrics = Metrics()

    metrics.count_unpriced("m" * 100_000, 1)

    assert len(generate_latest(metrics.registry)) < 50_000
