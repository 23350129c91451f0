"""The ASGI application: requests of ClickHouse clients in, answers of the embedded engine out."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from farebox_processor.clickhouse_endpoint import protocol
from farebox_processor.clickhouse_endpoint.engine import READ_ONLY, Engine, embedded_connections
from farebox_processor.clickhouse_endpoint.functions import LIST_FUNCTIONS, Functions
from farebox_processor.clickhouse_endpoint.guard import Guard
from farebox_processor.clickhouse_endpoint.protocol import Call
from farebox_processor.clickhouse_endpoint.refusal import StatementRefusedError
from farebox_processor.store.connect import engine_address, folder_of

__all__ = ["Answer", "clickhouse_http", "read_only_endpoint"]

Answer = Callable[[Call], tuple[bytes, str]]
"""Runs what is asked for and returns the result and its format."""

_STATEMENTS: Final = 4
_WAITING: Final = 32
_TOO_MANY_QUERIES: Final = 202
_UNKNOWN_DATABASE: Final = 81
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@contextmanager
def read_only_endpoint(dsn: str, database: str) -> Iterator[Starlette]:
    """Yield the application that answers queries about `database` of the embedded store `dsn`.

    The store must have been migrated. Bind it to loopback: it knows no users. Settings in the URL
    are ignored, since clients send a dozen of their own; those of engine.READ_ONLY hold.
    """
    engine = Engine(embedded_connections(engine_address(dsn)), database, READ_ONLY)
    with closing(engine):
        yield _read_only(engine, database, str(folder_of(dsn)))


def _read_only(engine: Engine, database: str, folder: str) -> Starlette:
    listed = engine.run(LIST_FUNCTIONS, "TabSeparated", {}).decode().splitlines()
    functions = Functions.of((*row.split("\t"),) for row in listed)  # type: ignore[misc]
    guard = Guard(database, functions)

    def answer(call: Call) -> tuple[bytes, str]:
        if call.database not in ("", "default", database):
            raise StatementRefusedError(
                f"database {call.database} is not here; use {database}", code=_UNKNOWN_DATABASE
            )
        statement = guard.admit(call.sql.decode(errors="replace"), call.format)
        return engine.run(statement.text, statement.format, call.parameters), statement.format

    version = engine.run("SELECT version()", "TabSeparated", {}).decode().strip()
    return clickhouse_http(answer, version, folder)


def clickhouse_http(answer: Answer, version: str, folder: str) -> Starlette:
    """Return an application that speaks ClickHouse's HTTP interface and runs calls by `answer`.

    At /store it tells the `folder` whose rows it shows: another server may have the port.
    """
    running = asyncio.Semaphore(_STATEMENTS)
    waiting = 0

    async def query(request: Request) -> Response:
        nonlocal waiting
        query_id = request.query_params.get("query_id", "")
        try:
            _refuse_browsers(request.headers)
            call = protocol.read_call(request, await _body(request))
            if not call.sql:
                return PlainTextResponse("Ok.\n")
            if call.is_hello:
                return protocol.hello_response(call, version)
            if waiting >= _WAITING:
                raise StatementRefusedError("too many queries at once", code=_TOO_MANY_QUERIES)
            waiting += 1
            try:
                async with running:
                    result, result_format = await run_in_threadpool(answer, call)
            finally:
                waiting -= 1
            # Compressing takes long enough to hold up everybody else.
            return await run_in_threadpool(protocol.response, request, call, result, result_format)
        except StatementRefusedError as error:
            return protocol.error_response(error, query_id)

    def ping(request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    def store(request: Request) -> Response:
        try:
            _refuse_browsers(request.headers)
        except StatementRefusedError as error:
            return protocol.error_response(error, "")
        return PlainTextResponse(folder, headers=protocol.SERVER)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/store", store, methods=["GET"]),
            Route("/", query, methods=["GET", "POST"]),
        ]
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > protocol.BODY_BYTES:
            raise StatementRefusedError(f"the body is larger than {protocol.BODY_BYTES} bytes")
    return protocol.inflate(bytes(body), request.headers.get("content-encoding", ""))


def _refuse_browsers(headers: Mapping[str, str]) -> None:
    """Refuse what a web page makes a browser of this machine send.

    A page may resolve its own name to 127.0.0.1; then its name is in Host. Or it posts to
    127.0.0.1; then its name, or `null`, is in Origin. Or it loads the answer as its own script;
    then only Sec-Fetch-Site says that the page is another one's.
    """
    host, origin = headers.get("host"), headers.get("origin")
    is_foreign = (
        headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        or (host and _host_of(f"//{host}") not in _LOOPBACK)
        or (origin and _host_of(origin) not in _LOOPBACK)
    )
    if is_foreign:
        raise StatementRefusedError(
            f"{origin or host} may not ask; this interface is for programs of this machine"
        )


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
