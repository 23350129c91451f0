"""Any bytes over either transport: an answer of the table, and a server that goes on."""

import gzip
import json
import os

import grpc
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farebox_processor.dialects import load_dialects
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.statuses import STATUSES, Condition
from farebox_processor.store.writer import Writer, Written
from support.otlp_spans import OtlpCall, request_of

# More find more: 2 000 take two minutes.
EXAMPLES = int(os.environ.get("FAREBOX_TEST_BODIES", "60"))
CALLS = request_of([OtlpCall(1, 10, 1_000, "chat", "r1"), OtlpCall(2, 20, 7, None, None)])
JSON = json.dumps(
    {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {"spans": [{"name": "ride", "traceId": "0a" * 16, "spanId": "b7" * 8}]}
                ]
            }
        ]
    }
).encode()
MOST_GROWTH = 256 << 20


class Accepting(Writer):
    """A writer that takes everything and stores nothing."""

    def __init__(self):
        pass

    def write(self, table, frame):
        return Written(stored=frame, rejected=frame.clear().with_columns(detail=None))


@pytest.fixture
def serving(flush, start):
    """A server with the whole chain behind it, but for ClickHouse."""
    rules = Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())
    ingest = Ingest(Accepting(), rules, LiveTraces(10_000), Metrics(), "none")
    flush.behave = lambda body: ingest.flush([body], [""])[0]
    return start(max_request_bytes=1 << 20)


@st.composite
def bodies(draw):
    """Draw bytes: of nothing, or of a request with some of its bytes changed, lost or repeated."""
    body = bytearray(draw(st.sampled_from([CALLS, JSON, b""])))
    for at, change in draw(
        st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=9)), max_size=4)
    ):
        place = at % (len(body) + 1)
        body[place : place + draw(st.integers(0, 9))] = change
    body = bytes(body) * draw(st.sampled_from([1, 1, 1, 50])) + draw(st.binary(max_size=20))
    if draw(st.booleans()):
        body = gzip.compress(body)
        body = body[: len(body) - draw(st.sampled_from([0, 0, 1, 8, 30]))]
    return body


def still_serves(serving):
    assert serving.admin("/readyz").status == 200
    assert serving.send_http(CALLS).status == 200
    assert serving.send_http(JSON, content_type="application/json").status == 200
    assert serving.send_grpc(CALLS).status == grpc.StatusCode.OK
    for transport in ("http", "grpc"):
        answered = {"transport": transport, "condition": Condition.UNEXPECTED}
        assert serving.metric("requests_answered_total", **answered) == 0


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_any_bytes_get_an_answer_of_the_table_and_the_server_goes_on(transport, serving):
    documented = {getattr(status, transport) for status in STATUSES.values()}
    still_serves(serving)
    before = psutil.Process().memory_info().rss

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        body=bodies(),
        content_type=st.sampled_from(
            ["application/x-protobuf", "application/json", "text/plain", "", "application/json; x"]
        ),
        encoding=st.sampled_from(["", "gzip", "gzip", "deflate", "gzip, gzip", "br", "identity"]),
        compression=st.sampled_from([grpc.Compression.NoCompression, grpc.Compression.Gzip]),
    )
    def send(body, content_type, encoding, compression):
        if transport == "grpc":
            reply = serving.send_grpc(body, compression=compression)
        else:
            reply = serving.send_http(body, content_type=content_type, content_encoding=encoding)
        assert reply.status in documented

    send()

    still_serves(serving)
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH
