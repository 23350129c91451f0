"""An HTTP server for one ASGI application on the running loop, with a deadline for headers."""

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from farebox_processor.errors import ConfigError

__all__ = ["HttpServer", "tls_context"]


class HttpServer:
    """One listener; created and used on one event loop."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        name: str,
        header_timeout_s: float,
        body_timeout_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._name = name
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                http=_protocol(header_timeout_s, body_timeout_s),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )
        self._server.config.load()
        self._server.config.ssl = tls
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError where the address is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family, backlog=1_024)
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} ({self._name}) cannot be listened on: {error.strerror};"
                " is another server running?"
            ) from error
        self.port = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def stop(self) -> None:
        """Answer what has been asked, and close."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


class _QuietServer(uvicorn.Server):
    """A server that leaves the signals of the process to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _protocol(header_timeout_s: float, body_timeout_s: float) -> type[asyncio.Protocol]:
    """Return the protocol that hangs up on whoever does not finish a header in time.

    Nor a body that nobody reads, because its request has been answered. uvicorn itself waits for
    ever for the first byte, for the rest of a header, and for the rest of such a body.
    """

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_watching()

        def _watch(self) -> None:
            is_answered = self.conn.our_state is h11.DONE
            if self.conn.their_state is not h11.IDLE and not is_answered:
                self._stop_watching()
            elif self._deadline is None and not self.transport.is_closing():
                timeout_s = body_timeout_s if is_answered else header_timeout_s
                self._deadline = self.loop.call_later(timeout_s, self.transport.close)

        def _stop_watching(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Impatient


def tls_context(cert_file: str, key_file: str, client_ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS settings of a server. Raises ConfigError for files that cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert_file, key_file)
        if client_ca_file is not None:
            context.load_verify_locations(client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise ConfigError(f"{cert_file}: cannot be used for TLS: {error}") from error
    return context
