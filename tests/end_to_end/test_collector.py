"""A real OpenTelemetry Collector with deploy/otel-collector.yaml in front of `farebox serve`.

The collector comes from `make collector`, or is named by COLLECTOR_BINARY: any otelcol-contrib.
Where that variable is set, as in continuous integration, a missing collector is a failure.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, answers, free_port, wait_for
from support.traffic import evidence_of, evidence_rows, send, send_many, span_rows, spans_of

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy/otel-collector.yaml"
BUILT = ROOT / "build/collector/otelcol-farebox"


@pytest.fixture(scope="session")
def collector_binary() -> str:
    named = os.environ.get("COLLECTOR_BINARY")
    if named is None and not BUILT.exists():
        pytest.skip("no OpenTelemetry Collector: run `make collector`, which needs Go")
    return named or str(BUILT)


class Collector:
    """A collector in front of `server`; started again, it finds its queue."""

    def __init__(self, binary: str, server: FareboxServer, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._health_port = free_port()
        self.port = free_port()
        self._environment = {
            "FAREBOX_ENDPOINT": f"127.0.0.1:{server.grpc_port}",
            "FAREBOX_PLAINTEXT": "true",
            "COLLECTOR_HOST": "127.0.0.1",
            "COLLECTOR_QUEUE": str(folder / "queue"),
            "COLLECTOR_GRPC_PORT": str(self.port),
            "COLLECTOR_HTTP_PORT": str(free_port()),
            "COLLECTOR_HEALTH_PORT": str(self._health_port),
            "COLLECTOR_METRICS_PORT": str(free_port()),
        }

    def start(self) -> Process:
        process = Process(
            "otelcol",
            [self._binary, "--config", str(CONFIGURATION)],
            log=self._folder / "collector.log",
            environment=self._environment,
        )
        health = f"http://127.0.0.1:{self._health_port}/"
        wait_for(lambda: answers(health), process, what="being healthy")
        return process

    def exporter(self) -> OTLPSpanExporter:
        return OTLPSpanExporter(endpoint=f"http://127.0.0.1:{self.port}", insecure=True)


def wait_for_rows(server: FareboxServer, process: Process, sent: Sequence[ReadableSpan]) -> None:
    wait_for(
        lambda: len(span_rows(server, sent)) == len(sent),
        process,
        what=f"holding the {len(sent)} spans that were sent",
    )


def test_the_configuration_is_valid(collector_binary: str) -> None:
    checked = subprocess.run(
        [collector_binary, "validate", "--config", str(CONFIGURATION)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_nothing_is_lost_while_farebox_and_the_collector_crash(
    collector_binary: str, tmp_path: Path
) -> None:
    server = FareboxServer(tmp_path)
    collector = Collector(collector_binary, server, tmp_path)

    with server.start() as farebox, collector.start() as relaying:
        typed = send(collector.exporter(), conversation_id="through a collector")
        wait_for_rows(server, farebox, typed)
        assert evidence_rows(server, typed) == evidence_of(typed)

        farebox.kill()
        during = send_many(collector.exporter(), 300)
        relaying.kill()

    with collector.start():
        later = send_many(collector.exporter(), 50)
        with server.start() as farebox:
            sent = [*typed, *during, *later]
            wait_for_rows(server, farebox, sent)

            assert span_rows(server, sent) == spans_of(sent)
