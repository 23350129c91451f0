"""OTLP over gRPC: what the stock exporter sends, and what nobody should send."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from farebox_processor.errors import ConfigError
from farebox_processor.server.flush import Verdict
from support.raw_otlp import EXPORT

MIB = 1024 * 1024
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_stock_exporter_delivers(compression, flush, start):
    endpoint = f"127.0.0.1:{start().ports.grpc}"
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint, insecure=True, compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    provider.get_tracer("test").start_span("ride").end()
    provider.shutdown()

    assert flush.names == ["ride"]


@pytest.mark.parametrize(("size", "status"), [(MIB, OK), (MIB + 1, EXHAUSTED)])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_limit_of_bytes_is_exact_and_holds_after_decompression(
    size, status, compression, flush, start
):
    flush.behave = lambda body: Verdict(accepted=1)

    reply = start(max_request_bytes=MIB).send_grpc(bytes(size), compression=compression)

    assert reply.status == status
    assert "google.rpc.retryinfo-bin" not in reply.headers


def test_above_the_bytes_in_flight_senders_are_asked_to_wait(start):
    reply = start(max_in_flight_bytes=1_000).send_grpc(bytes(1_001))

    assert reply.status == UNAVAILABLE
    assert "google.rpc.retryinfo-bin" in reply.headers


@pytest.mark.parametrize("patience", [{"timeout": 1.5}, {"timeout": 30}])
def test_a_flush_that_hangs_is_answered_before_the_sender_gives_up(
    patience, flush, start, span_request
):
    leave = threading.Event()
    flush.behave = lambda body: Verdict(accepted=int(leave.wait(20)))
    serving = start(answer_within_ms=2_000)

    reply = serving.send_grpc(span_request("a"), **patience)
    leave.set()

    assert (reply.status, reply.message) == (UNAVAILABLE, "not stored in time; try again")


def test_a_server_that_stops_sends_away_what_comes_and_answers_what_is_there(
    flush, start, span_request
):
    entered, leave = threading.Event(), threading.Event()

    def hold(body):
        entered.set()
        leave.wait(20)

    flush.behave = hold
    serving = start()
    replies = {}

    def send(name):
        replies[name] = serving.send_grpc(span_request(name)).status

    early = threading.Thread(target=send, args=("early",))
    early.start()
    assert entered.wait(10)
    stopping = serving.begin_stop()

    send("late")
    leave.set()
    early.join(10)

    assert replies == {"early": OK, "late": UNAVAILABLE}
    assert (stopping.result(20), flush.names) == (0, ["early"])


def test_hundreds_of_calls_over_one_connection_are_all_taken(start, span_request):
    body = span_request("a")

    with grpc.insecure_channel(f"127.0.0.1:{start().ports.grpc}") as channel:
        call = channel.unary_unary(EXPORT)
        call(body)
        with ThreadPoolExecutor(200) as senders:
            codes = set(senders.map(lambda _: call.with_call(body)[1].code(), range(1_000)))

    assert codes == {OK}


def test_silent_connections_are_closed_and_keep_nobody_waiting(start, span_request):
    serving = start(handshake_timeout_ms=500)
    address = ("127.0.0.1", serving.ports.grpc)
    silent = [socket.create_connection(address, timeout=10) for _ in range(100)]

    status = serving.send_grpc(span_request("a")).status
    endings = {_read_to_the_end(connection) for connection in silent}

    assert (status, endings) == (OK, {True})


def test_a_port_that_is_taken_is_said_in_one_sentence(start):
    taken = start().ports

    with pytest.raises(ConfigError, match=rf"127.0.0.1:{taken.grpc} \(OTLP/gRPC\) cannot be"):
        start(grpc_port=taken.grpc)
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{taken.http} \(OTLP/HTTP\) cannot be"):
        start(http_port=taken.http)


def _read_to_the_end(connection: socket.socket) -> bool:
    with connection:
        while connection.recv(4_096):
            pass
    return True
