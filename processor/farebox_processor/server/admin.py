"""Health, readiness and metrics of the server, on a listener of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from farebox_processor.errors import FareboxError
from farebox_processor.server.gathering import in_thread
from farebox_processor.server.receiver import Receiver

__all__ = ["CheckStore", "admin_app"]

CheckStore = Callable[[], None]
"""Raises FareboxError, with the reason, while spans cannot be stored."""

_CHECK_TIMEOUT_S: Final = 2.0


def admin_app(receiver: Receiver, check_store: CheckStore) -> Starlette:
    """Return the ASGI application of the admin listener."""
    running: list[asyncio.Task[None]] = []

    async def check() -> None:
        # One check at a time: a store that hangs must not collect threads.
        if not running:
            running.append(asyncio.create_task(in_thread(check_store)))
            running[0].add_done_callback(running.remove)
        await asyncio.shield(running[0])

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        problem = await _problem(receiver, check)
        return PlainTextResponse(f"{problem or 'ready'}\n", 503 if problem else 200)

    async def metrics(request: Request) -> Response:
        exposition = generate_latest(receiver.metrics.registry)
        return Response(exposition, media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


async def _problem(receiver: Receiver, check: Callable[[], Awaitable[None]]) -> str | None:
    if not receiver.accepting:
        return "stopping"
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return "the store does not answer"
    except FareboxError as error:
        return str(error)
    return None
