"""OTLP over HTTP: what the stock exporter sends, and what nobody should send."""

import gzip
import json
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Event

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from farebox_processor.config import Token
from farebox_processor.server.flush import Verdict

MIB = 1024 * 1024


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_stock_exporter_delivers(compression, flush, start):
    endpoint = f"http://127.0.0.1:{start().ports.http}/v1/traces"
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint, compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    provider.get_tracer("test").start_span("ride").end()
    provider.shutdown()

    assert flush.names == ["ride"]


def test_json_is_taken_with_ids_in_hexadecimal(flush, start):
    span = {"name": "ride", "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7" * 8}
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    serving = start()

    reply = serving.send_http(
        json.dumps(request).encode(), content_type="application/json; charset=utf-8"
    )

    assert (reply.status, json.loads(reply.body), flush.names) == (200, {}, ["ride"])


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_not_json_of_otlp_is_a_bad_request(body, start):
    reply = start().send_http(body, content_type="application/json")

    assert reply.status == 400


def test_gzip_of_several_members_is_one_body(flush, start, span_request):
    body = span_request("a", "b")

    reply = start().send_http(
        gzip.compress(body[:10]) + gzip.compress(body[10:]), content_encoding="gzip"
    )

    assert (reply.status, flush.names) == (200, ["a", "b"])


@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: b"no" + body])
def test_a_damaged_gzip_body_is_a_bad_request(damage, start, span_request):
    body = damage(gzip.compress(span_request("a")))

    reply = start().send_http(body, content_encoding="gzip")

    assert reply.status == 400


def test_members_of_nothing_do_not_go_on_for_ever(start):
    reply = start().send_http(gzip.compress(b"") * 5_000, content_encoding="gzip")

    assert reply.status == 400


def test_a_gzip_bomb_is_too_large_and_is_not_inflated_beyond_the_limit(start, span_request):
    serving = start(max_request_bytes=MIB)
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()

    reply = serving.send_http(bomb, content_encoding="gzip")

    assert reply.status == 413
    assert serving.metric("in_flight_bytes") == 0
    assert serving.send_http(span_request("next")).status == 200


@pytest.mark.parametrize(("size", "status"), [(MIB, 200), (MIB + 1, 413)])
def test_the_limit_of_bytes_is_exact(size, status, flush, start):
    flush.behave = lambda body: Verdict(accepted=1)

    assert start(max_request_bytes=MIB).send_http(bytes(size)).status == status


def test_above_the_bytes_in_flight_senders_are_asked_to_wait(start):
    serving = start(max_in_flight_bytes=1_000)

    reply = serving.send_http(bytes(1_001))

    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert serving.metric("in_flight_bytes") == 0


def test_a_connection_without_a_request_is_closed(start):
    serving = start(header_timeout_s=1)

    for beginning in (b"", b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(("127.0.0.1", serving.ports.http), timeout=10) as silent:
            silent.sendall(beginning)
            assert silent.recv(1) == b""


def test_a_body_that_does_not_come_is_answered(start):
    serving = start(body_timeout_s=1)
    header = (
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", serving.ports.http), timeout=10) as slow:
        slow.sendall(header + b"a")
        assert slow.recv(100).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("kind", [b"application/x-protobuf", b"text/plain"])
def test_a_body_that_goes_on_after_the_answer_is_not_waited_for(kind, start):
    serving = start(body_timeout_s=1)
    header = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"

    with socket.create_connection(("127.0.0.1", serving.ports.http), timeout=0.1) as slow:
        slow.sendall(header + b"Content-Type: " + kind + b"\r\n\r\n")
        assert _closed_while_sending(slow, within_s=10)


def test_idle_connections_do_not_keep_a_sender_waiting(flush, start, span_request):
    serving = start()
    idle = [socket.create_connection(("127.0.0.1", serving.ports.http)) for _ in range(200)]

    try:
        assert serving.send_http(span_request("a")).status == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_request_waits_for_its_flush_before_it_is_answered(flush, start, span_request):
    entered, leave = threading.Event(), threading.Event()

    def hold(body):
        entered.set()
        leave.wait(10)

    flush.behave = hold
    serving = start()
    replies = []
    sender = threading.Thread(
        target=lambda: replies.append(serving.send_http(span_request("a")).status)
    )
    sender.start()
    assert entered.wait(10)

    before = list(replies)
    leave.set()
    sender.join(10)

    assert (before, replies) == ([], [200])


def _closed_while_sending(connection: socket.socket, *, within_s: float) -> bool:
    """Send a byte after each 0.1 s without an answer; tell whether the other side hangs up."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            connection.sendall(b"a")
            while connection.recv(1_000):
                pass
        except TimeoutError:
            continue
        except OSError:
            return True
        return True
    return False


def test_one_tenant_of_several_has_half_of_what_may_be_in_flight(flush, start):
    tokens = [Token(tenant, sha256(tenant.encode()).hexdigest()) for tenant in ("greedy", "modest")]
    serving = start(tokens=tokens, max_in_flight_bytes=2_000, max_request_bytes=700)
    entered, leave = Event(), Event()

    def hold(body: bytes) -> Verdict:
        entered.set()
        assert leave.wait(20)
        return Verdict(accepted=1)

    flush.behave = hold
    with ThreadPoolExecutor() as senders:
        first = senders.submit(serving.send_http, bytes(700), authorization="Bearer greedy")
        assert entered.wait(20)
        refused = serving.send_http(bytes(700), authorization="Bearer greedy")
        other = senders.submit(serving.send_http, bytes(700), authorization="Bearer modest")
        while serving.metric("in_flight_bytes") < 1_400:
            assert not other.done()
        leave.set()
        served = [first.result(20).status, other.result(20).status]

    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert served == [200, 200]
    assert serving.metric("in_flight_bytes") == 0
