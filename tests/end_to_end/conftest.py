"""A real `farebox serve`, shared by the tests that do not stop it."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.store.connect import open_client
from farebox_processor.store.migrations import migrate
from support.clickhouse_server import clickhouse_server

_numbers = count(1)


@pytest.fixture(scope="session")
def farebox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FareboxServer]:
    """Serve on the embedded ClickHouse, in a process of its own."""
    server = FareboxServer(tmp_path_factory.mktemp("farebox"))
    with server.start():
        yield server


@pytest.fixture(scope="session")
def clickhouse_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a ClickHouse server in a process of its own, which several servers may share."""
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as port:
        yield port


@pytest.fixture
def shared(clickhouse_port: int) -> Iterator[Client]:
    """A client of that server, in a fresh database with all tables."""
    name = f"shared_{next(_numbers)}"
    with closing(open_client(f"clickhouse://127.0.0.1:{clickhouse_port}/{name}")) as client:
        migrate(client, name)
        yield client
