"""A server on free ports with a flush in memory, run on a loop of its own beside the test."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.config import Config, FlushConfig, ServerConfig, TenantsConfig
from farebox_processor.errors import BadRequestError
from farebox_processor.server.auth import Admission
from farebox_processor.server.flush import Verdict
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.running import Ports, Server, Work
from support.raw_otlp import Reply, request_http, send_grpc, send_http


@dataclass
class MemoryFlush:
    """Keeps the names of spans; a test may take the place of its verdicts."""

    names: list[str] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    buried: list[tuple[bytes, str, str]] = field(default_factory=list)
    behave: Callable[[bytes], Verdict | None] = lambda body: None

    def __call__(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> Sequence[Verdict]:
        self.flushes.append(len(bodies))
        self.tenants.extend(tenants)
        return [self.behave(body) or self._store(body) for body in bodies]

    def bury(self, body: bytes, tenant: str, detail: str) -> Verdict:
        self.buried.append((body, tenant, detail))
        return Verdict(rejected=1, message="kept in dead_letter")

    def _store(self, body: bytes) -> Verdict:
        try:
            request = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return Verdict(refusal=BadRequestError("not a trace export request"))
        names = [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.names.extend(names)
        return Verdict(accepted=len(names))


class Serving:
    """A server that runs while the test talks to it."""

    def __init__(self, config: Config, work: Work) -> None:
        self.metrics = Metrics()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._server = self._run(self._created(config, work, self.metrics))
        except BaseException:
            self._end_loop()
            raise
        try:
            self._run(self._server.start())
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> Ports:
        return self._server.ports

    def begin_stop(self) -> concurrent.futures.Future[int]:
        """Tell the server to stop, and return when it refuses what comes."""
        stopping = asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop)
        self._run(asyncio.sleep(0))
        return stopping

    def close(self) -> None:
        self._run(self._server.stop())
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send_grpc(self, body: bytes, **options: object) -> Reply:
        return send_grpc(self.ports.grpc, body, **options)

    def send_http(self, body: bytes, *, port: int | None = None, **headers: str) -> Reply:
        return send_http(port or self.ports.http, body, **headers)

    def request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        return request_http(self.ports.http, method, path, body)

    def admin(self, path: str) -> Reply:
        return request_http(self.ports.admin, "GET", path)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"farebox_{name}", labels) or 0.0

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    @staticmethod
    async def _created(config: Config, work: Work, metrics: Metrics) -> Server:
        return Server(config, work, metrics)


@pytest.fixture
def flush() -> MemoryFlush:
    return MemoryFlush()


@pytest.fixture
def start(flush: MemoryFlush) -> Iterator[Callable[..., Serving]]:
    """Return a function that starts a server with changes to the default settings."""
    running: list[Serving] = []

    def start_server(
        *, check_store: Callable[[], None] = lambda: None, tokens=(), gather=None, **server: object
    ) -> Serving:
        ports = {"grpc_port": 0, "http_port": 0, "admin_port": 0}
        config = Config(
            server=replace(ServerConfig(**ports), **server),
            flush=FlushConfig(**({"interval_ms": 0} | (gather or {}))),
            tenants=TenantsConfig(tokens_file="tokens.yaml" if tokens else None),
        )
        work = Work(flush, flush.bury, check_store, Admission(tokens))
        serving = Serving(config, work)
        running.append(serving)
        return serving

    yield start_server
    for serving in running:
        serving.close()


@pytest.fixture
def span_request() -> Callable[..., bytes]:
    """Return a function that builds the bytes of a request with spans of these names."""

    def build(*names: str) -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for number, name in enumerate(names, start=1):
            scope.spans.add(name=name, trace_id=bytes([number]) * 16, span_id=bytes([number]) * 8)
        return request.SerializeToString()

    return build
