"""What decode makes of requests, held against the protobuf package on the same bytes."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from farebox_processor import attribute_columns, frames, otlp_spans, wire
from farebox_processor.otlp import Decoded, decode
from support.attributes import long

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "corpus").glob("*/case.pb"))
START = 1_795_227_231_393_262_900
LATEST = 4_294_943_999_999_999_999  # the last nanosecond before 2106-02-07


def request(*spans: Span, resource: dict[str, str] | None = None) -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    for key, value in (resource or {}).items():
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "the.scope", "1.2"
    scope.spans.extend(spans)
    return message.SerializeToString()


def span(number: int = 1, **fields: Any) -> Span:
    given_fields = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "name": f"span {number}",
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 5,
    }
    return Span(**(given_fields | fields))


# --- the reference: what the protobuf package reads from the same bytes


def plain(value: AnyValue) -> Any:
    """A value as JSON has it."""
    kind = value.WhichOneof("value")
    scalar = getattr(value, kind) if kind else None
    if kind == "array_value":
        return [plain(item) for item in scalar.values]
    if kind == "kvlist_value":
        return {entry.key: plain(entry.value) for entry in scalar.values}
    if kind == "bytes_value":
        return base64.b64encode(scalar).decode()
    if kind == "double_value" and not math.isfinite(scalar):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(scalar)]
    return scalar


def cell(value: AnyValue) -> tuple[int, Any]:
    """The kind of a value, and the value: arrays and maps as Python objects, bytes as base64."""
    kinds = [None, "string_value", "bool_value", "int_value", "double_value"]
    kinds += ["array_value", "kvlist_value", "bytes_value"]
    kind = kinds.index(value.WhichOneof("value"))
    if kind == 4:
        return kind, repr(value.double_value)  # so that NaN equals NaN
    return kind, plain(value)


def reference(body: bytes) -> list[dict[str, Any]]:
    rows = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = ""
        for attribute in group.resource.attributes:
            if attribute.key == "service.name":
                service = plain(attribute.value)
        for scope in group.scope_spans:
            rows += [reference_row(one, scope.scope, service) for one in scope.spans]
    return rows


def reference_row(one: Span, scope: InstrumentationScope, service: str) -> dict[str, Any]:
    return {
        "trace_id": one.trace_id.hex(),
        "span_id": one.span_id.hex(),
        "parent_span_id": one.parent_span_id.hex() or None,
        "trace_state": one.trace_state,
        "span_name": one.name,
        "span_kind": one.kind,
        "start_unix_nano": one.start_time_unix_nano,
        "end_unix_nano": one.end_time_unix_nano,
        "status_code": one.status.code,
        "status_message": one.status.message,
        "service_name": service,
        "scope_name": scope.name,
        "scope_version": scope.version,
        "attributes": {attribute.key: cell(attribute.value) for attribute in one.attributes},
        "events": [event.SerializeToString(deterministic=True) for event in one.events],
        "links": [link.SerializeToString(deterministic=True) for link in one.links],
    }


def found(decoded: Decoded) -> list[dict[str, Any]]:
    names = [
        name for name in reference_row(Span(), InstrumentationScope(), "") if name in frames.SPANS
    ]
    rows = decoded.spans.select(names).to_dicts()
    for row in rows:
        row |= {"attributes": {}, "events": [], "links": []}
    keys = decoded.span_attributes.keys.to_list()
    texts = attribute_columns.texts(decoded.span_attributes, len(rows), keys)
    last = {(one["row"], one["key"]): one for one in long(decoded.span_attributes).to_dicts()}
    for (row, key), attribute in last.items():
        kind = attribute["kind"]
        value: Any = None
        if kind in (5, 6, 7):
            text = texts[row, keys.index(key)]
            # Bytes without any are an empty text, which is read as none.
            value = (text or "") if kind == 7 else json.loads(text)
        elif kind:
            value = attribute[("text", "boolean", "integer", "double")[kind - 1]]
        rows[row]["attributes"][key] = (kind, repr(value) if kind == 4 else value)
    for name in ("events", "links"):
        for item in getattr(decoded, name).to_dicts():
            message = (Span.Event if name == "events" else Span.Link).FromString(item["raw"])
            rows[item["row"]][name].append(message.SerializeToString(deterministic=True))
    return rows


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.parent.name)
def test_every_recording_reads_as_the_protobuf_package_reads_it(path: Path) -> None:
    body = path.read_bytes()

    assert found(decode([body], ["t"])) == reference(body)


def test_all_recordings_in_one_batch_read_as_one_by_one() -> None:
    bodies = [path.read_bytes() for path in CORPUS]

    together = decode(bodies, [path.parent.name for path in CORPUS])

    assert found(together) == [row for body in bodies for row in reference(body)]
    assert together.spans["tenant"].to_list() == [
        path.parent.name for path, body in zip(CORPUS, bodies, strict=True) for _ in reference(body)
    ]
    assert (together.refusals, together.rejections.height, together.dropped) == ({}, 0, 0)


words = st.text(max_size=12)
any_values = st.recursive(
    st.one_of(
        st.builds(AnyValue),
        st.builds(AnyValue, string_value=words),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=9)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: AnyValue(array_value={"values": values})),
        st.lists(st.builds(KeyValue, key=words, value=inner), max_size=3).map(
            lambda values: AnyValue(kvlist_value={"values": values})
        ),
    ),
    max_leaves=6,
)
attributes = st.lists(
    st.builds(KeyValue, key=st.sampled_from(["a", "b", "gen_ai.x", "é"]) | words, value=any_values),
    max_size=6,
)
times = st.sampled_from([0, 1, START, START + 10**9, 2**63, 2**64 - 1])
spans = st.builds(
    Span,
    trace_id=st.binary(min_size=16, max_size=16).filter(any),
    span_id=st.binary(min_size=8, max_size=8).filter(any),
    parent_span_id=st.just(b"") | st.binary(min_size=8, max_size=8).filter(any),
    trace_state=words,
    name=words,
    kind=st.integers(0, 5),
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    attributes=attributes,
    status=st.builds(Status, message=words, code=st.integers(0, 2)),
    events=st.lists(st.builds(Span.Event, name=words, attributes=attributes), max_size=2),
    links=st.lists(st.builds(Span.Link, trace_state=words, attributes=attributes), max_size=2),
)


@given(st.lists(st.lists(spans, max_size=4), min_size=1, max_size=3), words)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_request_reads_as_the_protobuf_package_reads_it(
    requests: list[list[Span]], service: str
) -> None:
    bodies = [request(*sent, resource={"service.name": service}) for sent in requests]

    decoded = decode(bodies, [""] * len(bodies))

    assert found(decoded) == [row for body in bodies for row in reference(body)]
    assert dict(decoded.spans.schema) == frames.SPANS
    assert dict(decoded.span_attributes.different.schema) == frames.ATTRIBUTES


# --- times


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ((START, START + 7), (START, START + 7, 7, "ok")),
        ((START, START), (START, START, 0, "ok")),
        ((1, 2), (1, 2, 1, "ok")),
        ((0, START), (START, START, 0, "missing")),
        ((START, 0), (START, START, 0, "missing")),
        ((0, 0), (0, 0, 0, "missing")),
        ((START, START - 1), (START, START - 1, 0, "end_before_start")),
        ((START, 2**64 - 1), (START, LATEST, 2**64 - 1 - START, "clamped")),
        ((2**64 - 1, 2**64 - 1), (LATEST, LATEST, 0, "clamped")),
        ((LATEST + 1, 2**63), (LATEST, LATEST, 2**63 - LATEST - 1, "clamped")),
    ],
)
def test_times_are_clamped_to_what_clickhouse_holds_by_their_content_alone(
    sent: tuple[int, int], stored: tuple[int, int, int, str]
) -> None:
    start, end = sent
    decoded = decode([request(span(start_time_unix_nano=start, end_time_unix_nano=end))], [""])

    times = decoded.spans.select(
        "start_unix_nano",
        "end_unix_nano",
        pl.col("started_at", "ended_at").to_physical(),
        "duration_ns",
        "time_status",
    )
    assert times.rows() == [(*sent, *stored)]


# --- what cannot be taken


def test_an_empty_request_is_taken() -> None:
    decoded = decode([b"", request()], ["", ""])

    assert (decoded.spans.height, decoded.refusals, decoded.rejections.height) == (0, {}, 0)
    assert dict(decoded.spans.schema) == frames.SPANS


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("trace_id", b"", "invalid_trace_id"),
        ("trace_id", bytes(16), "invalid_trace_id"),
        ("trace_id", b"\1" * 17, "invalid_trace_id"),
        ("trace_id", b"\1", "invalid_trace_id"),
        ("span_id", b"", "invalid_span_id"),
        ("span_id", bytes(8), "invalid_span_id"),
        ("span_id", b"\1" * 16, "invalid_span_id"),
    ],
)
def test_a_span_without_a_usable_id_is_rejected_and_its_siblings_are_stored(
    field: str, value: bytes, reason: str
) -> None:
    bad = span(2, **{field: value})

    decoded = decode([request(span(1), bad, span(3))], ["acme"])

    assert decoded.spans["span_name"].to_list() == ["span 1", "span 3"]
    assert decoded.refusals == {}
    assert decoded.rejections.drop("detail").to_dicts() == [
        {
            "request": 0,
            "tenant": "acme",
            "reason": reason,
            "spans": 1,
            "sample": bad.SerializeToString(),
        }
    ]


def test_a_parent_id_of_another_size_or_of_zeros_makes_a_root() -> None:
    decoded = decode(
        [request(*(span(1, parent_span_id=parent) for parent in (b"\1", bytes(8), b"\2" * 8)))],
        [""],
    )

    assert decoded.spans["parent_span_id"].to_list() == [None, None, "02" * 8]


def test_attributes_events_and_links_follow_their_spans_when_others_are_rejected() -> None:
    def told(number: int, **fields: Any) -> Span:
        one = span(number, events=[{"name": f"e{number}"}], links=[{"trace_state": f"l{number}"}])
        one.attributes.add(key="number").value.int_value = number
        one.MergeFrom(Span(**fields))
        return one

    decoded = decode([request(told(1), told(2, trace_id=b"\1"), told(3))], [""])

    assert [row["attributes"] for row in found(decoded)] == [{"number": (3, 1)}, {"number": (3, 3)}]
    assert [row["events"] for row in found(decoded)] == [
        [Span.Event(name="e1").SerializeToString()],
        [Span.Event(name="e3").SerializeToString()],
    ]
    assert decoded.links["row"].to_list() == [0, 1]


def test_each_request_of_a_batch_gets_its_own_answer() -> None:
    logs = b"\x0a\x1f\x12\x1d\x12\x1b\x09" + bytes(range(1, 9)) + b"\x2a\x10" + b"l" * 16
    bodies = [request(span(1)), b"\xff\xff", request(span(2), span(3, span_id=b"")), logs, b""]

    decoded = decode(bodies, ["a", "b", "c", "d", "e"])

    assert decoded.spans.select("request", "tenant", "span_name").rows() == [
        (0, "a", "span 1"),
        (2, "c", "span 2"),
    ]
    assert decoded.rejections.select("request", "tenant", "reason", "spans").rows() == [
        (2, "c", "invalid_span_id", 1),
        (3, "d", "invalid_trace_id", 1),
    ]
    assert {index: type(error).__name__ for index, error in decoded.refusals.items()} == {
        1: "BadRequestError",
        3: "BadRequestError",
    }
    assert str(decoded.refusals[3]) == (
        "None of the 1 spans can be taken: the trace id is not 16 bytes, or all of them are zero. "
        "Send OTLP traces to this endpoint."
    )


# --- identity of content


def test_the_content_hash_depends_on_span_resource_and_scope_and_on_nothing_else() -> None:
    one = request(span(1), resource={"service.name": "a"})
    elsewhere = request(span(9), span(1), resource={"service.name": "a"})
    other_resource = request(span(1), resource={"service.name": "b"})

    alone = decode([one], [""]).spans["content_hash"].to_list()
    batched = decode([other_resource, elsewhere, one], ["x", "y", "z"]).spans["content_hash"]

    assert [batched[2], batched[3]] == [alone[0]] * 2
    assert batched.n_unique() == 3
    assert alone == [9402587471497768886]


def test_the_last_of_two_attributes_of_one_name_wins() -> None:
    one = span(1)
    for value in ("first", "last"):
        one.attributes.add(key="twice").value.string_value = value

    decoded = decode([request(one)], [""])

    assert attribute_columns.texts(decoded.span_attributes, 1, ["twice"]).rows() == [("last",)]


@pytest.mark.parametrize("name", ["start_unix_nano", "end_unix_nano"])
def test_the_times_of_a_span_do_not_keep_its_content_in_memory(name: str) -> None:
    sent = Span(start_time_unix_nano=1, end_time_unix_nano=2).SerializeToString()
    batch = wire.SPAN.read(pa.array([sent], pa.binary()), np.zeros(1)).batch

    column = otlp_spans.span_columns(batch)[name]

    read = batch.column(name.replace("_unix", "_time_unix")).to_numpy()
    assert column.to_list() == read.tolist()
    assert not np.shares_memory(column.to_numpy(), read)
