"""Answers as OTLP writes them: a response or a google.rpc.Status, as protobuf or JSON."""

from typing import Final

# googleapis-common-protos ships no py.typed.
from google.protobuf import any_pb2, duration_pb2, json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from farebox_processor.server.statuses import RETRY_AFTER_S, Answer, Condition

__all__ = ["JSON", "PROTOBUF", "http_body", "response_bytes", "trailers"]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

_MESSAGE_CHARACTERS: Final = 1_024
"""A response must stay small: OTLP asks to shorten messages, gRPC trailers have 8 KiB."""


def response_bytes(answer: Answer) -> bytes:
    """Return the response of a successful call: empty unless something was rejected."""
    return _response(answer).SerializeToString()


def trailers(answer: Answer) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata of a failed call.

    The delay of a retry is written twice: Go and Java read `grpc-status-details-bin`, the Python
    exporter reads `google.rpc.retryinfo-bin`.
    """
    details = (("grpc-status-details-bin", _status(answer).SerializeToString()),)
    if not answer.status.retry:
        return details
    return (*details, ("google.rpc.retryinfo-bin", _retry_info().SerializeToString()))


def http_body(answer: Answer, content_type: str) -> bytes:
    """Return the body of an HTTP answer in the content type of the request."""
    succeeded = answer.status.http == 200
    message: Message = _response(answer) if succeeded else _status(answer)
    if content_type == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def _response(answer: Answer) -> ExportTraceServiceResponse:
    response = ExportTraceServiceResponse()
    # The specification wants the field unset where everything was accepted.
    if answer.rejected_spans or answer.message:
        response.partial_success.rejected_spans = answer.rejected_spans
        response.partial_success.error_message = _shortened(answer.message)
    return response


def _status(answer: Answer) -> Message:
    status = status_pb2.Status(code=answer.status.grpc.value[0], message=_shortened(answer.message))
    if answer.status.retry:
        status.details.append(_packed(_retry_info()))
    if answer.condition is Condition.UNDECODABLE:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field="resource_spans", description=_shortened(answer.message)
        )
        status.details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    return status  # type: ignore[no-any-return] # a message without type information


def _retry_info() -> Message:
    delay = duration_pb2.Duration(seconds=RETRY_AFTER_S)
    return error_details_pb2.RetryInfo(retry_delay=delay)  # type: ignore[no-any-return] # likewise


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _shortened(message: str) -> str:
    return message[:_MESSAGE_CHARACTERS]
