"""Requests come out as they went in, with the attributes that were attached, and no more."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from farebox_processor.enriched_otlp import Enriched, Flushed, enrich
from farebox_processor.enrichment import Attached
from farebox_processor.otlp import decode

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "corpus").glob("*/case.pb"))
TEXTS = st.text(max_size=300)
NUMBERS = st.integers(0, 2**63 - 1)


def request(*spans: Span, schema_url: str = "") -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add(schema_url=schema_url)
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.scope_spans.add(schema_url=schema_url).spans.extend(spans)
    return message.SerializeToString()


def span(number: int, **attributes: str) -> Span:
    made = Span(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name=f"span {number}")
    for key, value in attributes.items():
        made.attributes.add(key=key.replace("__", ".")).value.string_value = value
    return made


def attached(rows: Sequence[int], **columns: Sequence[Any]) -> Attached:
    named = {key.replace("__", "."): values for key, values in columns.items()}
    return Attached(pl.Series(rows, dtype=pl.UInt32), pl.DataFrame(named, strict=False))


def enriched(bodies: Sequence[bytes], added: Attached) -> list[Enriched]:
    return list(enrich(Flushed.of(bodies, decode(bodies, [""] * len(bodies)), added)))


def with_attributes(body: bytes, added: Mapping[int, Mapping[str, Any]]) -> Any:
    """Add attributes to the spans of a request through the protobuf package, by their number."""
    message = ExportTraceServiceRequest.FromString(body)
    spans = [
        one
        for group in message.resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    ]
    fields = {str: "string_value", int: "int_value", float: "double_value"}
    for number, attributes in added.items():
        for key, value in attributes.items():
            setattr(spans[number].attributes.add(key=key).value, fields[type(value)], value)
    return message


def parsed(body: bytes) -> Any:
    return ExportTraceServiceRequest.FromString(body)


@given(TEXTS, NUMBERS, st.floats(allow_nan=False))
def test_values_of_each_type_and_size_are_appended(text: str, whole: int, number: float) -> None:
    body = request(span(1, gen_ai__system="openai"), span(2))

    [sent] = enriched([body], attached([1], text=[text], whole=[whole], number=[number]))

    expected = with_attributes(body, {1: {"text": text, "whole": whole, "number": number}})
    assert (parsed(sent.body), sent.spans) == (expected, 2)


def test_each_span_gets_what_is_its_own_and_nothing_for_a_null() -> None:
    bodies = [request(span(1), span(2)), request(span(3), span(4))]

    sent = enriched(bodies, attached([0, 2, 3], tier=["simple", None, "complex"], turns=[1, 2, 3]))

    assert [parsed(one.body) for one in sent] == [
        with_attributes(bodies[0], {0: {"tier": "simple", "turns": 1}}),
        with_attributes(bodies[1], {0: {"turns": 2}, 1: {"tier": "complex", "turns": 3}}),
    ]


def test_the_recordings_come_out_as_they_went_in() -> None:
    bodies = [path.read_bytes() for path in CORPUS]

    sent = enriched(bodies, attached([], tier=[]))

    assert [parsed(one.body) for one in sent] == [parsed(body) for body in bodies]


def test_fields_that_are_not_known_here_are_carried_on() -> None:
    unknown = b"\xfa\x3f\x03abc"  # field 1023
    message = ExportTraceServiceRequest.FromString(request(span(1), schema_url="https://x/1.40"))
    message.MergeFromString(unknown)
    message.resource_spans[0].scope_spans[0].MergeFromString(unknown)
    message.resource_spans[0].scope_spans[0].spans[0].MergeFromString(unknown)
    body = message.SerializeToString()

    [sent] = enriched([body], attached([0], tier=["simple"]))

    assert parsed(sent.body) == with_attributes(body, {0: {"tier": "simple"}})


def test_a_request_that_cannot_be_rebuilt_goes_on_as_it_came_beside_its_neighbours() -> None:
    number_too_large = b"\x82\x80\x80\x80\x10\x00"
    odd, good = request(span(1)) + number_too_large, request(span(2))

    one, other = enriched([odd, good], attached([0, 1], farebox__cost__usd=[0.5, 0.5]))

    assert one == Enriched(odd, 1)
    assert ExportTraceServiceRequest.FromString(other.body) == with_attributes(
        good, {0: {"farebox.cost.usd": 0.5}}
    )


def test_spans_and_requests_that_were_not_taken_are_left_out() -> None:
    nameless = Span(trace_id=b"t" * 16, name="no id")
    bodies = [b"\xff garbage", request(nameless, span(1), nameless, span(2)), b"", request(span(3))]

    sent = enriched(bodies, attached([0, 1, 2], tier=["a", "b", "c"]))

    first = with_attributes(request(span(1), span(2)), {0: {"tier": "a"}, 1: {"tier": "b"}})
    second = with_attributes(bodies[3], {0: {"tier": "c"}})
    assert [(parsed(one.body), one.spans) for one in sent] == [(first, 2), (second, 1)]


def test_what_an_earlier_server_attached_is_replaced() -> None:
    old = span(1, farebox__cost__usd="9", gen_ai__system="openai", farebox__feature="chat")

    [sent] = enriched([request(old)], attached([0], farebox__cost__usd=["1"]))

    kept = request(span(1, gen_ai__system="openai", farebox__feature="chat"))
    assert parsed(sent.body) == with_attributes(kept, {0: {"farebox.cost.usd": "1"}})


def test_requests_one_after_another_are_one_request() -> None:
    bodies = [request(span(1)), request(span(2))]

    sent = enriched(bodies, attached([], tier=[]))

    together = parsed(b"".join(one.body for one in sent))
    assert list(together.resource_spans) == [
        group for body in bodies for group in parsed(body).resource_spans
    ]
