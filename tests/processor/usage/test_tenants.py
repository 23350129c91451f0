"""Whose a span is: the credential's tenant, else the one that the span or its resource names."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.dialects import Dialects
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage

TENANT = "farebox.tenant.id"


@pytest.mark.parametrize(
    ("attributes", "resource", "tenant"),
    [
        ({TENANT: "acme"}, {TENANT: "umbrella"}, "acme"),
        ({}, {TENANT: "umbrella"}, "umbrella"),
        ({}, {}, ""),
    ],
)
def test_without_a_credential_the_span_names_its_tenant_before_its_resource(
    read: Any, attributes: dict[str, str], resource: dict[str, str], tenant: str
) -> None:
    assert read(attributes, resource=resource)["tenant"].to_list() == [tenant]


def test_no_attribute_moves_a_span_out_of_the_tenant_of_its_credential(dialects: Dialects) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="chat")
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    span.attributes.add(key=TENANT).value.string_value = "umbrella"

    usage = read_usage(decode([request.SerializeToString()], ["acme"]), dialects)

    assert usage["tenant"].to_list() == ["acme"]
