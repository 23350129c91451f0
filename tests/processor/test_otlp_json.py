"""OTLP/JSON reads as the protobuf of the same request."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor import attribute_columns
from farebox_processor.errors import BadRequestError, RequestTooLargeError
from farebox_processor.otlp import Decoded, decode
from farebox_processor.otlp_json import to_protobuf
from support.attributes import long

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "corpus").glob("*/case.pb"))


def body(**fields: Any) -> bytes:
    span = {"traceId": "AB" * 16, "spanId": "cd" * 8} | fields
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def read(sent: bytes) -> Decoded:
    return decode([to_protobuf(sent)], [""])


def value(sent: dict[str, Any]) -> str | None:
    attributes = read(body(attributes=[{"key": "a", "value": sent}])).span_attributes
    text: str | None = attribute_columns.texts(attributes, 1, ["a"]).item()
    return text


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.parent.name)
def test_the_json_form_of_every_recording_reads_as_its_protobuf_form(path: Path) -> None:
    from_protobuf = decode([path.read_bytes()], [""])

    from_json = read(path.with_suffix(".json").read_bytes())

    # The hash is over the bytes of the span as sent, and these may order fields otherwise.
    assert from_json.spans.drop("content_hash").equals(from_protobuf.spans.drop("content_hash"))
    assert long(from_json.span_attributes).equals(long(from_protobuf.span_attributes))
    assert long(from_json.resource_attributes).equals(long(from_protobuf.resource_attributes))
    assert from_json.events.equals(from_protobuf.events)
    assert from_json.links.equals(from_protobuf.links)


@pytest.mark.parametrize(
    ("fields", "column", "expected"),
    [
        ({}, "trace_id", "ab" * 16),
        ({}, "span_id", "cd" * 8),
        ({"parentSpanId": "0A" * 8}, "parent_span_id", "0a" * 8),
        ({"parent_span_id": "0A" * 8}, "parent_span_id", "0a" * 8),
        ({"kind": 3}, "span_kind", 3),
        ({"kind": "SPAN_KIND_CLIENT"}, "span_kind", 3),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "status_code", 2),
        ({"startTimeUnixNano": "1795227231393262900"}, "start_unix_nano", 1795227231393262900),
        ({"start_time_unix_nano": 1795227231393262900}, "start_unix_nano", 1795227231393262900),
        ({"name": "a\0b", "unknown": {"deep": [1]}}, "span_name", "a\0b"),
        ({"name": "half \ud800 pair"}, "span_name", "half \ufffd pair"),
    ],
)
def test_fields_are_read_as_otlp_json_writes_them(
    fields: dict[str, Any], column: str, expected: Any
) -> None:
    assert read(body(**fields)).spans[column].to_list() == [expected]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"intValue": "9007199254740993"}, "9007199254740993"),
        ({"intValue": 7}, "7"),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"boolValue": True}, "true"),
        ({"bytesValue": "AAEC"}, "AAEC"),
        ({"arrayValue": {"values": [{"stringValue": "stop"}, {"intValue": "1"}]}}, '["stop",1]'),
        ({"kvlistValue": {"values": [{"key": "k", "value": {}}]}}, '{"k":null}'),
        ({}, None),
    ],
)
def test_values_are_read_as_otlp_json_writes_them(sent: dict[str, Any], text: str | None) -> None:
    assert value(sent) == text


def test_nesting_is_read_thirty_levels_deep() -> None:
    sent: dict[str, Any] = {"stringValue": "x"}
    for _ in range(31):
        sent = {"arrayValue": {"values": [sent]}}

    assert value(sent) == "[" * 30 + '"<too deep>"' + "]" * 30


@pytest.mark.parametrize("trace_id", ["zz" * 16, "abc", "", "ab" * 15])
def test_an_id_that_is_none_rejects_its_span_only(trace_id: str) -> None:
    good, bad = {"traceId": "ab" * 16, "spanId": "cd" * 8}, {"traceId": trace_id}
    sent = {"resourceSpans": [{"scopeSpans": [{"spans": [good, good | bad]}]}]}

    decoded = read(json.dumps(sent).encode())

    assert decoded.spans["trace_id"].to_list() == ["ab" * 16]
    assert decoded.rejections.select("reason", "spans").rows() == [("invalid_trace_id", 1)]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"", "The body is not JSON: "),
        (b"\xff\xfe\xfa", "The body is not JSON: "),
        (b'{"resourceSpans": [', "The body is not JSON: "),
        (b'{"a": NaN}', "The body is not JSON: NaN is not a JSON number"),
        (b'{"a": -Infinity}', "The body is not JSON: -Infinity is not a JSON number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "The body is not JSON: "),
        (b"[" * 100_000, "The JSON of the body is nested too deep to be read."),
        (b'{"a":' * 100_000, "The JSON of the body is nested too deep to be read."),
        (b"[]", "The body is JSON, but not an object with resourceSpans."),
        (b'"resourceSpans"', "The body is JSON, but not an object with resourceSpans."),
        (b'{"resourceSpans": 5}', "The body is not an OTLP traces request: "),
        (b'{"resourceSpans": [null]}', "The body is not an OTLP traces request: "),
        (body(name=5), "The body is not an OTLP traces request: "),
        (body(startTimeUnixNano="9" * 5000), "The body is not an OTLP traces request: "),
        (body(attributes="x" * 10_000), "The body is not an OTLP traces request: "),
        (body(traceId=7), "The body is not an OTLP traces request: "),
    ],
)
def test_what_is_no_request_is_refused_in_one_sentence(sent: bytes, sentence: str) -> None:
    with pytest.raises(BadRequestError) as refusal:
        to_protobuf(sent)

    assert str(refusal.value).startswith(sentence)
    assert len(str(refusal.value)) < 400


def test_a_body_of_millions_of_empty_objects_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(RequestTooLargeError, match="has 20000002 objects and arrays; 500000 are"):
        to_protobuf(b'{"resourceSpans":[' + b"{}," * 20_000_000 + b"]}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["key", "value", "arrayValue", "values", "traceId", "stringValue", "code"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
FIELDS = ("traceId", "spanId", "name", "kind", "attributes", "events", "links", "status")


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        decoded = read(body(**fields))
    except BadRequestError:
        return

    assert decoded.spans.height + decoded.rejections.select(pl.col("spans").sum()).item() == 1


def test_texts_in_place_of_objects_are_left_out() -> None:
    attributes = ["text", {"key": "a", "value": "text"}]
    span = {"name": "ride", "attributes": attributes, "status": "text", "events": ["text"]}
    scope = {"scope": "text", "spans": ["text", span]}
    body = {"resourceSpans": ["text", {"resource": "text", "scopeSpans": ["text", scope]}]}

    request = ExportTraceServiceRequest.FromString(to_protobuf(json.dumps(body).encode()))

    expected = ExportTraceServiceRequest()
    read = expected.resource_spans.add().scope_spans.add().spans.add(name="ride")
    read.attributes.add(key="a")
    assert request == expected
