"""The stock Python exporters deliver to `farebox serve`, and the rows equal what was sent."""

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace.export import SpanExporter

from farebox_processor.demo.farebox_server import FareboxServer
from support.traffic import evidence_of, evidence_rows, send, span_rows, spans_of


def exporter_of(way: str, server: FareboxServer) -> SpanExporter:
    if way == "grpc":
        return GrpcExporter(endpoint=f"http://127.0.0.1:{server.grpc_port}", insecure=True)
    address = f"http://127.0.0.1:{server.http_port}/v1/traces"
    compression = Compression.Gzip if way == "http, gzip" else Compression.NoCompression
    return HttpExporter(endpoint=address, compression=compression)


@pytest.mark.parametrize("way", ["grpc", "http", "http, gzip"])
def test_rows_equal_what_a_stock_exporter_sent(farebox_server: FareboxServer, way: str) -> None:
    sent = send(exporter_of(way, farebox_server), conversation_id=f"exported by {way}")

    assert evidence_rows(farebox_server, sent) == evidence_of(sent)
    assert span_rows(farebox_server, sent) == spans_of(sent)
