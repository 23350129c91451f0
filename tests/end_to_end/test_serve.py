"""`farebox serve` as a process: hostile requests, and a sudden death under load."""

import gzip
import json
import subprocess
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, answers, python, wait_for
from support.raw_otlp import EXPORT, send_grpc, send_http

CORPUS = Path(__file__).parents[1] / "fixtures" / "corpus"
MIB = 1024 * 1024
MOST_BYTES = 64 * MIB
# The bytes as received and as handed over, and what counting thirty million things takes.
MOST_GROWTH = 5 * MOST_BYTES

# Ends like the command does: without tearing the engine down under its own threads.
READ_STORE = """
import json, os, sys
from farebox_processor.store.connect import open_client
client = open_client(sys.argv[1])
rows = client.query(sys.argv[2]).result_rows
print(json.dumps(rows, default=str), flush=True)
client.close()
os._exit(0)
"""


def start(server: FareboxServer, **environment: str) -> Process:
    """Start the server with more settings, and return when it is ready for spans."""
    process = Process(
        "farebox serve",
        python("-m", "farebox_processor", "serve"),
        log=server.log,
        # One sender at a time would only wait for company that does not come.
        environment=server.settings | {"FAREBOX_FLUSH__INTERVAL_MS": "0"} | environment,
    )
    ready = f"http://127.0.0.1:{server.admin_port}/readyz"
    try:
        wait_for(lambda: answers(ready), process, what="being ready for spans")
    except BaseException:
        process.stop()
        raise
    return process


def read_store(server: FareboxServer, sql: str) -> list[list[object]]:
    """Query the store of a server that has ended, in a process that ends with the query."""
    dsn = server.settings["FAREBOX_STORE__DSN"]
    command = python("-c", READ_STORE, dsn, sql)
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


# --- hostile requests ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hardened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FareboxServer, Process]]:
    """A server that takes the largest requests that may be configured."""
    server = FareboxServer(tmp_path_factory.mktemp("hardened"))
    with start(server, FAREBOX_SERVER__MAX_REQUEST_BYTES=str(MOST_BYTES)) as process:
        # What the first request brings into memory is not what a hostile one costs.
        first = send_grpc(server.grpc_port, recording("go_openai_chat"), timeout=30)
        assert first.status == grpc.StatusCode.OK
        yield server, process


def recording(case: str) -> bytes:
    return (CORPUS / case / "case.pb").read_bytes()


def one_span(**fields: object) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"hostile trace id", span_id=b"span id!", **fields)
    )
    assert span is not None
    return request


def logs_request() -> bytes:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = 1_793_620_800_000_000_000
    record.body.string_value = "a log line"
    return request.SerializeToString()


def invalid_utf8() -> bytes:
    return one_span(name="NAME").SerializeToString().replace(b"NAME", b"\xff\xfe\x80A")


