"""The life of a server: listen, serve until told to stop, finish what is in flight, leave."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from farebox_processor.config import Config
from farebox_processor.server.admin import CheckStore, admin_app
from farebox_processor.server.auth import Admission
from farebox_processor.server.budget import Budget
from farebox_processor.server.flush import Bury, Flush, FollowUp, SteadyFlush
from farebox_processor.server.gathering import Gatherer, in_thread
from farebox_processor.server.grpc_listener import GrpcListener
from farebox_processor.server.http_listener import otlp_http_app
from farebox_processor.server.http_server import HttpServer, tls_context
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.receiver import Receiver

__all__ = ["Ending", "Ports", "Server", "Work", "serve"]

_logger = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_FAREWELL_S: Final = 1.0
"""Time to hand out the answers once all are known."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the server does with requests, and whose: the part that is not about the network."""

    flush: Flush
    bury: Bury
    check_store: CheckStore
    admission: Admission
    follow_up: FollowUp = lambda: None
    finish: Callable[[float], None] = lambda within_s: None
    """Called once nothing comes any more, with the seconds that are left of the grace."""
    clickhouse_endpoint: ASGIApp | None = None


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports in use; 0 for a listener that is off."""

    grpc: int
    http: int
    admin: int
    clickhouse: int


class Server:
    """The listeners and what stands behind them, on one event loop."""

    def __init__(self, config: Config, work: Work, metrics: Metrics) -> None:
        self._config = config
        self._finish = work.finish
        settings = config.server
        budget = _budget(config)
        flush = SteadyFlush(work.flush, work.bury, metrics, follow_up=work.follow_up)
        self._gatherer = Gatherer(flush, config.flush, budget=budget, metrics=metrics)
        self._receiver = Receiver(
            self._gatherer,
            settings,
            admission=work.admission,
            budget=budget,
            metrics=metrics,
        )
        self._grpc = GrpcListener(self._receiver)
        self._http = self._listener(otlp_http_app(self._receiver), "OTLP/HTTP", _tls(config))
        self._admin = self._listener(admin_app(self._receiver, work.check_store), "admin")
        self._clickhouse = (
            self._listener(work.clickhouse_endpoint, "ClickHouse")
            if work.clickhouse_endpoint is not None
            else None
        )
        self._flushing: asyncio.Task[None] | None = None

    @property
    def ports(self) -> Ports:
        """Return the ports that were given or found."""
        clickhouse = self._clickhouse.port if self._clickhouse else 0
        return Ports(self._grpc.port, self._http.port, self._admin.port, clickhouse)

    @property
    def unfinished(self) -> int:
        """How many requests have no verdict yet."""
        return self._gatherer.unfinished

    async def start(self) -> None:
        """Open every listener. Raises ConfigError where one cannot be opened."""
        settings = self._config.server
        self._flushing = asyncio.create_task(self._gatherer.run())
        await self._admin.start(settings.admin_host, settings.admin_port)
        if self._clickhouse is not None:
            await self._clickhouse.start(_LOOPBACK, self._config.clickhouse_endpoint.port)
        await self._http.start(settings.host, settings.http_port)
        await self._grpc.start()

    async def stop(self) -> int:
        """Refuse what comes, finish what is in flight, and return how many were left."""
        self._receiver.accepting = False
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.server.shutdown_grace_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._gatherer.drain()
        left = self.unfinished
        await self._close()
        await in_thread(lambda: self._finish(max(0.0, until - loop.time())))
        return left

    async def _close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        listeners = (self._http, self._admin, self._clickhouse)
        await asyncio.gather(
            self._grpc.stop(_FAREWELL_S),
            *(listener.stop() for listener in listeners if listener is not None),
        )

    def _listener(self, app: ASGIApp, name: str, tls: ssl.SSLContext | None = None) -> HttpServer:
        return HttpServer(
            app,
            name=name,
            header_timeout_s=self._config.server.header_timeout_s,
            body_timeout_s=self._config.server.body_timeout_s,
            tls=tls,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a server ended."""

    requests_left: int
    """Requests whose flush had not come to an end; their senders try again."""
    forced: bool


async def serve(
    config: Config, work: Work, metrics: Metrics, *, started: Callable[[Ports], None]
) -> Ending:
    """Serve until SIGTERM or SIGINT, then finish what is in flight; a second signal does not."""
    server = Server(config, work, metrics)
    signals = _signals()
    try:
        await server.start()
    except BaseException:
        await server.stop()
        raise
    started(server.ports)
    await signals.get()
    _logger.info(
        "stopping",
        extra={"in_flight": server.unfinished, "grace_s": config.server.shutdown_grace_s},
    )
    stopping = asyncio.create_task(server.stop())
    forcing = asyncio.create_task(signals.get())
    await asyncio.wait({stopping, forcing}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        forcing.cancel()
        return Ending(stopping.result(), forced=False)
    stopping.cancel()
    return Ending(server.unfinished, forced=True)


def _signals() -> asyncio.Queue[int]:
    received: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return received


def _budget(config: Config) -> Budget:
    settings = config.server
    limit_bytes = settings.max_in_flight_bytes
    if config.tenants.tokens_file is None:
        return Budget(limit_bytes)
    # Never so little that a request which may be sent could not be taken.
    return Budget(limit_bytes, max(limit_bytes // 2, settings.max_request_bytes))


def _tls(config: Config) -> ssl.SSLContext | None:
    settings = config.server
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return tls_context(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
