"""A ClickHouse that stores nothing: rows of spans are received, counted and thrown away.

`python -m benchmarks.sink PORT FOLDER` serves it. Whatever is not an insert of such rows is
answered by a real engine, so that a server can migrate and look around as ever. It runs in a
process of its own: what ClickHouse does with rows is nobody's time here.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qs

import uvicorn
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farebox_processor.clickhouse_endpoint.writable import writable_endpoint
from farebox_processor.demo.processes import Process, answers, free_port, python, wait_for
from farebox_processor.store.connect import open_client
from farebox_processor.store.migrations import migrate

__all__ = ["DATABASE", "Sink", "running_sink"]

DATABASE: Final = "farebox"
_THROWN_AWAY: Final = re.compile(
    r"\s*INSERT\s+INTO\s+(\w+\.)?`?(spans|calls|traces|otel_traces)\b", re.IGNORECASE
)
_STATEMENT_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink."""

    port: int

    @property
    def dsn(self) -> str:
        """The address of the sink, as `store.dsn` takes it."""
        return f"clickhouse://127.0.0.1:{self.port}"

    def received_bytes(self) -> int:
        """Return how many bytes of rows have come so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/received") as response:
            return int(json.load(response)["bytes"])


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Run a sink that has been migrated."""
    with TemporaryDirectory(prefix="farebox-sink-") as folder:
        sink = Sink(free_port())
        command = python("-m", "benchmarks.sink", str(sink.port), folder)
        environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
        log = Path(folder) / "sink.log"
        with Process("the sink", command, log=log, environment=environment) as process:
            ping = f"http://127.0.0.1:{sink.port}/ping"
            wait_for(lambda: answers(ping), process, what="answering")
            client = open_client(sink.dsn, database=DATABASE)
            migrate(client, DATABASE)
            client.close()
            yield sink


class _CountingSink:
    """In front of an engine: keeps the rows of spans from it."""

    def __init__(self, engine: ASGIApp) -> None:
        self._engine = engine
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/received":
            await JSONResponse({"bytes": self._bytes})(scope, receive, send)
            return
        first = await receive()
        query = parse_qs(scope["query_string"].decode()).get("query", [""])[0]
        if not _THROWN_AWAY.match(
            query or first.get("body", b"")[:_STATEMENT_BYTES].decode("latin1")
        ):
            await self._engine(scope, _again(first, receive), send)
            return
        self._bytes += len(first["body"])
        while first.get("more_body"):
            first = await receive()
            self._bytes += len(first["body"])
        await PlainTextResponse("")(scope, receive, send)


def _again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that begins with a message that has been taken already."""
    taken = [message]

    async def receive_again() -> Message:
        return taken.pop() if taken else await receive()

    return receive_again


def main(port: int, folder: str) -> None:
    """Serve until stopped."""
    engine = writable_endpoint(f"embedded:{folder}/data")
    uvicorn.run(
        _CountingSink(engine), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
