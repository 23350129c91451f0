"""OTLP over gRPC: raw bytes in, a status of the table out."""

from pathlib import Path
from typing import Final, TypeAlias

import grpc
import grpc.aio

from farebox_processor.config import ServerConfig
from farebox_processor.errors import ConfigError
from farebox_processor.server.answers import response_bytes, trailers
from farebox_processor.server.receiver import Receiver
from farebox_processor.server.statuses import Answer

__all__ = ["GrpcListener"]

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"

_TRANSPORT: Final = "grpc"
_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


class GrpcListener:
    """The gRPC server; created and used on one event loop."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._server = grpc.aio.server(options=_options(receiver.settings))
        # Without a deserializer one bad byte does not cost the whole request: a generated
        # servicer answers INTERNAL before our code is called.
        export = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),)
        )
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises ConfigError where the address is taken."""
        settings = self._receiver.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        credentials = _credentials(settings)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ConfigError(
                f"{address} (OTLP/gRPC) cannot be listened on; is another server running?"
                " Another port: server.grpc_port"
            ) from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Close the connections, after the calls in flight or at the end of the grace."""
        await self._server.stop(grace_s)

    async def _export(self, request: bytes, context: _Context) -> bytes:
        receiver = self._receiver
        receiver.metrics.requests_received.labels(_TRANSPORT).inc()
        try:
            answer = await self._answer(request, context)
        # Whatever went wrong is ours: UNKNOWN would make the sender drop what can still be kept.
        except Exception as error:
            answer = receiver.at_fault(error)
        receiver.count(_TRANSPORT, answer)
        if answer.status.grpc is grpc.StatusCode.OK:
            return response_bytes(answer)
        await context.abort(answer.status.grpc, answer.message, trailers(answer))

    async def _answer(self, request: bytes, context: _Context) -> Answer:
        metadata = dict(context.invocation_metadata() or ())
        tenant = self._receiver.admission.admit(_text(metadata.get("authorization")))
        if isinstance(tenant, Answer):
            return tenant
        return await self._receiver.receive(request, tenant, context.time_remaining())


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _options(settings: ServerConfig) -> list[tuple[str, int]]:
    return [
        # Both hold after decompression.
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.max_send_message_length", 4 * 1024 * 1024),
        # Far above what senders use: streams that have ended and are not yet taken down count as
        # well, so those of a sender that keeps to the limit are refused too.
        ("grpc.max_concurrent_streams", 1_000),
        ("grpc.max_metadata_size", 8 * 1024),
        ("grpc.absolute_max_metadata_size", 16 * 1024),
        # Silent and half-open connections.
        ("grpc.server_handshake_timeout_ms", settings.handshake_timeout_ms),
        ("grpc.max_connection_idle_ms", settings.idle_timeout_ms),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
        ("grpc.http2.max_ping_strikes", 3),
        # A sender keeps its connection; without this, new replicas would get no work.
        ("grpc.max_connection_age_ms", settings.max_connection_age_ms),
        ("grpc.max_connection_age_grace_ms", 30_000),
        # Else a second server on the same port starts, and takes half of the connections.
        ("grpc.so_reuseport", 0),
    ]


def _credentials(settings: ServerConfig) -> grpc.ServerCredentials | None:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    authorities = settings.tls_client_ca_file
    return grpc.ssl_server_credentials(
        [(_pem(settings.tls_key_file), _pem(settings.tls_cert_file))],
        root_certificates=_pem(authorities) if authorities else None,
        require_client_auth=authorities is not None,
    )


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
