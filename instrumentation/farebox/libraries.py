"""What is installed goes in; out comes which instrumentation records each GenAI library."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry.trace import TracerProvider

from farebox._guard import note_fault, say_once
from farebox.own_spans import SCOPE_OF_SDK, keep_own_spans

__all__ = [
    "LIBRARIES",
    "Choice",
    "Library",
    "allows",
    "choose",
    "keep_one_record_of",
    "turn_off",
]


@dataclass(frozen=True, slots=True)
class Library:
    """A library that calls models, and who can record it, the preferred one first."""

    name: str
    module: str
    """What has to be importable for the library to be there."""
    instrumentors: Sequence[str]
    """`module:class` of each instrumentor."""
    extra: str | None = None
    """The extra of farebox that brings the preferred one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who records a library, and why."""

    library: str
    instrumentation: str | None
    """Module of the instrumentation; None: nobody records the library."""
    reason: str

    def __str__(self) -> str:
        return f"{self.library}: {self.instrumentation or 'nobody'} ({self.reason})"


def _library(name: str, module: str, *instrumentors: str, extra: str | None = None) -> Library:
    return Library(name, module, instrumentors, extra)


_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_OTEL: Final = "opentelemetry.instrumentation"
_OI: Final = "openinference.instrumentation"

LIBRARIES: Final = (
    _library(
        "openai",
        "openai",
        f"{_OTEL}.genai.openai:OpenAIInstrumentor",
        f"{_OTEL}.openai_v2:OpenAIInstrumentor",
        f"{_OTEL}.openai:OpenAIInstrumentor",
        f"{_OI}.openai:OpenAIInstrumentor",
        extra="openai",
    ),
    _library(
        "anthropic",
        "anthropic",
        f"{_OTEL}.genai.anthropic:AnthropicInstrumentor",
        f"{_OTEL}.anthropic:AnthropicInstrumentor",
        f"{_OI}.anthropic:AnthropicInstrumentor",
        extra="anthropic",
    ),
    _library(
        "google-genai",
        "google.genai",
        f"{_OTEL}.google_genai:GoogleGenAiSdkInstrumentor",
        f"{_OTEL}.google_generativeai:GoogleGenerativeAiInstrumentor",
        f"{_OI}.google_genai:GoogleGenAIInstrumentor",
        extra="google-genai",
    ),
    _library(
        "langchain",
        "langchain",
        f"{_OTEL}.genai.langchain:LangChainInstrumentor",
        f"{_OTEL}.langchain:LangchainInstrumentor",
        f"{_OI}.langchain:LangChainInstrumentor",
        extra="langchain",
    ),
    _library(
        "openai-agents",
        "agents",
        f"{_OTEL}.genai.openai_agents:OpenAIAgentsInstrumentor",
        f"{_OTEL}.openai_agents:OpenAIAgentsInstrumentor",
        f"{_OI}.openai_agents:OpenAIAgentsInstrumentor",
        extra="openai-agents",
    ),
    _library(
        "llama-index",
        "llama_index.core",
        f"{_OTEL}.genai.llama_index:LlamaIndexInstrumentor",
        f"{_OTEL}.llamaindex:LlamaIndexInstrumentor",
        f"{_OI}.llama_index:LlamaIndexInstrumentor",
    ),
    _library(
        "bedrock",
        "botocore",
        f"{_OTEL}.botocore:BotocoreInstrumentor",
        f"{_OTEL}.bedrock:BedrockInstrumentor",
        f"{_OI}.bedrock:BedrockInstrumentor",
        extra="bedrock",
    ),
    _library(
        "mistral",
        "mistralai",
        f"{_OTEL}.mistralai:MistralAiInstrumentor",
        f"{_OI}.mistralai:MistralAIInstrumentor",
    ),
    _library("cohere", "cohere", f"{_OTEL}.cohere:CohereInstrumentor"),
)
"""Official instrumentations before Traceloop's before OpenInference's."""


def installed(only: Iterable[str] | None = None) -> list[Library]:
    """Return the libraries that are installed; of these `only` the named ones.

    Not those that OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names.
    """
    wanted = None if only is None else set(only)
    disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
    return [
        library
        for library in LIBRARIES
        if (wanted is None or library.name in wanted)
        and disabled.isdisjoint({"*", library.name, library.name.replace("-", "_")})
        and is_installed(library.module)
    ]


def intended(library: Library) -> Choice:
    """Return who will record a library once it is imported."""
    if own := keep_one_record_of(library):
        return Choice(library.name, SCOPE_OF_SDK[library.name], own)
    path = next(_instrumentors(library), None)
    if path is None:
        return Choice(library.name, None, _hint(library))
    return Choice(library.name, _module(path), "once the service imports it")


def choose(library: Library, provider: TracerProvider) -> Choice:
    """Turn on one instrumentation for a library, and say which and why.

    One that the service turned on itself stays.
    """
    if own := keep_one_record_of(library):
        return Choice(library.name, SCOPE_OF_SDK[library.name], own)
    candidates = list(_instrumentors(library))
    active = [path for path in candidates if _is_on(path)]
    if len(active) > 1:
        say_once(
            f"{library.name} is recorded by {' and by '.join(map(_module, active))}: each call is "
            "billed once all the same, but turn one of them off"
        )
    if active:
        return Choice(library.name, _module(active[0]), "turned on by the service")
    for path in candidates:
        if _turn_on(path, provider):
            return Choice(library.name, _module(path), "the preferred one of those installed")
    return Choice(library.name, None, "none fits its version" if candidates else _hint(library))


def turn_off(modules: Iterable[str | None]) -> None:
    """Turn off the instrumentations of these modules, as far as they are on."""
    wanted = set(modules)
    for library in LIBRARIES:
        for path in library.instrumentors:
            if _module(path) in wanted and _is_on(path):
                _loaded(path).uninstrument()


def allows(entry_point: str) -> bool:
    """Tell whether an instrumentor (`module:class`) is to be turned on, where a loader asks.

    False only for the further ones of a library of which a preferred one is installed.
    """
    for library in LIBRARIES:
        if entry_point in library.instrumentors:
            return entry_point == next(_instrumentors(library), entry_point)
    return True


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or is no package
        return False


def keep_one_record_of(library: Library) -> str | None:
    """Return why the spans that an SDK emits by itself are the ones to keep, or None."""
    return keep_own_spans(library.name, has_another=next(_instrumentors(library), None) is not None)


def _instrumentors(library: Library) -> Iterator[str]:
    return (path for path in library.instrumentors if is_installed(path.partition(":")[0]))


def _hint(library: Library) -> str:
    return f"pip install 'farebox[{library.extra}]'" if library.extra else "none is installed"


def _module(path: str) -> str:
    return path.partition(":")[0]


def _loaded(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)()


def _is_on(path: str) -> bool:
    if _module(path) not in sys.modules:
        return False
    try:
        return bool(_loaded(path).is_instrumented_by_opentelemetry)
    except Exception as error:  # somebody else's package: whatever it raises, it is not on
        note_fault(f"looking at {path}", error)
        return False


def _turn_on(path: str, provider: TracerProvider) -> bool:
    try:
        instrumentor = _loaded(path)
        instrumentor.instrument(tracer_provider=provider)
        # One that does not fit the library's version logs so, and stays off.
        return bool(instrumentor.is_instrumented_by_opentelemetry)
    except Exception as error:  # somebody else's package: the next one may do
        note_fault(f"turning on {path}", error)
        return False
