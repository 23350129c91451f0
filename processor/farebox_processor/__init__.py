"""The analyser and the server: OTLP in, priced conversations in ClickHouse out."""
