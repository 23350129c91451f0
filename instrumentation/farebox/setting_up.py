"""One call sets a service up: where spans go, what they are stamped with, who records what."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from farebox import completion, libraries
from farebox._guard import note_fault, say_once
from farebox._settings import BAGGAGE_FIELDS, Settings, use_settings
from farebox.imports import forget_imports, when_imported
from farebox.redaction import RedactingSpanExporter, Redactor
from farebox.stamping import stamp_spans_of
from farebox.standing import Status, note_choice, note_completion, remember, status
from farebox.threads import follow_executors, leave_executors

__all__ = ["instrument", "join", "switch_content", "uninstrument"]

_logger = logging.getLogger("farebox")

_CONTENT_SWITCHES: Final = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ("NO_CONTENT", "SPAN_ONLY"),
    "TRACELOOP_TRACE_CONTENT": ("false", "true"),
    "OPENINFERENCE_HIDE_INPUTS": ("true", "false"),
    "OPENINFERENCE_HIDE_OUTPUTS": ("true", "false"),
    "OPENINFERENCE_HIDE_EMBEDDINGS_TEXT": ("true", "false"),
    "OPENINFERENCE_HIDE_EMBEDDINGS_VECTORS": ("true", "true"),
}
"""Each instrumentation's own switch: its value without and with the text of conversations.
Traceloop's and OpenInference's record it unless told not to."""


_exporting: Final[WeakKeyDictionary[TracerProvider, set[str]]] = WeakKeyDictionary()
"""The endpoints that each provider sends to already, by farebox's doing."""


@dataclass(frozen=True, slots=True)
class _Request:
    service_name: str | None
    endpoint: str | None
    redact: Redactor | None
    tracer_provider: TracerProvider | None


