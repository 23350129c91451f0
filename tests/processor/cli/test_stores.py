"""Which store a command reads, where a server of ours has one open."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from farebox_processor.clickhouse_endpoint import read_only_endpoint

from .conftest import Run

Serve = Callable[[Starlette], int]


@pytest.fixture
def stored(
    run: Run, recording: Callable[[str], Path], engine_dsn: str, empty_database: str
) -> dict[str, str]:
    """The settings of a store with one conversation."""
    settings = {"FAREBOX_STORE__DSN": engine_dsn, "FAREBOX_STORE__DATABASE": empty_database}
    taken = run("ingest", recording("go_openai_chat"), **settings)
    assert taken.exit_code == 0, taken.stderr
    return settings


def conversations(stdout: str) -> int:
    return len(json.loads(stdout)["conversations"])


def other_server(folder: str, **headers: str) -> Starlette:
    """A server that answers at every path, and has nothing."""

    def answer(request: object) -> PlainTextResponse:
        return PlainTextResponse(
            folder, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return Starlette(routes=[Route("/{path:path}", answer)])


def test_a_store_of_ones_own_is_read_while_a_server_has_another_one_open(
    run: Run, stored: dict[str, str], serve: Serve
) -> None:
    another = other_server("/srv/another", X_ClickHouse_Server_Display_Name="farebox")

    port = serve(another)
    result = run("conversations", "--json", **stored, FAREBOX_CLICKHOUSE_ENDPOINT__PORT=str(port))

    assert (conversations(result.stdout), result.stderr) == (1, "")


def test_the_store_of_a_server_is_read_where_there_is_none_and_named(
    run: Run, stored: dict[str, str], serve: Serve, tmp_path: Path
) -> None:
    dsn, database = stored["FAREBOX_STORE__DSN"], stored["FAREBOX_STORE__DATABASE"]
    with read_only_endpoint(dsn, database) as endpoint:
        settings = stored | {
            "FAREBOX_STORE__DSN": "embedded:data",
            "FAREBOX_CLICKHOUSE_ENDPOINT__PORT": str(serve(endpoint)),
        }

        result = run("conversations", "--json", **settings)

    folder = Path(dsn.removeprefix("embedded:")).resolve()
    assert conversations(result.stdout) == 1
    assert result.stderr == (
        f"farebox: there is no store in {tmp_path.resolve() / 'data'}; reading {folder},"
        " which a server has open\n"
    )


def test_what_another_program_answers_is_no_store(run: Run, serve: Serve) -> None:
    port = serve(other_server("<html>"))

    result = run(
        "conversations",
        FAREBOX_STORE__DSN="embedded:data",
        FAREBOX_CLICKHOUSE_ENDPOINT__PORT=str(port),
    )

    assert (result.exit_code, "there is no store in" in result.stderr) == (1, True)
