"""Both listeners under TLS, with and without certificates of the senders."""

import http.client
import ssl
from pathlib import Path

import grpc
import pytest

from farebox_processor.errors import ConfigError
from support.raw_otlp import EXPORT

# Signed by itself, for localhost, for a hundred years.
CERT, KEY = (
    Path(__file__).parents[2] / "fixtures" / "tls" / f"{name}.pem" for name in ("cert", "key")
)
TLS = {"tls_cert_file": str(CERT), "tls_key_file": str(KEY)}


def send_grpc(port, body, *, certified=False):
    own = (KEY.read_bytes(), CERT.read_bytes()) if certified else (None, None)
    credentials = grpc.ssl_channel_credentials(CERT.read_bytes(), *own)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        try:
            channel.unary_unary(EXPORT)(body, timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def send_http(port, body, *, certified=False):
    context = ssl.create_default_context(cafile=str(CERT))
    if certified:
        context.load_cert_chain(CERT, KEY)
    connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def test_senders_that_trust_the_certificate_deliver(flush, start, span_request):
    ports = start(**TLS).ports

    told = (send_grpc(ports.grpc, span_request("a")), send_http(ports.http, span_request("b")))

    assert told == (grpc.StatusCode.OK, 200)
    assert flush.names == ["a", "b"]


def test_nothing_is_taken_without_tls(flush, start, span_request):
    serving = start(**TLS)

    assert serving.send_grpc(span_request("a")).status == grpc.StatusCode.UNAVAILABLE
    with pytest.raises((OSError, http.client.HTTPException)):
        serving.send_http(span_request("b"))

    assert flush.names == []


@pytest.mark.parametrize(
    ("certified", "told"),
    [(True, (grpc.StatusCode.OK, 200)), (False, (grpc.StatusCode.UNAVAILABLE, None))],
)
def test_where_senders_must_show_a_certificate_only_those_are_taken(
    certified, told, flush, start, span_request
):
    ports = start(**TLS, tls_client_ca_file=str(CERT)).ports

    replies = (
        send_grpc(ports.grpc, span_request("a"), certified=certified),
        send_http(ports.http, span_request("b"), certified=certified),
    )

    assert replies == told
    assert flush.names == (["a", "b"] if certified else [])


def test_a_certificate_that_cannot_be_read_is_said_in_one_sentence(start):
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        start(tls_cert_file="missing.pem", tls_key_file=str(KEY))
