"""The store that the configuration names, opened for a command."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from clickhouse_connect.driver.client import Client

from farebox_processor.cli.console import say
from farebox_processor.config import Config
from farebox_processor.errors import ConfigError
from farebox_processor.store.connect import folder_of, is_embedded, open_client

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
    folder, port = folder_of(dsn), config.clickhouse_endpoint.port
    served = _folder_served_at(port)
    if served is not None and (served == folder or not folder.exists()):
        if served != folder:
            say(f"there is no store in {folder}; reading {served}, which a server has open")
        return open_client(f"http://127.0.0.1:{port}", database=database)
    # Reading makes no store: it would be an empty one, in a folder that is the wrong one.
    if not folder.exists():
        raise ConfigError(
            f"there is no store in {folder}; name another in store.dsn, or make it with"
            " `farebox serve` or `farebox ingest`"
        )
    # No server that can be asked has the store open, so this process may.
    return open_client(dsn, database=database)


def _folder_served_at(port: int) -> Path | None:
    """Return the store whose rows the ClickHouse endpoint of a server of ours shows, if one is."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)) as connection:
        try:
            connection.request("GET", "/store")
            answer = connection.getresponse()
            name = answer.headers["X-ClickHouse-Server-Display-Name"]
            is_ours = name == "farebox" and answer.status == HTTPStatus.OK
            return Path(answer.read().decode()) if is_ours else None
        except (OSError, HTTPException, UnicodeDecodeError):
            return None
