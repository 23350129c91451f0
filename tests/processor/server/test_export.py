"""Stored spans are sent on, enriched, and whatever the downstream does costs no sender."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import polars as pl
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from farebox_processor.config import ExportConfig, Secret
from farebox_processor.dialects import load_dialects
from farebox_processor.enriched_otlp import Enriched, Flushed, enrich
from farebox_processor.enrichment import Attached
from farebox_processor.live_traces import LiveTraces
from farebox_processor.otlp import decode
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server import export
from farebox_processor.server.export import Exporter
from farebox_processor.server.flush import Verdict
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.store.writer import Writer
from support.otlp_downstream import Behave, Downstream, spans_in

CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus"
WITHIN_S = 20


@pytest.fixture
def downstream() -> Iterator[Downstream]:
    receiver = Downstream()
    server = receiver.listen()
    yield receiver
    receiver.go_on.set()
    server.stop(None).wait()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def exporter_to(metrics: Metrics) -> Iterator[Callable[..., Exporter]]:
    """Return a function that starts an exporter to a port, with changes to its settings."""
    running: list[Exporter] = []

    def start(port: int, **settings: object) -> Exporter:
        config = ExportConfig(**({"insecure": True} | settings))
        running.append(Exporter(config, f"127.0.0.1:{port}", metrics))
        return running[-1]

    yield start
    for exporter in running:
        exporter.stop(within_s=0)


def flushed(*requests: list[str]) -> Flushed:
    """Return a flush of requests with spans of these names."""
    bodies = []
    for names in requests:
        message = ExportTraceServiceRequest()
        scope = message.resource_spans.add().scope_spans.add()
        for number, name in enumerate(names, start=1):
            scope.spans.add(name=name, trace_id=b"t" * 16, span_id=bytes([number]) * 8)
        bodies.append(message.SerializeToString())
    nothing = Attached(pl.Series([], dtype=pl.UInt32), pl.DataFrame())
    return Flushed.of(bodies, decode(bodies, [""] * len(bodies)), nothing)


def failing(downstream: Downstream, *codes: grpc.StatusCode, trailers=()) -> Behave:
    """Refuse with one code after another, and then accept."""
    left = list(codes)

    def behave(request: ExportTraceServiceRequest, context: grpc.ServicerContext):
        if left:
            context.set_trailing_metadata(trailers)
            context.abort(left.pop(0), "said the downstream")
        return ExportTraceServiceResponse()

    return behave


def outcome(metrics: Metrics) -> dict[str, float]:
    """Return how many spans were sent, and dropped by reason."""
    return {
        sample.labels.get("reason", "sent"): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("farebox_export_spans") and sample.name.endswith("_total")
        if sample.value
    }


def test_spans_arrive_as_they_were_sent_with_what_was_attached(
    client, downstream, exporter_to, metrics
) -> None:
    rules = Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())
    exporter = exporter_to(downstream.port)
    ingest = Ingest(Writer(client), rules, LiveTraces(1_000), Metrics(), "none", export=exporter)
    body = (CORPUS / "go_openai_chat" / "case.pb").read_bytes()

    [verdict] = ingest.flush([body], ["acme"])
    exporter.stop(WITHIN_S)

    [sent] = spans_in(ExportTraceServiceRequest.FromString(body))
    [got] = spans_in(downstream.taken[0])
    added = {one.key: one.value for one in got.attributes[len(sent.attributes) :]}
    del got.attributes[len(sent.attributes) :]
    assert got == sent
    assert downstream.taken[0].resource_spans[0].resource.attributes
    assert (
        added["farebox.cost.usd"].string_value
        == added["farebox.conversation.cost_usd"].string_value
    )
    assert added["farebox.conversation.turns"].int_value == 1
    assert added["farebox.conversation.tier"].string_value == "simple"
    assert added["farebox.conversation.tier_price_usd"].string_value == "0.02"
    assert outcome(metrics) == {"sent": verdict.accepted}


def test_small_requests_are_sent_together_with_the_headers(downstream, exporter_to) -> None:
    headers = Secret("Authorization=Bearer a=b, x-scope=traces")
    exporter = exporter_to(downstream.port, headers=headers)

    exporter(flushed(["a"], ["b", "c"], ["d"]))
    exporter.stop(WITHIN_S)

    assert (len(downstream.taken), downstream.names) == (1, ["a", "b", "c", "d"])
    assert downstream.metadata[0]["authorization"] == "Bearer a=b"
    assert downstream.metadata[0]["x-scope"] == "traces"


def test_while_the_downstream_does_not_answer_senders_do(
    client, downstream, exporter_to, metrics
) -> None:
    downstream.behave = downstream.hold
    rules = Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())
    body = (CORPUS / "go_openai_chat" / "case.pb").read_bytes()
    exporter = exporter_to(downstream.port, queue_max_bytes=len(body) * 3 // 2)
    ingest = Ingest(Writer(client), rules, LiveTraces(1_000), Metrics(), "none", export=exporter)

    verdicts = [ingest.flush([body], ["acme"]) for _ in range(3)]
    told_before = outcome(metrics)
    downstream.go_on.set()
    exporter.stop(WITHIN_S)

    assert verdicts == [[Verdict(1)]] * 3
    assert told_before == {"queue_full": 2}
    assert outcome(metrics) == {"queue_full": 2, "sent": 1}


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DATA_LOSS]
)
def test_what_can_be_tried_again_is(downstream, exporter_to, metrics, code) -> None:
    downstream.behave = failing(downstream, code, code)
    exporter = exporter_to(downstream.port)

    exporter(flushed(["a"]))
    exporter.stop(WITHIN_S)

    assert (downstream.names, outcome(metrics)) == (["a"], {"sent": 1})


def test_an_exhausted_downstream_that_says_when_is_asked_again(
    downstream, exporter_to, metrics
) -> None:
    info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=1))
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=8, details=[packed]).SerializeToString()
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = (("grpc-status-details-bin", status),)
    downstream.behave = failing(downstream, exhausted, trailers=trailers)
    exporter = exporter_to(downstream.port)

    exporter(flushed(["a"]))
    exporter.stop(WITHIN_S)

    assert outcome(metrics) == {"sent": 1}


def test_what_is_refused_for_good_is_dropped_counted_and_logged_once(
    downstream, exporter_to, metrics, caplog
) -> None:
    denied = grpc.StatusCode.PERMISSION_DENIED
    downstream.behave = failing(downstream, denied, denied)
    exporter = exporter_to(downstream.port)

    with caplog.at_level(logging.WARNING):
        for name in ("a", "b", "c"):
            exporter(flushed([name]))
        exporter.stop(WITHIN_S)

    assert outcome(metrics) == {"refused": 2, "sent": 1}
    assert [(one.reason, one.detail) for one in caplog.records] == [
        ("refused", "PERMISSION_DENIED: said the downstream")
    ]


def test_a_request_that_is_refused_costs_its_neighbours_nothing(
    downstream, exporter_to, metrics
) -> None:
    def refuse_bad(request: ExportTraceServiceRequest, context: grpc.ServicerContext):
        if any(span.name == "bad" for span in spans_in(request)):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad")
        return ExportTraceServiceResponse()

    downstream.behave = refuse_bad
    exporter = exporter_to(downstream.port)

    exporter(flushed(["a"], ["b"], ["bad"], ["c"]))
    exporter.stop(WITHIN_S)

    assert (downstream.names, outcome(metrics)) == (["a", "b", "c"], {"sent": 3, "refused": 1})


def test_spans_that_the_downstream_rejects_are_counted(downstream, exporter_to, metrics) -> None:
    answer = ExportTraceServiceResponse(partial_success={"rejected_spans": 1})
    downstream.behave = lambda request, context: answer
    exporter = exporter_to(downstream.port)

    exporter(flushed(["a", "b", "c"]))
    exporter.stop(WITHIN_S)

    assert outcome(metrics) == {"sent": 2, "rejected": 1}


def test_what_a_downstream_missed_while_it_was_away_is_sent_when_it_is_back(
    exporter_to, metrics
) -> None:
    receiver = Downstream()
    receiver.listen().stop(None).wait()
    exporter = exporter_to(receiver.port)
    exporter(flushed(["a"]))

    server = receiver.listen()
    assert receiver.came.acquire(timeout=WITHIN_S)
    exporter.stop(WITHIN_S)
    server.stop(None).wait()

    assert (receiver.names, outcome(metrics)) == (["a"], {"sent": 1})


def test_at_the_end_of_the_grace_what_still_waits_is_counted_as_dropped(
    downstream, exporter_to, metrics
) -> None:
    downstream.behave = downstream.hold
    exporter = exporter_to(downstream.port)
    exporter(flushed(["a", "b"]))
    exporter(flushed(["c"]))
    assert downstream.came.acquire(timeout=WITHIN_S)

    exporter.stop(within_s=0.1)

    assert outcome(metrics) == {"shutdown": 3}
    assert metrics.registry.get_sample_value("farebox_export_queue_bytes") == 0


@pytest.mark.parametrize("fault", [TypeError, pl.exceptions.PanicException])
def test_a_flush_that_cannot_be_enriched_does_not_end_the_export(
    downstream, exporter_to, metrics, monkeypatch, fault: type[BaseException]
) -> None:
    def enrich_or_fail(one: Flushed) -> Iterator[Enriched]:
        if one is broken:
            raise fault("a mistake")
        return enrich(one)

    broken = flushed(["a"])
    monkeypatch.setattr(export, "enrich", enrich_or_fail)
    exporter = exporter_to(downstream.port)

    exporter(broken)
    exporter(flushed(["b"]))
    exporter.stop(WITHIN_S)

    assert outcome(metrics) == {"unexpected_error": 1, "sent": 1}
