"""ClickHouse's HTTP interface over the embedded engine, for Grafana, clients and our own commands.

Read-only, and for programs of the same machine. The engine itself confines nothing: it would read
and write any file for whoever may ask. So a statement is admitted by guard.py or not run.
"""

from farebox_processor.clickhouse_endpoint.app import read_only_endpoint

__all__ = ["read_only_endpoint"]
