"""Every ending of a request has one name in gRPC and one in HTTP."""

import json

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from farebox_processor.config import Token
from farebox_processor.errors import (
    BadRequestError,
    RequestTooLargeError,
    RetryableStoreError,
    TenantShareError,
)
from farebox_processor.server.auth import Admission
from farebox_processor.server.flush import UnexpectedError, Verdict
from farebox_processor.server.statuses import STATUSES, Condition

# sha256 of "reader" and of "sender"
READER = Token(
    "acme", "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30", ("read",)
)
SENDER = Token("acme", "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a")

OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
TABLE = {
    # condition: the verdict of the flush, gRPC, HTTP, do senders try again
    Condition.STORED: (Verdict(accepted=1), OK, 200, False),
    Condition.PARTLY_REJECTED: (Verdict(accepted=1, rejected=1, message="m"), OK, 200, False),
    Condition.EMPTY: (Verdict(), OK, 200, False),
    Condition.UNDECODABLE: (
        Verdict(refusal=BadRequestError("m")),
        grpc.StatusCode.INVALID_ARGUMENT,
        400,
        False,
    ),
    Condition.TOO_LARGE: (
        Verdict(refusal=RequestTooLargeError("m")),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        413,
        False,
    ),
    Condition.UNAVAILABLE: (Verdict(refusal=RetryableStoreError("m")), UNAVAILABLE, 503, True),
    Condition.THROTTLED: (Verdict(refusal=TenantShareError("m")), UNAVAILABLE, 429, True),
    Condition.UNEXPECTED: (Verdict(refusal=UnexpectedError("m")), UNAVAILABLE, 503, True),
}
REFUSED_BEFORE = {
    Condition.UNAUTHENTICATED: (grpc.StatusCode.UNAUTHENTICATED, 401),
    Condition.FORBIDDEN: (grpc.StatusCode.PERMISSION_DENIED, 403),
    Condition.UNSUPPORTED: (grpc.StatusCode.UNIMPLEMENTED, 415),
}


def test_the_table_is_complete_and_says_what_the_specification_says():
    by_hand = {
        condition: (code, http, retry) for condition, (_, code, http, retry) in TABLE.items()
    } | {condition: (code, http, False) for condition, (code, http) in REFUSED_BEFORE.items()}

    table = {
        condition: (status.grpc, status.http, status.retry)
        for condition, status in STATUSES.items()
    }

    assert table == by_hand
    assert set(table) == set(Condition)


@pytest.mark.parametrize("condition", TABLE)
def test_a_verdict_is_answered_with_its_grpc_status(condition, flush, start):
    verdict, code, _, retry = TABLE[condition]
    flush.behave = lambda body: verdict

    reply = start().send_grpc(b"\n\x00")

    assert reply.status == code
    assert ("google.rpc.retryinfo-bin" in reply.headers) == retry


@pytest.mark.parametrize("condition", TABLE)
def test_a_verdict_is_answered_with_its_http_status(condition, flush, start):
    verdict, _, http, retry = TABLE[condition]
    flush.behave = lambda body: verdict

    reply = start().send_http(b"\n\x00")

    assert (reply.status, reply.headers.get("retry-after")) == (http, "1" if retry else None)


def test_a_grpc_sender_reads_the_delay_of_a_retry_in_both_trailers(flush, start):
    flush.behave = lambda body: Verdict(refusal=RetryableStoreError("ClickHouse is away"))

    reply = start().send_grpc(b"\n\x00")

    status = status_pb2.Status.FromString(reply.headers["grpc-status-details-bin"])
    detail = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(detail)
    python_detail = error_details_pb2.RetryInfo.FromString(
        reply.headers["google.rpc.retryinfo-bin"]
    )
    assert (status.code, status.message) == (14, "ClickHouse is away")
    assert 1 <= detail.retry_delay.seconds <= 2
    assert python_detail == detail


def test_a_full_success_leaves_partial_success_unset(span_request, start):
    serving = start()

    replies = [serving.send_grpc(span_request("a")), serving.send_http(span_request("b"))]

    assert [reply.body for reply in replies] == [b"", b""]


def test_rejected_spans_are_told_with_their_number_and_reason(flush, start):
    flush.behave = lambda body: Verdict(accepted=3, rejected=2, message="2 spans without an id")
    serving = start()

    replies = [serving.send_grpc(b"\n\x00"), serving.send_http(b"\n\x00")]

    told = [ExportTraceServiceResponse.FromString(reply.body).partial_success for reply in replies]
    assert [(one.rejected_spans, one.error_message) for one in told] == [
        (2, "2 spans without an id"),
        (2, "2 spans without an id"),
    ]


def test_a_bad_request_says_what_is_bad(flush, start):
    flush.behave = lambda body: Verdict(refusal=BadRequestError("not a trace export request"))

    reply = start().send_http(b"garbage")

    status = status_pb2.Status.FromString(reply.body)
    detail = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(detail)
    assert (status.code, status.message) == (3, "not a trace export request")
    assert detail.field_violations[0].description == "not a trace export request"


def test_a_json_sender_is_answered_in_json(flush, start):
    flush.behave = lambda body: Verdict(refusal=RetryableStoreError("ClickHouse is away"))

    reply = start().send_http(b'{"resourceSpans": [{}]}', content_type="application/json")

    assert (reply.status, reply.headers["content-type"]) == (503, "application/json")
    assert json.loads(reply.body)["message"] == "ClickHouse is away"


@pytest.mark.parametrize(
    ("token", "condition"),
    [
        ("", Condition.UNAUTHENTICATED),
        ("guess", Condition.UNAUTHENTICATED),
        ("reader", Condition.FORBIDDEN),
    ],
)
def test_a_sender_without_the_right_token_is_refused(token, condition, flush, start, span_request):
    serving = start(tokens=(READER, SENDER))
    headers = {"authorization": f"Bearer {token}"} if token else {}

    replies = (
        serving.send_grpc(span_request("a"), token=token).status,
        serving.send_http(span_request("a"), **headers).status,
    )

    assert replies == REFUSED_BEFORE[condition]
    assert flush.names == []


def test_the_tenant_comes_from_the_token(flush, start, span_request):
    serving = start(tokens=(READER, SENDER))

    serving.send_grpc(span_request("a"), token="sender")  # noqa: S106 - a test token
    serving.send_http(span_request("b"), authorization="Bearer sender", x_tenant="other")

    assert (flush.names, flush.tenants) == (["a", "b"], ["acme", "acme"])


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "gzip, gzip"},
        {"content_encoding": "zstd"},
        {"content_type": "text/plain"},
    ],
)
def test_an_unknown_compression_or_content_type_is_unsupported(headers, start, span_request):
    reply = start().send_http(span_request("a"), **headers)

    assert reply.status == 415


def test_an_unknown_method_or_path_is_named_so(start):
    serving = start()

    replies = (
        serving.send_grpc(b"", method="/opentelemetry.Other/Export").status,
        serving.request("POST", "/v1/metrics", b"").status,
    )

    assert replies == (grpc.StatusCode.UNIMPLEMENTED, 404)


def test_a_fault_of_the_server_is_never_the_end_of_a_request(start, span_request, monkeypatch):
    def fail(self, authorization):
        raise LookupError("a mistake of ours")

    serving = start()
    monkeypatch.setattr(Admission, "admit", fail)

    replies = (
        serving.send_grpc(span_request("a")),
        serving.send_http(span_request("a")),
    )

    assert [reply.status for reply in replies] == [UNAVAILABLE, 503]
    assert "mistake" not in f"{replies}"
    assert serving.metric("errors_total", where="listener") == 2
