"""The writer through ClickHouse's HTTP interface, and what a network may answer instead of it."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from farebox_processor.clickhouse_endpoint.writable import writable_endpoint
from farebox_processor.errors import RetryableStoreError
from farebox_processor.store.connect import open_client
from farebox_processor.store.migrations import migrate
from farebox_processor.store.writer import Writer

from .conftest import Engine, Rows


class Faulty:
    """An application that answers inserts by `fault`, while there is one."""

    def __init__(self, application: Starlette) -> None:
        self.application = application
        self.fault: ASGIApp | None = None
        self.inserts = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_insert = (
            scope["type"] == "http" and b"insert_deduplication_token" in scope["query_string"]
        )
        self.inserts += is_insert
        await (self.fault if is_insert and self.fault else self.application)(scope, receive, send)


@pytest.fixture(scope="module")
def faulty(engine: Engine, engine_dsn: str, serve: Callable[[ASGIApp], int]) -> tuple[Faulty, int]:
    """A real engine behind HTTP, and its port."""
    engine("default")
    application = Faulty(writable_endpoint(engine_dsn))
    return application, serve(application)


@pytest.fixture
def network(faulty: tuple[Faulty, int]) -> Faulty:
    """What stands between the writer and the engine, without a fault."""
    faulty[0].fault, faulty[0].inserts = None, 0
    return faulty[0]


@pytest.fixture
def http(faulty: tuple[Faulty, int], empty_database: str) -> Client:
    """A client that writes to a fresh database over HTTP."""
    client = open_client(f"clickhouse://127.0.0.1:{faulty[1]}/{empty_database}")
    migrate(client, empty_database)
    return client


def test_rows_written_over_http_are_stored_once(network: Faulty, http: Client, spans: Rows) -> None:
    Writer(http).write("spans", spans({}, {"span_id": "00f067aa0ba902b7"}))
    Writer(http).write("spans", spans({}, {"span_id": "00f067aa0ba902b7"}))

    assert http.command("SELECT count() FROM spans") == 2
    assert network.inserts == 2


def answer(status: int, body: bytes, **headers: str) -> ASGIApp:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(body, status_code=status, headers=named)


@pytest.mark.parametrize(
    "fault",
    [
        answer(500, b"<html><h1>Internal Server Error</h1></html>", content_type="text/html"),
        answer(502, b"<html><h1>Bad Gateway</h1></html>", content_type="text/html"),
        answer(503, b""),
        answer(200, b"Code: 241. MEMORY", x_clickhouse_exception_code="241"),
        answer(500, b"Code: 252. Too many parts", x_clickhouse_exception_code="252"),
        answer(404, b"Code: 60. UNKNOWN_TABLE", x_clickhouse_exception_code="60"),
        answer(401, b"Code: 516. AUTHENTICATION_FAILED", x_clickhouse_exception_code="516"),
    ],
)
def test_what_a_network_answers_leaves_the_rows_with_the_sender(
    network: Faulty, http: Client, spans: Rows, fault: ASGIApp
) -> None:
    network.fault = fault

    with pytest.raises(RetryableStoreError):
        Writer(http).write("spans", spans())

    network.fault = None
    Writer(http).write("spans", spans())
    assert http.command("SELECT count() FROM spans") == 1


def test_an_error_of_the_data_over_http_puts_the_row_aside(
    network: Faulty, http: Client, spans: Rows
) -> None:
    error = "Code: 252. DB::Exception: Too many partitions for single INSERT block"
    refusal = answer(500, error.encode(), x_clickhouse_exception_code="252")

    async def refuse_spans(scope: Scope, receive: Receive, send: Send) -> None:
        to_spans = b"-spans" not in scope["query_string"] and b"=spans-" in scope["query_string"]
        await (refusal if to_spans else network.application)(scope, receive, send)

    network.fault = refuse_spans

    written = Writer(http).write("spans", spans())

    assert written.rejected.height == 1
    assert http.command("SELECT count() FROM dead_letter") == 1


def test_an_insert_whose_answer_is_lost_is_stored_once_when_it_is_sent_again(
    network: Faulty, http: Client, spans: Rows
) -> None:
    async def apply_and_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
        async def swallow(message: Any) -> None:
            pass

        await network.application(scope, receive, swallow)
        raise ConnectionResetError

    network.fault = apply_and_hang_up
    with pytest.raises(RetryableStoreError):
        Writer(http).write("spans", spans())
    network.fault = None

    Writer(http).write("spans", spans())

    assert http.command("SELECT count() FROM spans FINAL") == 1


def test_a_server_that_hangs_up_is_retryable(spans: Rows, http: Client, network: Faulty) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            # The client tries a second time by itself.
            for _ in range(2):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RetryableStoreError, match="no ClickHouse answers"):
            open_client(url)
        thread.join()
