"""The store that the configuration names, opened for a command."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from clickhouse_connect.driver.client import Client

from farebox_processor.config import Config
from farebox_processor.store.connect import is_embedded, open_client

__all__ = ["reading", "writing"]

_CONNECT_SECONDS = 1


@contextmanager
def reading(config: Config) -> Iterator[Client]:
    """Open the store to read: an embedded one through the server that has it open, if any."""
    with closing(_reader(config)) as client:
        yield client


@contextmanager
def writing(config: Config) -> Iterator[Client]:
    """Open the store itself; an embedded one admits no second process."""
    dsn, database = config.store.dsn.reveal(), config.store.database
    with closing(open_client(dsn, database=database)) as client:
        yield client


def _reader(config: Config) -> Client:
    dsn, database = config.store.dsn.reveal(), config.store.database
    if not is_embedded(dsn):
        return open_client(dsn, database=database)
    port = config.clickhouse_endpoint.port
    if _answers(port):
        return open_client(f"http://127.0.0.1:{port}", database=database)
    # No server has the store open, so this process may.
    return open_client(dsn, database=database)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
