"""A real `farebox serve` on the embedded ClickHouse, in a process of its own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import clickhouse_connect

from farebox_processor.demo.processes import Process, answers, free_port, python, wait_for

__all__ = ["FareboxServer"]

_DATABASE: Final = "farebox"


@dataclass(frozen=True, slots=True)
class FareboxServer:
    """Where a server listens and keeps its data; `start` may be called again after its end."""

    folder: Path
    grpc_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    clickhouse_port: int = field(default_factory=free_port)

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the server, which lead `farebox` commands to it too."""
        return {
            "FAREBOX_STORE__DSN": f"embedded:{self.folder / 'data'}",
            "FAREBOX_STORE__EVIDENCE": "all",
            "FAREBOX_SERVER__GRPC_PORT": str(self.grpc_port),
            "FAREBOX_SERVER__HTTP_PORT": str(self.http_port),
            "FAREBOX_SERVER__ADMIN_PORT": str(self.admin_port),
            "FAREBOX_CLICKHOUSE_ENDPOINT__ENABLED": "true",
            "FAREBOX_CLICKHOUSE_ENDPOINT__PORT": str(self.clickhouse_port),
        }

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.folder / "farebox.log"

    def start(self) -> Process:
        """Start the server and return when it is ready for spans.

        Raises ProcessFailedError, with the last lines of its log, if it does not get there.
        """
        process = Process(
            "farebox serve",
            python("-m", "farebox_processor", "serve"),
            log=self.log,
            environment=self.settings,
        )
        ready = f"http://127.0.0.1:{self.admin_port}/readyz"
        try:
            wait_for(lambda: answers(ready), process, what="being ready for spans")
        except BaseException:
            process.stop()
            raise
        return process

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the server's read-only ClickHouse endpoint, and return a dict for each row."""
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=self.clickhouse_port, database=_DATABASE
        )
        try:
            return list(client.query(sql).named_results())
        finally:
            client.close()
