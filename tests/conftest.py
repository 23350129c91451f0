"""Shared by all tests: one embedded ClickHouse per process, one fresh database per test."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TypeAlias

import pytest
import uvicorn
from clickhouse_connect.driver.client import Client
from hypothesis import settings
from starlette.types import ASGIApp

from farebox_processor.store.connect import load_engine, open_client
from farebox_processor.store.migrations import migrate

Engine: TypeAlias = Callable[[str], Client]

# Before pytest asks for the traceback of a crash: the engine takes the handlers away.
load_engine()
# And of a process that a test starts, on its standard error.
os.environ["PYTHONFAULTHANDLER"] = "1"

_databases = count(1)

# How long an example takes says something of the machine, not of the code.
settings.register_profile("farebox", deadline=None)
settings.load_profile("farebox")


@pytest.fixture(scope="session")
def engine_dsn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of this process's embedded ClickHouse: the engine admits one path a process."""
    return f"embedded:{tmp_path_factory.mktemp('clickhouse')}"


@pytest.fixture(scope="session")
def engine(engine_dsn: str) -> Iterator[Engine]:
    """Open a client of this process's embedded ClickHouse in the database that is named."""
    # The engine ends with its last client; this one keeps it for the whole session.
    keeper = open_client(engine_dsn)
    opened = [keeper]

    def open_database(database: str) -> Client:
        opened.append(open_client(engine_dsn, database=database))
        return opened[-1]

    yield open_database
    for client in opened:
        client.close()


@pytest.fixture
def empty_database(engine: Engine) -> Iterator[str]:
    """The name of a database that does not exist yet."""
    name = f"test_{next(_databases)}"
    yield name
    client = engine("default")
    client.command(f"DROP DATABASE IF EXISTS {name} SYNC", use_database=False)
    client.close()


@pytest.fixture
def database(engine: Engine, empty_database: str) -> str:
    """The name of a fresh database with all tables."""
    client = engine(empty_database)
    migrate(client, empty_database)
    for table in ("otel_traces", "otel_traces_trace_id_ts"):
        # The dates of the tests lie in the past, and further there every day.
        client.command(f"ALTER TABLE {table} REMOVE TTL")
    client.close()
    return empty_database


@pytest.fixture
def client(engine: Engine, database: str) -> Client:
    """A client in a fresh database with all tables."""
    return engine(database)


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()


@contextmanager
def _serving(application: ASGIApp) -> Iterator[int]:
    server = _Server(uvicorn.Config(application, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    server.listening.wait()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[ASGIApp], int]]:
    """Serve an ASGI application over HTTP on loopback until the session ends; return its port."""
    with ExitStack() as servers:
        yield lambda application: servers.enter_context(_serving(application))
