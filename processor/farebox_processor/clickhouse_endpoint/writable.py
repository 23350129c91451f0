"""The same interface without the guard: the HTTP path of the writer, on a real engine.

For tests and benchmarks, where no ClickHouse server is installed. Never for a server: whoever
reaches it owns the files of the user it runs as.
"""

import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Final

from clickhouse_connect.driver.binding import quote_identifier
from starlette.applications import Starlette

from farebox_processor.clickhouse_endpoint.app import clickhouse_http
from farebox_processor.clickhouse_endpoint.engine import EngineConnection, refusal_of
from farebox_processor.clickhouse_endpoint.protocol import Call
from farebox_processor.store.connect import engine_address, folder_of, load_engine

__all__ = ["writable_endpoint"]

_INSERT: Final = re.compile(rb"\s*(INSERT INTO .+?)\s+FORMAT\s+(\w+)\s*?(?:\n|$)", re.DOTALL)
_STATEMENT_BYTES: Final = 65_536

# Of the transport, not of the engine.
_NOT_SETTINGS: Final = frozenset(
    {
        "buffer_size",
        "client_protocol_version",
        "database",
        "default_format",
        "query",
        "query_id",
        "session_id",
        "wait_end_of_query",
    }
)


def writable_endpoint(dsn: str) -> Starlette:
    """Return an application that runs any statement on the embedded store `dsn`, one at a time."""
    connection: EngineConnection = load_engine().connect(engine_address(dsn))
    one_at_a_time = Lock()

    def answer(call: Call) -> tuple[bytes, str]:
        with one_at_a_time:
            try:
                if call.database:
                    connection.query(f"USE {quote_identifier(call.database)}", "Null", params={})
                insert = _INSERT.match(call.sql[:_STATEMENT_BYTES])
                if insert:
                    _insert(connection, call, insert)
                    return b"", call.format
                sql = call.sql.decode()
                result = connection.query(sql, call.format, params=call.parameters)
                return bytes(result.bytes()), call.format
            except RuntimeError as error:
                raise refusal_of(error) from error

    return clickhouse_http(answer, "26.9", str(folder_of(dsn)))


def _insert(connection: EngineConnection, call: Call, insert: re.Match[bytes]) -> None:
    """Insert the body by way of a file: the embedded engine takes binary rows from nowhere else."""
    settings = ", ".join(
        f"{name} = '{value}'"
        for name, value in call.settings.items()
        if name not in _NOT_SETTINGS and not name.startswith("param_")
    )
    clause = f" SETTINGS {settings}" if settings else ""
    with NamedTemporaryFile(suffix=".rows") as rows:
        rows.write(call.sql[insert.end() :])
        rows.flush()
        connection.query(
            f"{insert[1].decode()} FROM INFILE '{Path(rows.name)}'{clause}"
            f" FORMAT {insert[2].decode()}",
            "Null",
            params={},
        )
