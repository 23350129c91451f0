"""Spans made of attributes, or taken from recordings, through the real decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from farebox_processor.dialects import Dialects, load_dialects
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage

ReadSpans = Callable[..., pl.DataFrame]


def _value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
        case _:
            return AnyValue(string_value=value)


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _request(
    spans: Sequence[Mapping[str, Any]],
    *,
    scope: str,
    version: str,
    name: str,
    status: int,
    resource: Mapping[str, Any],
) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(_attributes(resource))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = scope, version
    for number, values in enumerate(spans, start=1):
        span = scope_spans.spans.add(name=name, start_time_unix_nano=10**18)
        span.trace_id, span.span_id = (1).to_bytes(16, "big"), number.to_bytes(8, "big")
        span.status.code = status
        span.attributes.extend(_attributes(values))
    return request.SerializeToString()


@pytest.fixture(scope="session")
def dialects() -> Dialects:
    return load_dialects()


@pytest.fixture(scope="session")
def read(dialects: Dialects) -> ReadSpans:
    """Read the usage of spans given by their attributes, all of one scope."""
    return reader_of(dialects)


def reader_of(dialects: Dialects) -> ReadSpans:
    """Return what reads the usage of spans in these dialects."""

    def read_spans(
        *spans: Mapping[str, Any],
        scope: str = "my.app",
        version: str = "1",
        name: str = "chat",
        status: int = 0,
        resource: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        body = _request(
            spans, scope=scope, version=version, name=name, status=status, resource=resource or {}
        )
        return read_usage(decode([body], [""]), dialects)

    return read_spans
