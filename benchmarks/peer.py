"""`farebox serve` beside rotel: the same requests, the same sink, spans per CPU-second.

rotel is an OTLP collector in Rust with a ClickHouse exporter. It writes spans as they came, and
costs nothing; farebox writes those of GenAI libraries, and its own four tables.
"""

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc
import psutil
from rich.table import Table

from benchmarks.payloads import requests
from benchmarks.sink import Sink, running_sink
from farebox_processor.demo.processes import Process, answers, free_port, listens, python, wait_for

__all__ = ["peer"]

_SPANS: Final = 65_536
_SPANS_PER_REQUEST: Final = 512
_SENDERS: Final = 32
"""As many services wait for their answer at a time: what arrives together is one micro-batch."""
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_AGAIN: Final = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""As every exporter does when it is told to try again."""
_QUIET_S: Final = 1.0
"""Nothing has come to the sink for so long: everything has."""


@dataclass(slots=True)
class _Contestant:
    name: str
    process: Process
    port: int
    sink: Sink
    spans_per_cpu_s: list[float] = field(default_factory=list)
    spans_per_s: list[float] = field(default_factory=list)

    def run(self, bodies: Sequence[bytes], spans: int) -> None:
        """Send the requests and note what the process spent until the sink had all of it."""
        cpu, begin = self._cpu_s(), time.perf_counter()
        _send(bodies, self.port)
        answered = time.perf_counter()
        _wait_until_quiet(self.sink)
        self.spans_per_cpu_s.append(spans / (self._cpu_s() - cpu))
        self.spans_per_s.append(spans / (answered - begin))

    def _cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


def peer(rounds: int) -> list[Table]:
    """Measure both in turns, after a round that does not count."""
    with (
        TemporaryDirectory(prefix="farebox-peer-") as folder,
        running_sink() as sink,
        _farebox(sink, Path(folder)) as ours,
        _rotel(sink, Path(folder)) as theirs,
    ):
        for turn in range(rounds + 1):
            # Spans of their own in each round: what is known already costs less.
            bodies = requests(_SPANS, spans_per_request=_SPANS_PER_REQUEST, seed=turn)
            for contestant in (ours, theirs):
                contestant.run(bodies, _SPANS)
        return [_table(ours, theirs)]


def _table(*contestants: _Contestant) -> Table:
    table = Table("process", "spans per CPU-second", "spans/s acknowledged", title="Beside a peer")
    for contestant in contestants:
        table.add_row(
            contestant.name,
            f"{statistics.median(contestant.spans_per_cpu_s[1:]):,.0f}",
            f"{statistics.median(contestant.spans_per_s[1:]):,.0f}",
        )
    ours, theirs = (each.spans_per_cpu_s[1:] for each in contestants)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    table.caption = f"spans per CPU-second, farebox to rotel: {ratio:.2f}"
    return table


@contextmanager
def _farebox(sink: Sink, folder: Path) -> Iterator[_Contestant]:
    port, admin_port = free_port(), free_port()
    environment = {
        "FAREBOX_STORE__DSN": sink.dsn,
        "FAREBOX_SERVER__GRPC_PORT": str(port),
        "FAREBOX_SERVER__HTTP_PORT": str(free_port()),
        "FAREBOX_SERVER__ADMIN_PORT": str(admin_port),
    }
    command = python("-m", "farebox_processor", "serve")
    log = folder / "farebox.log"
    with Process("farebox serve", command, log=log, environment=environment) as process:
        ready = f"http://127.0.0.1:{admin_port}/readyz"
        wait_for(lambda: answers(ready), process, what="being ready for spans")
        yield _Contestant("farebox serve", process, port, sink)


@contextmanager
def _rotel(sink: Sink, folder: Path) -> Iterator[_Contestant]:
    port = free_port()
    command = [
        str(files("rotel") / "rotel-agent"),
        "start",
        f"--otlp-grpc-endpoint=127.0.0.1:{port}",
        f"--otlp-http-endpoint=127.0.0.1:{free_port()}",
        "--exporter=clickhouse",
        f"--clickhouse-exporter-endpoint=http://127.0.0.1:{sink.port}",
    ]
    with Process("rotel", command, log=folder / "rotel.log") as process:
        wait_for(lambda: listens(port), process, what="listening")
        yield _Contestant("rotel", process, port, sink)


def _send(bodies: Sequence[bytes], port: int) -> None:
    """Export the requests, _SENDERS at a time, and wait for the answers."""
    service = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _AGAIN}]})
    options = [("grpc.service_config", service)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        export = channel.unary_unary(_EXPORT, None, None)
        with ThreadPoolExecutor(_SENDERS) as senders:
            for _ in senders.map(
                lambda body: export(body, timeout=60, wait_for_ready=True), bodies
            ):
                pass


def _wait_until_quiet(sink: Sink) -> None:
    received, since = sink.received_bytes(), time.monotonic()
    while time.monotonic() < since + _QUIET_S:
        time.sleep(_QUIET_S / 10)
        now = sink.received_bytes()
        if now != received:
            received, since = now, time.monotonic()
