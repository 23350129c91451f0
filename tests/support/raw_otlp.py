"""Export requests as bytes, sent as they are, and what the server said to them."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

__all__ = ["EXPORT", "Reply", "request_http", "send_grpc", "send_http"]

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# A test may send more than the server takes.
_UNLIMITED = (("grpc.max_send_message_length", -1),)


@dataclass
class Reply:
    """What a sender was told, in the words of its transport."""

    status: object
    body: bytes = b""
    message: str = ""
    headers: Mapping[str, str | bytes] = field(default_factory=dict)


def send_grpc(
    port: int,
    body: bytes,
    *,
    method: str = EXPORT,
    token: str = "",
    timeout: float = 10,
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> Reply:
    """Call the method with these bytes, over a connection of its own."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=_UNLIMITED) as channel:
        call = channel.unary_unary(method)
        try:
            answer = call(body, metadata=metadata, timeout=timeout, compression=compression)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            return Reply(error.code(), b"", error.details(), trailers)
    return Reply(grpc.StatusCode.OK, answer)


def send_http(port: int, body: bytes, **headers: str) -> Reply:
    """POST these bytes to /v1/traces, as protobuf unless a header says otherwise."""
    named = {"content-type": "application/x-protobuf"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request_http(port, "POST", "/v1/traces", body, named)


def request_http(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Make one HTTP request, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, answer.read(), "", named)
    finally:
        connection.close()
