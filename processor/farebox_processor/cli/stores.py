"""The store that the configuration names, opened for a command."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from clickhouse_connect.driver.client import Client

from farebox_processor.config import Config
from farebox_processor.errors import ConfigError
from farebox_processor.store.connect import is_embedded, open_client

__all__ = ["reading", "writing"]

_ANSWER_SECONDS = 5


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
    if _is_farebox(port):
        return open_client(f"http://127.0.0.1:{port}", database=database)
    # Reading makes no store: it would be an empty one, in a folder that is the wrong one.
    folder = Path(dsn.removeprefix("embedded:")).expanduser()
    if not folder.exists():
        raise ConfigError(
            f"there is no store in {folder}; name another in store.dsn, or make it with"
            " `farebox serve` or `farebox ingest`"
        )
    # No server has the store open, so this process may.
    return open_client(dsn, database=database)


def _is_farebox(port: int) -> bool:
    """Tell whether the ClickHouse endpoint of a server of ours answers, not another ClickHouse."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)) as connection:
        try:
            connection.request("GET", "/?query=SELECT%201")
            name = connection.getresponse().headers["X-ClickHouse-Server-Display-Name"]
        except (OSError, HTTPException):
            return False
    return name == "farebox"
