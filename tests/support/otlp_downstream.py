"""A receiver of OTLP/gRPC that keeps what it takes, and fails the way a test wants it to."""

import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Behave", "Downstream", "spans_in"]

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
WITHIN_S = 20
Behave = Callable[[ExportTraceServiceRequest, grpc.ServicerContext], ExportTraceServiceResponse]


def accept(
    request: ExportTraceServiceRequest, context: grpc.ServicerContext
) -> ExportTraceServiceResponse:
    """Take everything."""
    return ExportTraceServiceResponse()


@dataclass
class Downstream:
    """A receiver that keeps what it takes; a test may say how it behaves."""

    behave: Behave = accept
    port: int = 0
    taken: list[ExportTraceServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)

    def export(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Note that a request came, behave, and keep what was taken."""
        self.came.release()
        answer = self.behave(request, context)
        self.metadata.append(dict(context.invocation_metadata()))
        self.taken.append(request)
        return answer

    def hold(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Answer when the test says so."""
        self.go_on.wait(WITHIN_S)
        return ExportTraceServiceResponse()

    def listen(self) -> grpc.Server:
        """Listen on the port of before, or on a free one."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        server = grpc.server(futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),)
        )
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        return server

    @property
    def names(self) -> list[str]:
        """The names of the spans that were taken."""
        return [span.name for request in self.taken for span in spans_in(request)]


def spans_in(request: ExportTraceServiceRequest) -> list[Span]:
    """Return the spans of a request, in their order."""
    return [
        span
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
