"""OTLP over HTTP: POST /v1/traces, protobuf or JSON, answered in the same content type."""

import asyncio
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from farebox_processor.errors import FareboxError
from farebox_processor.otlp_json import to_protobuf
from farebox_processor.server.answers import JSON, PROTOBUF, http_body
from farebox_processor.server.http_body import HeldBody, Inflation, PlainBody
from farebox_processor.server.receiver import Receiver, refusal
from farebox_processor.server.statuses import RETRY_AFTER_S, Answer, Condition

__all__ = ["otlp_http_app"]

_TRANSPORT: Final = "http"


def otlp_http_app(receiver: Receiver) -> Starlette:
    """Return the ASGI application of the OTLP/HTTP listener."""

    async def export(request: Request) -> Response:
        receiver.metrics.requests_received.labels(_TRANSPORT).inc()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            answer = await _answer(receiver, request, content_type)
        # Whatever went wrong is ours: 500 would make the sender drop what can still be kept.
        except Exception as error:
            answer = receiver.at_fault(error)
        receiver.count(_TRANSPORT, answer)
        shown_type = content_type if content_type == JSON else PROTOBUF
        headers = {"retry-after": str(RETRY_AFTER_S)} if answer.status.retry else {}
        return Response(
            http_body(answer, shown_type), answer.status.http, headers, media_type=shown_type
        )

    return Starlette(routes=[Route("/v1/traces", export, methods=["POST"])])


async def _answer(receiver: Receiver, request: Request, content_type: str) -> Answer:
    tenant = receiver.admission.admit(request.headers.get("authorization"))
    if isinstance(tenant, Answer):
        return tenant
    decoding = _decoding(request)
    if content_type not in (JSON, PROTOBUF):
        return Answer(Condition.UNSUPPORTED, f"send {PROTOBUF} or {JSON}")
    if decoding is None:
        return Answer(Condition.UNSUPPORTED, "send one Content-Encoding: gzip or identity")
    body = await _body(receiver, request, decoding, content_type, tenant)
    return body if isinstance(body, Answer) else await receiver.receive(body, tenant)


def _decoding(request: Request) -> PlainBody | Inflation | None:
    """Return how the body is decoded; None for anything but one of the two codings."""
    codings = ",".join(request.headers.getlist("content-encoding")).lower().strip()
    if codings == "gzip":
        return Inflation()
    return PlainBody() if codings in ("", "identity") else None


async def _body(
    receiver: Receiver,
    request: Request,
    decoding: PlainBody | Inflation,
    content_type: str,
    tenant: str,
) -> bytes | Answer:
    """Return the request as protobuf, whatever it came as, or the answer that refuses it."""
    settings = receiver.settings
    try:
        with HeldBody(receiver.budget, tenant, settings.max_request_bytes) as held:
            async with asyncio.timeout(settings.body_timeout_s):
                body = await held.read(request, decoding)
            if content_type == PROTOBUF:
                return body
            # Parsing takes long enough to hold up everybody else.
            return await asyncio.to_thread(to_protobuf, body)
    except FareboxError as error:
        return refusal(error)
    except TimeoutError:
        return Answer(Condition.UNAVAILABLE, "the body came too slowly; try again")
    except ClientDisconnect:
        return Answer(Condition.UNAVAILABLE, "the sender went away")
