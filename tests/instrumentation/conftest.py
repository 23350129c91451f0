"""A service that is instrumented for one test, and what it emitted."""

import gc
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from farebox import setting_up, stamping
from farebox._settings import Settings, use_settings
from farebox_processor.demo.provider_double import ProviderDouble, running_double


@dataclass(frozen=True)
class Emitted:
    """What a provider exported so far."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The finished spans, in the order in which they ended."""
        return self.exporter.get_finished_spans()

    @property
    def tracer(self) -> Tracer:
        """A tracer of the service itself."""
        return self.provider.get_tracer("service")

    def values(self, attribute: str) -> dict[str, Any]:
        """The value of an attribute by the name of the span, None where it is missing."""
        return {span.name: (span.attributes or {}).get(attribute) for span in self.spans}

    def only(self) -> Mapping[str, Any]:
        """The attributes of the one span there is."""
        (span,) = self.spans
        return dict(span.attributes or {})

    def otlp(self) -> bytes:
        """The spans as one export request."""
        return encode_spans(self.spans).SerializeToString()


@pytest.fixture(autouse=True, scope="module")
def _connections_end_here() -> Iterator[None]:
    """What the SDKs leave open is let go here, not in the middle of a test of something else."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What farebox counts, says once and sets in the environment lasts for one test."""
    monkeypatch.setattr("farebox._guard._faults", Counter())
    monkeypatch.setattr("farebox._guard._said", set())
    before = set(os.environ)
    yield
    for name in set(os.environ) - before:
        del os.environ[name]


@pytest.fixture
def unstamped() -> Emitted:
    """A provider that nobody has instrumented."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Emitted(provider, exporter)


@pytest.fixture
def emitted(unstamped: Emitted) -> Iterator[Emitted]:
    """A provider whose spans are stamped; nothing else is instrumented."""
    stamping.stamp_spans_of(unstamped.provider)
    use_settings(Settings(tracer_provider=unstamped.provider))
    yield unstamped
    setting_up.uninstrument()
    use_settings(Settings())


@pytest.fixture(scope="session")
def _double() -> Iterator[ProviderDouble]:
    with running_double() as double:
        yield double


@pytest.fixture
def double(_double: ProviderDouble) -> Iterator[ProviderDouble]:
    """The providers' APIs, with an empty ledger."""
    _double.ledger.clear()
    yield _double
    _double.ledger.clear()
    _double._waiting.clear()  # what a failed test did not ask for
