"""What each kind of service emits costs what the provider billed, to the last digit."""

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import InstrumentationSettings

import farebox
from farebox_processor.config import Config
from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.pipeline import Rules
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules
from support import services
from support.gemini_double import GeminiDouble, running_gemini

# Third parties warn of each other's plans as they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

_OPENINFERENCE_OPENAI = "openinference.instrumentation.openai:OpenAIInstrumentor"
_TRACELOOP_OPENAI = "opentelemetry.instrumentation.openai:OpenAIInstrumentor"
_OPENINFERENCE_ANTHROPIC = "openinference.instrumentation.anthropic:AnthropicInstrumentor"
_OPENINFERENCE_GEMINI = "openinference.instrumentation.google_genai:GoogleGenAIInstrumentor"
_NATIVE_ANTHROPIC = "the SDK's own spans"
_NATIVE_PYDANTIC = "pydantic-ai's own spans"
_NATIVE_LITELLM = "LiteLLM's own spans"

# gpt-4o per million: 2.50 in, 1.25 cached, 10 out. 487 fresh, 1024 cached, 347 out.
_GPT_4O = "0.0059675"
# 600 and 680 in, 40 and 25 out.
_GPT_4O_TOOLS = "0.00385"
# claude-sonnet-4-6 per million: 3 in, 0.30 read, 3.75 written for 5 minutes, 6 for an hour,
# 15 out. 211 fresh, 4096 read, 1536 and 512 written, 389 out.
_SONNET = "0.0165288"
# Two searches at 10 dollars a thousand on top.
_SONNET_SEARCHED = "0.0365288"
_SONNET_TOOLS = "0.004815"
# gemini-2.5-flash per million: 0.30 in, 0.03 cached, 2.50 out. 703 + 360 + 520 fresh,
# 640 + 1280 cached, 280 + 60 + 44 out.
_FLASH = "0.0014925"


@dataclass(frozen=True)
class Service:
    """A service, the libraries it uses, what it is billed, and who else may record it."""

    run: Callable[[Any], None]
    libraries: tuple[str, ...]
    billed_usd: str
    seconds: tuple[str, ...]


_SERVICES = (
    Service(services.openai_chat, ("openai",), _GPT_4O, (_OPENINFERENCE_OPENAI, _TRACELOOP_OPENAI)),
    Service(
        services.openai_responses,
        ("openai",),
        "0.0259675",  # and two searches at 10 dollars a thousand
        (_OPENINFERENCE_OPENAI, _TRACELOOP_OPENAI),
    ),
    Service(
        services.openai_stream, ("openai",), _GPT_4O, (_OPENINFERENCE_OPENAI, _TRACELOOP_OPENAI)
    ),
    Service(
        services.openai_embeddings,
        ("openai",),
        "0.000024",  # 1200 at 0.02 per million
        (_OPENINFERENCE_OPENAI, _TRACELOOP_OPENAI),
    ),
    Service(
        services.openai_tools,
        ("openai",),
        _GPT_4O_TOOLS,
        (_OPENINFERENCE_OPENAI, _TRACELOOP_OPENAI),
    ),
    *(
        Service(run, ("anthropic",), billed, (_NATIVE_ANTHROPIC, _OPENINFERENCE_ANTHROPIC))
        for run, billed in (
            (services.anthropic_chat, _SONNET),
            (services.anthropic_stream, _SONNET),
            (services.anthropic_stream_helper, _SONNET),
            (services.anthropic_tools, _SONNET_TOOLS),
            (services.anthropic_web_search, _SONNET_SEARCHED),
        )
    ),
    Service(services.gemini_functions, ("google-genai",), _FLASH, (_OPENINFERENCE_GEMINI,)),
    Service(
        services.langgraph_agent, ("langchain", "openai"), _GPT_4O_TOOLS, (_OPENINFERENCE_OPENAI,)
    ),
    Service(
        services.openai_agent,
        ("openai", "openai-agents"),
        _GPT_4O_TOOLS,
        (_OPENINFERENCE_OPENAI,),
    ),
    Service(services.pydantic_agent, ("openai",), _GPT_4O_TOOLS, (_NATIVE_PYDANTIC,)),
    Service(services.litellm_chat, ("openai",), _GPT_4O, (_NATIVE_LITELLM,)),
)

_CASES = [
    pytest.param(service, second, id=f"{service.run.__name__}-{second or 'default'}")
    for service in _SERVICES
    for second in (None, *service.seconds)
]


@pytest.fixture(scope="module")
def rules() -> Rules:
    """The chain's rules as shipped."""
    return load_rules(Config())


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """One line per case, printed at the end (`pytest -s`)."""
    lines: list[str] = []
    yield lines
    print("\nservice                   also recorded by              billed USD   priced USD   ")
    print("\n".join(lines))


@pytest.fixture
def gemini() -> Iterator[GeminiDouble]:
    """Gemini's API."""
    with running_gemini() as double:
        yield double


@pytest.mark.parametrize(("service", "second"), _CASES)
def test_what_a_service_emits_costs_what_its_provider_billed(  # noqa: PLR0917
    service: Service,
    second: str | None,
    emitted: Any,
    double: ProviderDouble,
    gemini: GeminiDouble,
    rules: Rules,
    table: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=service.libraries)
    run = service.run
    with (
        _also_recorded(second, emitted.provider, monkeypatch),
        farebox.conversation("c1"),
    ):
        run(gemini if run is services.gemini_functions else double)

    report = price_report([emitted.otlp()], rules)
    (conversation,) = report["conversations"]
    table.append(
        f"{run.__name__:25} {(second or '-').split(':')[0]:38} {service.billed_usd:>10} "
        f"{conversation['cost_usd']:>12} {conversation['cost_status']}"
    )
    assert (conversation["conversation_id"], conversation["cost_usd"]) == (
        "c1",
        service.billed_usd,
    ), report["calls"]
    assert conversation["cost_status"] == "exact", report["calls"]
    assert farebox.status().faults == ()


class _Awaited(SpanProcessor):
    """Tells when a span of one scope has ended."""

    def __init__(self, scope: str, ended: threading.Event) -> None:
        self._scope = scope
        self._ended = ended

    def on_end(self, span: ReadableSpan) -> None:
        if span.instrumentation_scope.name == self._scope and span.name == "litellm_request":
            self._ended.set()


@contextmanager
def _also_recorded(
    second: str | None, provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Turn on another instrumentation for the time of a block."""
    if second is None:
        yield
    elif second == _NATIVE_ANTHROPIC:
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "true")
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield
    elif second == _NATIVE_PYDANTIC:
        PydanticAgent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        yield
        PydanticAgent.instrument_all(False)
    elif second == _NATIVE_LITELLM:
        litellm = importlib.import_module("litellm")
        integration = importlib.import_module("litellm.integrations.opentelemetry")
        callback = integration.OpenTelemetry(tracer_provider=provider)
        monkeypatch.setattr(litellm, "callbacks", [callback])
        written = threading.Event()
        provider.add_span_processor(_Awaited("litellm", written))
        yield
        assert written.wait(timeout=30)  # a thread of its own writes them, after the answer
    else:
        module, _, name = second.partition(":")
        instrumentor = getattr(importlib.import_module(module), name)()
        instrumentor.instrument(tracer_provider=provider)
        try:
            yield
        finally:
            instrumentor.uninstrument()
