"""Where ClickHouse is in, a client out: a server over HTTP(S), or the engine in this process."""

import faulthandler
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import ConfigError, RetryableStoreError
from farebox_processor.store.refusals import CLIENT_ERRORS

__all__ = [
    "ENGINE_CONFIG",
    "engine_address",
    "folder_of",
    "is_embedded",
    "load_engine",
    "open_client",
]

ENGINE_CONFIG: Final = Path(str(files(__package__) / "embedded_engine.xml"))
"""The settings of the embedded engine. Always given: without a file it would load whatever
config.xml the working directory holds."""

_EMBEDDED: Final = "embedded:"
_INTERFACES: Final = {"clickhouse": "http", "http": "http", "https": "https"}
_TLS_OPTIONS: Final = frozenset({"ca_cert", "client_cert", "client_cert_key"})
_CONNECT_SECONDS: Final = 5


def is_embedded(dsn: str) -> bool:
    """Tell whether `dsn` names an engine in this process."""
    return dsn.startswith(_EMBEDDED)


def folder_of(dsn: str) -> Path:
    """Return the folder of the engine that `dsn` names, from the root."""
    return Path(dsn.removeprefix(_EMBEDDED)).expanduser().resolve()


def engine_address(dsn: str) -> str:
    """Return what chdb.connect takes to join the engine that `dsn` names.

    Letter for letter what the client opens it with: the engine compares addresses as text.
    """
    return f"{folder_of(dsn)}?{urlencode({'config-file': str(ENGINE_CONFIG)})}"


@cache
def load_engine() -> Any:
    """Return the module chdb, which leaves the signals of this process alone.

    Its handlers of SIGSEGV, SIGABRT and the like, which it installs when it is imported, wait for
    a thread that only a ClickHouse server has, for minutes: a process that crashes, in whatever
    library, would hang instead of ending.

    Raises ImportError where the extra `embedded` is not installed.
    """
    import chdb  # noqa: PLC0415 - an extra

    chdb._chdb.set_signal_handlers_enabled(0)
    if faulthandler.is_enabled():
        # Its handlers are gone with those of the engine.
        faulthandler.disable()
        faulthandler.enable()
    return chdb


def open_client(dsn: str, *, database: str = "farebox", timeout_seconds: int = 30) -> Client:
    """Open a client whose statements run in `database`, which need not exist yet.

    `dsn` is clickhouse://user:password@host:8123/database, http://... or https://... (with
    ?ca_cert=, client_cert=, client_cert_key= where needed), or embedded:PATH. A database in the
    dsn wins over `database`. The embedded engine admits one process and one path per process and
    does not survive a fork: open it in the process that uses it. One client runs one statement at
    a time when embedded; open one per thread.

    Raises ConfigError if the dsn cannot be used, RetryableStoreError if nobody answers.
    """
    if is_embedded(dsn):
        client = _embedded(dsn.removeprefix(_EMBEDDED))
    else:
        address = _address(dsn)
        client = _server(address, timeout_seconds)
        database = unquote(address.path.strip("/")) or database
    # Set after the handshake, which would fail in a database that is not there yet.
    client.database = database
    return client


def _embedded(path: str) -> Client:
    if not path:
        raise ConfigError("the store 'embedded:' has no path; write embedded:DIRECTORY")
    directory = Path(path).expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the store {directory} is no folder that can be written ({error.strerror}); name"
            " another in store.dsn"
        ) from error
    try:
        load_engine()
        return clickhouse_connect.get_client(
            interface="chdb",
            path=str(directory),
            chdb_options={"config-file": str(ENGINE_CONFIG)},
            # The engine takes the machine's time zone, whatever its settings file says.
            settings={"session_timezone": "UTC"},
            show_clickhouse_errors="scrub",
        )
    except ImportError:
        raise ConfigError(
            "the embedded ClickHouse is not installed; run: pip install 'farebox[embedded]'"
        ) from None
    except CLIENT_ERRORS as error:
        # The engine gives no reason when another process holds the lock.
        raise RetryableStoreError(
            f"the store {directory} cannot be opened; if another process has it open, stop that, or"
            " start `farebox serve` with clickhouse_endpoint.enabled: true to read beside it"
            f" ({' '.join(str(error).split())})"
        ) from error


def _address(dsn: str) -> SplitResult:
    address = urlsplit(dsn)
    try:
        usable = address.scheme in _INTERFACES and address.hostname and address.port != 0
    except ValueError:  # of a port that is none
        usable = False
    if not usable:
        raise ConfigError(
            f"a store beginning with {address.scheme + ':'!r} cannot be used; write"
            " clickhouse://user:password@host:8123, https://host:8443 or embedded:DIRECTORY"
        )
    unknown = sorted({key for key, _ in parse_qsl(address.query)} - _TLS_OPTIONS)
    if unknown:
        raise ConfigError(
            f"the store has the unknown option {unknown[0]!r}; known: {', '.join(_TLS_OPTIONS)}"
        )
    return address


def _server(address: SplitResult, timeout_seconds: int) -> Client:
    tls: dict[str, Any] = dict(parse_qsl(address.query))
    try:
        return clickhouse_connect.get_client(
            interface=_INTERFACES[address.scheme],
            host=address.hostname,
            port=address.port,
            username=unquote(address.username) if address.username else None,
            password=unquote(address.password or ""),
            # One client serves several threads; a session would admit one statement at a time.
            autogenerate_session_id=False,
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=timeout_seconds,
            show_clickhouse_errors="scrub",
            **tls,
        )
    except CLIENT_ERRORS as error:
        # Not `from error`: the client's own message and cause hold the whole address.
        raise RetryableStoreError(
            f"no ClickHouse answers at {address.hostname}"
            f" ({_reason(error)}); check that it runs and that the user may sign in"
        ) from None


def _reason(error: Exception) -> str:
    code = getattr(error, "code", None)
    return f"code {code}" if code is not None else type(error).__name__
