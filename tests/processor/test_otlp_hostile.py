"""Requests that are meant to harm, or were broken on the way: what is lost, and at what cost."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from farebox_processor import attribute_columns
from farebox_processor.otlp import Decoded, Limits, decode


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field, which protobuf's own classes would refuse to write broken."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def span(number: int = 1, *parts: bytes) -> bytes:
    return (
        field(1, number.to_bytes(16, "big")) + field(2, number.to_bytes(8, "big")) + b"".join(parts)
    )


def attribute(key: bytes, text: bytes) -> bytes:
    return field(9, field(1, key) + field(2, field(1, text)))


def request(*spans: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    in_scope = field(1, scope) + b"".join(field(2, one) for one in spans)
    return field(1, field(1, resource) + field(2, in_scope))


def texts(decoded: Decoded, *keys: str) -> list[tuple[Any, ...]]:
    return attribute_columns.texts(decoded.span_attributes, decoded.spans.height, keys).rows()


# --- text that is none


def test_text_that_is_not_utf8_is_mended_where_it_is_and_nowhere_else() -> None:
    spans = [span(n, field(5, b"fine"), attribute(b"key", "ça".encode())) for n in range(1, 200)]
    spans[70] = span(
        71,
        field(5, b"na\xffme"),
        attribute(b"k\xfey", b"a\xc3"),
        attribute(b"key", b"\xed\xa0\x80"),
    )

    decoded = decode([request(*spans)], [""])

    assert (decoded.spans.height, decoded.rejections.height, decoded.refusals) == (199, 0, {})
    assert decoded.spans["span_name"].to_list() == ["fine"] * 70 + ["na\ufffdme"] + ["fine"] * 128
    values = texts(decoded, "key", "k\ufffdy")
    assert values[70] == ("\ufffd\ufffd\ufffd", "a\ufffd")
    assert values[:70] + values[71:] == [("ça", None)] * 198


def test_text_that_is_not_utf8_is_mended_in_resource_scope_and_status() -> None:
    resource = field(1, field(1, b"service.name") + field(2, field(1, b"sh\xffop")))
    body = request(
        span(1, field(15, field(2, b"b\xffd"))), resource=resource, scope=field(1, b"sc\xffope")
    )

    row = decode([body], [""]).spans.select("service_name", "scope_name", "status_message").row(0)

    assert row == ("sh\ufffdop", "sc\ufffdope", "b\ufffdd")


@pytest.mark.parametrize("text", ["a\0b", "\U0001f600", "\u202egnp.exe", "\x1b[31mred"])
def test_odd_characters_are_kept_as_sent(text: str) -> None:
    body = request(span(1, field(5, text.encode()), attribute(b"key", text.encode())))

    decoded = decode([body], [""])

    assert decoded.spans["span_name"].to_list() == [text]
    assert texts(decoded, "key") == [(text,)]


# --- bytes that are no message


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(field(5, b"x")[:-1], id="truncated name"),
        pytest.param(b"\x4a\x05\x0a", id="truncated attribute"),
        pytest.param(field(9, b"\x0a\x09x"), id="attribute with a truncated key"),
        pytest.param(field(9, field(2, b"\x0a\x09x")), id="attribute with a truncated value"),
        pytest.param(field(15, b"\x12\x09"), id="truncated status"),
        pytest.param(b"\x00\x00", id="field number 0"),
        pytest.param(b"\x07", id="wire type 7"),
        pytest.param(b"\x38" + b"\xff" * 11, id="varint without an end"),
    ],
)
def test_a_broken_span_is_rejected_and_its_siblings_are_stored(broken: bytes) -> None:
    good = [span(n, attribute(b"key", b"%d" % n)) for n in range(1, 100)]
    bad = span(50, broken)

    decoded = decode([request(*good[:30], bad, *good[30:], bad), request(good[0])], ["a", "b"])

    assert texts(decoded, "key") == [(str(n),) for n in [*range(1, 100), 1]]
    assert decoded.rejections.drop("detail").rows() == [(0, "a", "undecodable", 2, bad)]
    assert decoded.refusals == {}


def test_a_broken_resource_or_scope_takes_its_spans_with_it() -> None:
    bad_resource = request(span(1), resource=b"\x0a\x09")
    bad_scope = request(span(2), scope=b"\x0a\x09")

    decoded = decode([bad_resource + request(span(3)), bad_scope], ["", ""])

    assert decoded.spans["span_id"].to_list() == [f"{3:016x}"]
    assert decoded.rejections.select("request", "reason", "spans").rows() == [
        (0, "undecodable", 1),
        (1, "undecodable", 1),
    ]
    assert list(decoded.refusals) == [1]


def test_a_request_full_of_broken_spans_takes_nothing_from_its_neighbours() -> None:
    broken = request(*(span(n, b"\x2a\x09") for n in range(1, 20_001)))
    good = request(*(span(n) for n in range(1, 11)))

    decoded = decode([good, broken, good], ["", "", ""])

    assert decoded.spans["request"].to_list() == [0] * 10 + [2] * 10
    assert decoded.rejections.select("request", "spans").rows() == [(1, 20_000)]
    assert list(decoded.refusals) == [1]


@pytest.mark.parametrize("body", [b"\xff", b"GET / HTTP/1.1", b"\x0a\x7f", request(span())[:-1]])
def test_a_body_that_is_no_request_is_refused_and_its_neighbours_are_stored(body: bytes) -> None:
    decoded = decode([request(span(1)), body, request(span(2))], ["", "", ""])

    assert decoded.spans["request"].to_list() == [0, 2]
    assert {index: str(error) for index, error in decoded.refusals.items()} == {
        1: "The body is not a serialised ExportTraceServiceRequest. "
        "Send OTLP traces as protobuf, whole."
    }


# --- too much


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(spans_per_request=4), "The request holds 5 spans; 4 are taken at once."),
        (Limits(groups_per_request=2), "The request holds 3 resources; 2 are taken at once."),
        (Limits(attributes_per_request=9), "The request holds 10 attributes; 9 are taken at once."),
    ],
)
def test_a_request_above_a_limit_is_refused_by_name(limits: Limits, sentence: str) -> None:
    one = span(1, attribute(b"a", b""), attribute(b"b", b""))
    large = request(one, one, one) + request(one) + request(one)

    decoded = decode([request(one), large], ["", ""], limits=limits)

    assert decoded.spans["request"].to_list() == [0]
    assert {index: str(error) for index, error in decoded.refusals.items()} == {
        1: f"{sentence} Send smaller batches."
    }
    assert [type(error).__name__ for error in decoded.refusals.values()] == ["RequestTooLargeError"]
    assert decoded.rejections.height == 0


def test_a_span_with_too_many_attributes_keeps_the_first_and_counts_the_rest() -> None:
    many = span(1, *(attribute(b"k%d" % n, b"v%d" % n) for n in range(1500)))
    few = span(2, attribute(b"k0", b"few"))

    decoded = decode([request(few, many, few)], [""])

    assert texts(decoded, "k0", "k1023", "k1024") == [
        ("few", None, None),
        ("v0", "v1023", None),
        ("few", None, None),
    ]
    assert decoded.dropped == 476


def test_a_span_with_too_many_events_and_links_keeps_the_first_of_each() -> None:
    many = span(1, *[field(11, b"")] * 200, *[field(13, b"")] * 130)

    decoded = decode([request(many)], [""])

    assert (decoded.events.height, decoded.links.height, decoded.dropped) == (128, 128, 74)


def test_long_keys_and_values_are_cut() -> None:
    body = request(span(1, attribute(b"k" * 300, "é".encode() * 2_000_000)))

    decoded = decode([body], [""])

    assert decoded.span_attributes.keys.to_list() == ["k" * 256]
    assert decoded.span_attributes.different["text"].to_list() == ["é" * 2**20]


def nested(levels: int, kind: str) -> AnyValue:
    value = AnyValue(string_value="x")
    for _ in range(levels):
        if kind == "arrays":
            value = AnyValue(array_value={"values": [value]})
        else:
            value = AnyValue(kvlist_value={"values": [KeyValue(key="k", value=value)]})
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (nested(30, "arrays"), "[" * 30 + '"x"' + "]" * 30),
        (nested(31, "arrays"), "[" * 30 + '"<too deep>"' + "]" * 30),
        (nested(30, "maps"), '{"k":' * 30 + '"x"' + "}" * 30),
        (nested(31, "maps"), '{"k":' * 30 + '"<too deep>"' + "}" * 30),
    ],
)
def test_nesting_is_read_thirty_levels_deep(value: AnyValue, text: str) -> None:
    one = field(9, field(1, b"key") + field(2, value.SerializeToString()))

    assert texts(decode([request(span(1, one))], [""]), "key") == [(text,)]


def test_nesting_without_end_is_cut_and_the_span_is_kept() -> None:
    value = b""
    for _ in range(20_000):
        value = field(5, field(1, value))
    body = request(span(1, field(9, field(1, b"key") + field(2, value)), field(5, b"kept")))

    decoded = decode([body], [""])

    assert decoded.spans["span_name"].to_list() == ["kept"]
    assert texts(decoded, "key") == [("[" * 30 + '"<too deep>"' + "]" * 30,)]


def test_an_array_that_cannot_be_read_costs_only_itself() -> None:
    broken = field(9, field(1, b"key") + field(2, field(5, b"\x0a\x09")))

    assert texts(decode([request(span(1, broken))], [""]), "key") == [("<undecodable>",)]


ATTACKS = {
    "spans": "field(1, field(2, b'\\x12\\x00' * 30_000_000))",
    "resources": "b'\\x0a\\x00' * 30_000_000",
    "scopes": "field(1, b'\\x12\\x00' * 30_000_000)",
    "attributes": "request(span(1, b'\\x4a\\x00' * 30_000_000))",
    "attributes of many spans": "request(*[span(1, b'\\x4a\\x00' * 1024)] * 25_000)",
    "events": "request(span(1, b'\\x5a\\x00' * 30_000_000))",
    "attributes of a resource": "request(span(1), resource=b'\\x0a\\x00' * 30_000_000)",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_sixty_megabytes_of_empty_messages_take_little_memory(attack: str) -> None:
    program = """
        import resource, sys
        sys.path.insert(0, {folder!r})
        from test_otlp_hostile import decode, field, request, span
        decode([request(span(1))], [""])
        body = {attack}
        before = resource.getrusage(resource.RUSAGE_SELF)
        decode([body], [""])
        after = resource.getrusage(resource.RUSAGE_SELF)
        print((after.ru_maxrss - before.ru_maxrss) >> 10)
        print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert decode([request(span(1))], [""]).spans.height == 1
    """
    program = program.format(folder=str(__file__).rsplit("/", 1)[0], attack=attack)

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )

    mebibytes, cpu_seconds = done.stdout.split()
    assert int(mebibytes) < 400
    assert float(cpu_seconds) < 3


# --- anything at all


def a_request() -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = group.scope_spans.add()
    for number in range(1, 4):
        one = Span(trace_id=b"\1" * 16, span_id=bytes([number]) * 8, name="chat")
        one.attributes.add(key="n").value.int_value = number
        one.attributes.add(key="list").value.array_value.values.add().string_value = "stop"
        one.events.add(name="event").attributes.add(key="k").value.bool_value = True
        scope.spans.append(one)
    return message.SerializeToString()


@given(
    st.lists(st.tuples(st.integers(0, len(a_request()) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(a_request())),
)
@settings(max_examples=300, deadline=None)
def test_a_damaged_request_never_raises_and_never_harms_its_neighbour(
    changes: list[tuple[int, int]], length: int
) -> None:
    body = bytearray(a_request())
    for at, value in changes:
        body[at] = value
    damaged = bytes(body[:length])

    decoded = decode([a_request(), damaged], ["", ""])

    assert decoded.spans["request"].to_list()[:3] == [0, 0, 0]
    assert 0 not in decoded.refusals
    keys = decoded.span_attributes.keys.to_list()
    assert texts(decoded, *keys)[:3] == texts(decode([a_request()], [""]), *keys)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(body: bytes) -> None:
    decoded = decode([body], [""])

    assert decoded.spans.height == 0
    assert set(decoded.refusals) <= {0}
