"""A ClickHouse server of this machine: the embedded engine behind HTTP, in a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from farebox_processor.clickhouse_endpoint.writable import writable_endpoint
from farebox_processor.demo.processes import Process, answers, free_port, python, wait_for

__all__ = ["clickhouse_server"]


@contextmanager
def clickhouse_server(folder: Path) -> Iterator[int]:
    """Serve ClickHouse from `folder` and return its port."""
    port = free_port()
    command = python(__file__, f"embedded:{folder / 'data'}", str(port))
    with Process("clickhouse", command, log=folder / "clickhouse.log") as process:
        address = f"http://127.0.0.1:{port}/ping"
        wait_for(lambda: answers(address), process, what="answering")
        yield port


if __name__ == "__main__":
    uvicorn.run(writable_endpoint(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
