"""The server: OTLP in over gRPC and HTTP, acknowledged when ClickHouse has the spans."""