def nested_values(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        array = _field(1, value)  # ArrayValue.values
        value = _field(5, array)  # AnyValue.array_value
    attribute = _field(1, b"deep") + _field(2, value)
    span = one_span(name="n").resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    return _field(1, _field(2, _field(2, span + _field(9, attribute))))


def empty_spans(count: int) -> bytes:
    return _field(1, _field(2, b"\x12\x00" * count))


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field as protobuf writes it."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content


OK = (grpc.StatusCode.OK, 200)
BAD = (grpc.StatusCode.INVALID_ARGUMENT, 400)
TOO_LARGE = (grpc.StatusCode.RESOURCE_EXHAUSTED, 413)
HOSTILE: dict[str, tuple[Callable[[], bytes], tuple[grpc.StatusCode, int]]] = {
    "empty": (lambda: b"", OK),
    "garbage": (lambda: b"\xff\x00garbage" * 1_000, BAD),
    "cut off": (lambda: recording("go_openai_tool_loop")[:-10], BAD),
    "logs on the path of traces": (logs_request, BAD),
    "a name that is not UTF-8": (invalid_utf8, OK),
    "values nested 100 deep": (lambda: nested_values(100), OK),
    "values nested 20 000 deep": (lambda: nested_values(20_000), OK),
    "more bytes than allowed": (lambda: bytes(MOST_BYTES + 1), TOO_LARGE),
    "30 million empty spans in 60 MB": (lambda: empty_spans(30_000_000), TOO_LARGE),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_request_has_its_status_and_the_next_good_one_is_served(what, hardened):
    server, process = hardened
    make, expected = HOSTILE[what]
    body = make()
    packed = gzip.compress(body, 1)

    memory = Memory(process.pid)
    by_grpc = send_grpc(server.grpc_port, body, compression=grpc.Compression.Gzip, timeout=30)
    grown_by_grpc, memory = memory.grown(), Memory(process.pid)
    by_http = send_http(server.http_port, packed, content_encoding="gzip")
    grown_by_http = memory.grown()

    assert (by_grpc.status, by_http.status) == expected
    assert max(grown_by_grpc, grown_by_http) < MOST_GROWTH
    good = recording("ga_anthropic_chat")
    after = (send_grpc(server.grpc_port, good).status, send_http(server.http_port, good).status)
    assert after == OK


def test_a_gzip_bomb_is_not_inflated_beyond_the_limit(hardened):
    server, process = hardened
    bomb = _gzip_bomb(1024 * MIB)
    memory = Memory(process.pid)

    reply = send_http(server.http_port, bomb, content_encoding="gzip")

    assert reply.status == 413
    assert memory.grown() < MOST_GROWTH


class Memory:
    """The largest resident memory of a process since now, as the kernel counts it."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        (self._process / "clear_refs").write_text("5")  # forget the peak there was
        self._before = self._read("VmRSS")

    def grown(self) -> int:
        """Return how far the peak lies above the beginning, in bytes."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = (self._process / "status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024


def _gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(MIB)
    return b"".join(packer.compress(zeros) for _ in range(size // MIB)) + packer.flush()


# --- sudden death --------------------------------------------------------------------------------

SENDERS = 4
ACKNOWLEDGED_BEFORE_DEATH = 40
CONVERSATIONS = "SELECT * FROM conversations ORDER BY ALL"


class Load:
    """Senders that never stop, and what they were told was stored."""

    def __init__(self, port: int) -> None:
        self.sent: list[bytes] = []
        self.acknowledged: list[str] = []
        self.enough = threading.Event()
        self._port = port
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            export = channel.unary_unary(EXPORT)
            for number in range(100_000):
                span_ids, body = conversation_request(sender, number)
                with self._lock:
                    self.sent.append(body)
                try:
                    export(body, timeout=5)
                except grpc.RpcError:
                    return
                with self._lock:
                    self.acknowledged.extend(span_ids)
                if len(self.acknowledged) >= ACKNOWLEDGED_BEFORE_DEATH:
                    self.enough.set()


def conversation_request(sender: int, number: int) -> tuple[list[str], bytes]:
    """Return a request with a trace of two calls, and the ids of its spans."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai.openai"
    ids = []
    for call in (1, 2):
        span = scope.spans.add(
            name="chat gpt-4o",
            kind=3,
            trace_id=bytes([1, sender]) + number.to_bytes(14, "big"),
            span_id=bytes([call, sender]) + number.to_bytes(6, "big"),
            start_time_unix_nano=1_793_620_800_000_000_000 + call,
            end_time_unix_nano=1_793_620_801_000_000_000 + call,
        )
        for key, value in {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.id": f"{sender}-{number}-{call}",
            "gen_ai.conversation.id": f"conversation {sender}-{number // 3}",
        }.items():
            span.attributes.add(key=key, value=AnyValue(string_value=value))
        for key, tokens in (("input", 1_000), ("output", 100)):
            span.attributes.add(
                key=f"gen_ai.usage.{key}_tokens", value=AnyValue(int_value=tokens * call)
            )
        ids.append(span.span_id.hex())
    return ids, request.SerializeToString()


def deliver(server: FareboxServer, bodies: list[bytes]) -> list[list[object]]:
    """Send requests to a new server on the same store, end it, and return all conversations."""
    with start(server) as process:
        for body in bodies:
            reply = send_grpc(server.grpc_port, body)
            assert reply.status == grpc.StatusCode.OK
        process.stop()
        assert process.exit_code == 0, process.lines()
    return read_store(server, CONVERSATIONS)


def test_a_server_killed_under_load_has_every_span_it_acknowledged(tmp_path):
    server = FareboxServer(tmp_path)
    process = start(server)
    load = Load(server.grpc_port)

    assert load.enough.wait(60)
    process.kill()
    load.join()

    stored = {span_id for (span_id,) in read_store(server, "SELECT span_id FROM spans FINAL")}
    assert set(load.acknowledged) <= stored
    once = deliver(server, load.sent)
    assert deliver(server, [*reversed(load.sent), *load.sent[:10]]) == once


def test_a_port_that_is_taken_ends_the_start_with_one_sentence(hardened, tmp_path):
    server, _ = hardened
    other = FareboxServer(tmp_path, grpc_port=server.grpc_port)
    process = Process(
        "farebox serve",
        python("-m", "farebox_processor", "serve"),
        log=other.log,
        environment=other.settings,
    )

    with process:
        process._popen.wait(60)

    said = other.log.read_text()
    assert process.exit_code == 1
    assert f"127.0.0.1:{server.grpc_port} (OTLP/gRPC) cannot be listened on" in said
    assert "Traceback" not in said


def test_metrics_balance_after_everything(hardened):
    server, _ = hardened
    address = f"http://127.0.0.1:{server.admin_port}/metrics"
    with urllib.request.urlopen(address, timeout=5) as response:
        lines = response.read().decode().splitlines()

    totals: dict[str, float] = dict.fromkeys(
        ("received", "stored", "rejected", "unacknowledged"), 0.0
    )
    for line in lines:
        for name in totals:
            if line.startswith(f"farebox_spans_{name}_total{{"):
                totals[name] += float(line.rsplit(" ", 1)[1])
    assert totals["received"] > 0
    assert totals["received"] == (totals["stored"] + totals["rejected"] + totals["unacknowledged"])
