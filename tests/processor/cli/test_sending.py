"""`farebox ingest --endpoint`: what a server did not take is told, whoever answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .conftest import Run

Serve = Callable[[Starlette], int]


def answering(body: bytes) -> Starlette:
    """A server that takes every request and answers with `body`."""

    async def take(request: Request) -> Response:
        await request.body()
        return Response(body, media_type="application/x-protobuf")

    return Starlette(routes=[Route("/v1/traces", take, methods=["POST"])])


def test_the_spans_that_a_server_rejects_are_counted(
    run: Run, recording: Callable[[str], Path], serve: Serve
) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    port = serve(answering(answer.SerializeToString()))

    file = recording("go_openai_chat")
    result = run("ingest", file, file, "--endpoint", f"http://127.0.0.1:{port}")

    assert result.stdout == "2 requests sent, 4 spans rejected\n"


def test_who_answers_otherwise_than_otlp_took_nothing(
    run: Run, recording: Callable[[str], Path], serve: Serve
) -> None:
    port = serve(answering(b"\xff<html>"))

    result = run("ingest", recording("go_openai_chat"), "--endpoint", f"http://127.0.0.1:{port}")

    assert (result.exit_code, "does not answer as OTLP/HTTP does" in result.stderr) == (1, True)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:abc", "http://127.0.0.1:1"])
def test_an_address_where_nobody_is_is_named(
    run: Run, recording: Callable[[str], Path], endpoint: str
) -> None:
    result = run("ingest", recording("go_openai_chat"), "--endpoint", endpoint)

    assert (result.exit_code, f"nobody takes spans at {endpoint}" in result.stderr) == (1, True)


def test_a_tenant_is_not_said_beside_an_endpoint_that_knows_it_by_the_token(
    run: Run, recording: Callable[[str], Path]
) -> None:
    result = run(
        "ingest", recording("go_openai_chat"), "--endpoint", "http://127.0.0.1:1", "--tenant", "a"
    )

    assert (result.exit_code, "leave --tenant out" in result.stderr) == (2, True)
