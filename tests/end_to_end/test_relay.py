"""Another vendor's agent in between: stock exporter, rotel, `farebox serve`."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, free_port, listens, wait_for
from support.traffic import evidence_of, evidence_rows, send, span_rows, spans_of


@pytest.fixture
def rotel(farebox_server: FareboxServer, tmp_path: Path) -> Iterator[tuple[Process, int]]:
    """A rotel agent that sends on to farebox, and its OTLP/gRPC port."""
    port, http_port = free_port(), free_port()
    arguments = [
        str(files("rotel") / "rotel-agent"),
        "start",
        f"--otlp-grpc-endpoint=127.0.0.1:{port}",
        f"--otlp-http-endpoint=127.0.0.1:{http_port}",
        "--exporter=otlp",
        f"--otlp-exporter-endpoint=http://127.0.0.1:{farebox_server.grpc_port}",
    ]
    with Process("rotel", arguments, log=tmp_path / "rotel.log") as agent:
        wait_for(lambda: listens(port), agent, what="listening")
        yield agent, port


def test_rows_equal_what_was_sent_through_another_vendors_agent(
    farebox_server: FareboxServer, rotel: tuple[Process, int]
) -> None:
    agent, port = rotel
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True)

    sent = send(exporter, conversation_id="relayed by rotel")

    wait_for(
        lambda: len(span_rows(farebox_server, sent)) == len(sent),
        agent,
        what="relaying every span",
    )
    assert evidence_rows(farebox_server, sent) == evidence_of(sent)
    assert span_rows(farebox_server, sent) == spans_of(sent)