def instrument(  # noqa: PLR0913 - one keyword per decision of the service
    service_name: str | None = None,
    *,
    endpoint: str | None = None,
    capture_content: bool = False,
    redact: Redactor | None = None,
    accept_baggage: bool = True,
    baggage_fields: Collection[str] = BAGGAGE_FIELDS,
    only: Collection[str] | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Status:
    """Set up tracing of GenAI calls, or join what the service has set up already.

    `endpoint` is where OTLP goes: without a scheme unencrypted, with port 4318 or a path over HTTP,
    else over gRPC; without it the OTEL_* variables say. `capture_content` lets the text of
    conversations into spans, `redact` sees it first. `accept_baggage` False refuses the
    conversations that requests bring along, for services at the edge. `only` names the libraries
    to record ("openai", ...). Never raises; returns what was done, as `status` does later.
    """
    try:
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            remember(Status(provider="disabled"))
            return status()
        switch_content(on=capture_content)
        to = endpoint and _with_scheme(endpoint)
        how, provider = _provider(_Request(service_name, to, redact, tracer_provider))
        fields = frozenset(baggage_fields)
        use_settings(Settings(accept_baggage, fields, tracer_provider=tracer_provider))
        _join(provider, how, only=only)
    except Exception as error:  # a service that is not instrumented is still a service
        note_fault("instrument", error)
    return status()


def switch_content(*, on: bool) -> None:
    """Let instrumentations record the text of conversations or not, where nobody has said yet."""
    for switch, (without, with_content) in _CONTENT_SWITCHES.items():
        os.environ.setdefault(switch, with_content if on else without)


def join(provider: TracerProvider | None = None) -> Status:
    """Stamp spans and complete usage, and leave it to others to turn on instrumentations.

    For programs that something else sets up: opentelemetry-instrument, a vendor's agent.
    """
    try:
        found = provider or trace.get_tracer_provider()
        if isinstance(found, TracerProvider):
            _join(found, "joined", only=())
            for library in libraries.installed():
                libraries.keep_one_record_of(library)
                when_imported(library.module, partial(_complete, library))
    except Exception as error:  # a service that is not instrumented is still a service
        note_fault("join", error)
    return status()


def uninstrument() -> None:
    """Undo what `instrument` did to libraries; spans go where they went, and stay stamped."""
    try:
        forget_imports()
        completion.turn_off()
        leave_executors()
        libraries.turn_off(choice.instrumentation for choice in status().instrumentations)
        remember(Status())
    except Exception as error:  # as for instrument
        note_fault("uninstrument", error)


def _join(provider: TracerProvider, how: str, *, only: Collection[str] | None) -> None:
    stamp_spans_of(provider)
    follow_executors()
    remember(Status(provider=how))
    for library in libraries.installed(only):
        choose = partial(_choose, library, provider)
        if not when_imported(library.module, choose):
            note_choice(libraries.intended(library))
    _logger.info("%s", status())


def _choose(library: libraries.Library, provider: TracerProvider) -> None:
    note_choice(libraries.choose(library, provider))
    note_completion(*completion.turn_on(library.name))


def _complete(library: libraries.Library) -> None:
    note_completion(*completion.turn_on(library.name))


def _provider(request: _Request) -> tuple[str, TracerProvider]:
    found = request.tracer_provider or trace.get_tracer_provider()
    if not isinstance(found, TracerProvider):
        created = _created(request)
        if request.endpoint:
            _exporting[created] = {request.endpoint}
        return "created", created
    if request.endpoint and request.endpoint not in _exporting.setdefault(found, set()):
        _export_to(found, request.endpoint, request.redact)
        _exporting[found].add(request.endpoint)
    elif request.redact and not request.endpoint:
        say_once("redact: the TracerProvider is not farebox's; its exporters see all of the text")
    return "joined", found


def _created(request: _Request) -> TracerProvider:
    from opentelemetry.sdk._configuration import (  # noqa: PLC0415 - heavy, and only needed here
        _OTelSDKConfigurator,
    )

    if not libraries.is_installed("opentelemetry.exporter.otlp"):
        say_once("no spans are exported: pip install 'farebox[otlp]'")
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
    named = {"service.name": request.service_name} if request.service_name else {}
    more = {"export_span_processor": _redacting(request.redact)} if request.redact else {}
    configurator: Any = _OTelSDKConfigurator
    with _told(_exporter_variables(request.endpoint) if request.endpoint else {}):
        configurator().configure(resource_attributes=named, **more)
    created = trace.get_tracer_provider()
    if not isinstance(created, TracerProvider):
        raise TypeError(f"the SDK set up {type(created).__name__}, expected a TracerProvider")
    return created


@contextmanager
def _told(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block: what the service sets up itself does not see them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _exporter_variables(endpoint: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": _address(endpoint),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": _protocol(endpoint),
    }


def _with_scheme(endpoint: str) -> str:
    return endpoint if "://" in endpoint else f"http://{endpoint}"


def _protocol(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.port == 4318 or parts.path.strip("/"):
        return "http/protobuf"
    return "grpc" if parts.port == 4317 else os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")


def _address(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    if _protocol(endpoint) == "grpc" or base.endswith("/v1/traces"):
        return base
    return f"{base}/v1/traces"


def _redacting(redact: Redactor) -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    def processor(exporter: Any, *args: Any, **kwargs: Any) -> BatchSpanProcessor:
        return BatchSpanProcessor(RedactingSpanExporter(exporter, redact), *args, **kwargs)

    return processor


def _export_to(provider: TracerProvider, endpoint: str, redact: Redactor | None) -> None:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
        BatchSpanProcessor,
        SpanExporter,
    )

    exporter: SpanExporter
    if _protocol(endpoint) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as GrpcExporter,
        )

        exporter = GrpcExporter(endpoint=_address(endpoint))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as HttpExporter,
        )

        exporter = HttpExporter(_address(endpoint))
    provider.add_span_processor(
        BatchSpanProcessor(RedactingSpanExporter(exporter, redact) if redact else exporter)
    )
