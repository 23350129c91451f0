"""The server: OTLP in over gRPC and HTTP, acknowledged when ClickHouse has the spans."""

from farebox_processor.server.command import run

__all__ = ["run"]
