"""Statements in, bytes in ClickHouse's formats out: connections to the engine of this process."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, LifoQueue
from typing import Any, Final, Protocol

from clickhouse_connect.driver.binding import quote_identifier

from farebox_processor.clickhouse_endpoint.refusal import StatementRefusedError
from farebox_processor.store.connect import load_engine

__all__ = ["READ_ONLY", "Engine", "EngineConnection", "embedded_connections", "refusal_of"]

READ_ONLY: Final = {
    "max_execution_time": 30,
    "max_memory_usage": 1 << 30,
    "max_result_bytes": 256 << 20,
    "max_result_rows": 1_000_000,
    "result_overflow_mode": "throw",
    "max_threads": 2,
    "max_ast_depth": 200,
    # Last: nothing can be set after it.
    "readonly": 1,
}
"""A dashboard shares the machine with the writer; what it asks for ends."""

_CODE: Final = re.compile(r"Code: (\d+)")
_UNKNOWN_ERROR: Final = 1002


class EngineConnection(Protocol):
    """What is used of chdb's connection."""

    def query(self, query: str, format: str, params: Mapping[str, str]) -> Any:
        """Run a statement and return its result, which has bytes()."""

    def close(self) -> None:
        """Leave the engine, which ends with its last connection."""


class Engine:
    """Runs statements in `database`, each on a connection of its own."""

    def __init__(
        self, connect: Callable[[], EngineConnection], database: str, settings: Mapping[str, object]
    ) -> None:
        self._connect = connect
        self._database = database
        self._settings = settings
        self._idle: LifoQueue[EngineConnection] = LifoQueue()
        self._closed = False

    def run(self, statement: str, result_format: str, parameters: Mapping[str, str]) -> bytes:
        """Return the result of `statement`; raise StatementRefusedError with the engine's error.

        The values of `parameters` are escaped as in ClickHouse's URLs.
        """
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._open()
        try:
            return bytes(connection.query(statement, result_format, params=parameters).bytes())
        except RuntimeError as error:
            raise refusal_of(error) from error
        finally:
            self._idle.put(connection)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the connections; one that runs a statement is closed when that has ended.

        Of a process that ends with a connection open the engine is torn down while its threads
        still run, which crashes now and then: https://github.com/chdb-io/chdb-core/issues/177
        """
        self._closed = True
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _open(self) -> EngineConnection:
        connection = self._connect()
        prepare = [f"USE {quote_identifier(self._database)}", "SET session_timezone = 'UTC'"]
        prepare += [f"SET {name} = '{value}'" for name, value in self._settings.items()]
        try:
            for statement in prepare:
                connection.query(statement, "Null", params={})
        except RuntimeError as error:
            raise refusal_of(error) from error
        return connection


def embedded_connections(address: str) -> Callable[[], EngineConnection]:
    """Return what opens connections to the engine at `address` (connect.engine_address)."""
    chdb = load_engine()

    def connect() -> EngineConnection:
        connection: EngineConnection = chdb.connect(address)
        return connection

    return connect


def refusal_of(error: RuntimeError) -> StatementRefusedError:
    """Return the engine's error as it is answered."""
    message = str(error)
    start = message.find("Code: ")
    code = _CODE.search(message)
    said = message[start:] if start >= 0 else message
    return StatementRefusedError(said, code=int(code[1]) if code else _UNKNOWN_ERROR)
