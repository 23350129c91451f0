"""One call instruments a service, joins what is there, and says what it did."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, StatusCode

import farebox
from farebox import attributes, libraries, setting_up
from farebox.libraries import Choice
from farebox.own_spans import keep_own_spans
from farebox.redaction import RedactingSpanExporter

# Traceloop's package warns as it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

_OPENAI = "opentelemetry.instrumentation.genai.openai"
_TRACELOOP = "opentelemetry.instrumentation.openai"
_BIN = Path(sys.executable).parent


def _choices(*only: str, provider: TracerProvider) -> list[Choice]:
    for name in only:
        __import__({"google-genai": "google.genai"}.get(name, name))
    return list(farebox.instrument(tracer_provider=provider, only=only).instrumentations)


def test_the_services_own_provider_is_joined_and_its_spans_are_stamped(unstamped: Any) -> None:
    status = farebox.instrument("ignored", tracer_provider=unstamped.provider, only=())
    with farebox.conversation("c1"):
        unstamped.tracer.start_span("answer").end()

    assert status.provider == "joined"
    assert unstamped.values(attributes.CONVERSATION_ID) == {"answer": "c1"}
    setting_up.uninstrument()


def test_instrumenting_twice_changes_nothing(emitted: Any) -> None:
    first = _choices("openai", provider=emitted.provider)
    processors = len(emitted.provider._active_span_processor._span_processors)
    second = _choices("openai", provider=emitted.provider)

    assert first == [Choice("openai", _OPENAI, "the preferred one of those installed")]
    assert second == [Choice("openai", _OPENAI, "turned on by the service")]
    assert len(emitted.provider._active_span_processor._span_processors) == processors


@pytest.mark.parametrize("set_up_by", ["farebox", "the service"])
def test_spans_are_sent_once_to_an_endpoint_that_is_named_twice(set_up_by: str) -> None:
    program = """
import sys
import farebox
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
if sys.argv[1] == "the service":
    trace.set_tracer_provider(TracerProvider())
for _ in range(2):
    farebox.instrument("service", endpoint="http://127.0.0.1:9", only=())
processors = trace.get_tracer_provider()._active_span_processor._span_processors
print(sum(isinstance(processor, BatchSpanProcessor) for processor in processors))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, set_up_by], capture_output=True, text=True, check=True
    )

    assert done.stdout == "1\n"


@pytest.mark.parametrize("set_up_by", ["farebox", "the service"])
@pytest.mark.parametrize(
    ("endpoint", "sent_to"),
    [
        ("127.0.0.1:4317", "grpc 127.0.0.1:4317"),
        ("127.0.0.1:4318", "http http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:9/v1/traces", "http http://127.0.0.1:9/v1/traces"),
    ],
)
def test_spans_and_nothing_else_go_where_the_endpoint_says(
    endpoint: str, sent_to: str, set_up_by: str
) -> None:
    program = """
import os
import sys
import farebox
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
if sys.argv[2] == "the service":
    trace.set_tracer_provider(TracerProvider())
before = {name: value for name, value in os.environ.items() if "OTLP" in name}
farebox.instrument("service", endpoint=sys.argv[1], only=())
exporter = trace.get_tracer_provider()._active_span_processor._span_processors[0].span_exporter
print(type(exporter).__module__.split(".")[4], exporter._endpoint)
assert before == {name: value for name, value in os.environ.items() if "OTLP" in name}
"""
    elsewhere = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:8",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, endpoint, set_up_by],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | elsewhere,
    )

    assert done.stdout == f"{sent_to}\n"


@pytest.fixture
def openai_as_it_was() -> Iterator[None]:
    """Traceloop's instrumentation leaves the SDK wrapped when it is turned off."""
    importlib.import_module("openai.resources")
    before = [
        (each, dict(vars(each)))
        for name, module in list(sys.modules.items())
        if name.startswith("openai.resources")
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == name
    ]
    yield
    for each, members in before:
        for name, member in members.items():
            if vars(each)[name] is not member:
                setattr(each, name, member)


@pytest.mark.usefixtures("openai_as_it_was")
def test_what_the_service_turned_on_itself_is_kept(emitted: Any) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

    OpenAIInstrumentor().instrument(tracer_provider=emitted.provider)
    try:
        assert _choices("openai", provider=emitted.provider) == [
            Choice("openai", _TRACELOOP, "turned on by the service")
        ]
    finally:
        OpenAIInstrumentor().uninstrument()


@pytest.mark.usefixtures("openai_as_it_was")
def test_two_that_record_one_library_are_warned_of(
    emitted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

    _choices("openai", provider=emitted.provider)
    OpenAIInstrumentor().instrument(tracer_provider=emitted.provider)
    try:
        _choices("openai", provider=emitted.provider)
    finally:
        OpenAIInstrumentor().uninstrument()

    assert [record.message for record in caplog.records if "recorded by" in record.message] == [
        f"openai is recorded by {_OPENAI} and by {_TRACELOOP}: each call is billed once all the "
        "same, but turn one of them off"
    ]


@pytest.mark.parametrize(
    ("said", "instrumentation", "left"),
    [
        (None, "opentelemetry.instrumentation.genai.anthropic", "false"),
        ("false", "opentelemetry.instrumentation.genai.anthropic", "false"),
        ("true", "com.anthropic.sdk.python", "true"),
    ],
    ids=["unset", "off", "on"],
)
def test_anthropics_sdk_and_an_instrumentation_do_not_both_record(
    emitted: Any,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    instrumentation: str,
    left: str,
) -> None:
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY", raising=False)
    if said is not None:
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", said)

    (choice,) = _choices("anthropic", provider=emitted.provider)

    assert (choice.instrumentation, os.environ["ANTHROPIC_OPEN_TELEMETRY"]) == (
        instrumentation,
        left,
    )


def test_anthropics_own_spans_are_kept_where_nothing_else_is_installed(
    emitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY", raising=False)
    monkeypatch.setattr(libraries, "is_installed", lambda module: module == "anthropic")

    (choice,) = _choices("anthropic", provider=emitted.provider)

    assert choice == Choice("anthropic", "com.anthropic.sdk.python", "the SDK's own spans")
    assert "ANTHROPIC_OPEN_TELEMETRY" not in os.environ


@pytest.mark.parametrize(
    ("said", "kept"),
    [(None, "the SDK's own spans, MISTRAL_SDK_TELEMETRY=global"), ("false", None)],
    ids=["unset", "off"],
)
def test_mistrals_own_spans_are_kept_unless_the_service_turned_them_off(
    monkeypatch: pytest.MonkeyPatch, said: str | None, kept: str | None
) -> None:
    monkeypatch.delenv("MISTRAL_SDK_TELEMETRY", raising=False)
    if said is not None:
        monkeypatch.setenv("MISTRAL_SDK_TELEMETRY", said)

    assert keep_own_spans("mistral", has_another=True) == kept
    assert os.environ["MISTRAL_SDK_TELEMETRY"] == (said or "global")


def test_a_library_that_nobody_records_is_named_with_what_to_install(
    emitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "is_installed", lambda module: module == "openai")

    assert _choices("openai", provider=emitted.provider) == [
        Choice("openai", None, "pip install 'farebox[openai]'")
    ]


@pytest.mark.parametrize("disabled", ["openai", "flask, openai", "*"])
def test_a_library_that_the_environment_disables_is_not_recorded(
    emitted: Any, monkeypatch: pytest.MonkeyPatch, disabled: str
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", disabled)

    assert _choices("openai", provider=emitted.provider) == []


def test_no_text_is_recorded_unless_asked_for(
    emitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches = setting_up._CONTENT_SWITCHES
    for name in switches:
        monkeypatch.delenv(name, raising=False)
    farebox.instrument(tracer_provider=emitted.provider, only=())
    quiet = {name: os.environ[name] for name in switches}
    for name in switches:
        monkeypatch.delenv(name)
    farebox.instrument(tracer_provider=emitted.provider, only=(), capture_content=True)

    assert quiet == {
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT",
        "TRACELOOP_TRACE_CONTENT": "false",
        "OPENINFERENCE_HIDE_INPUTS": "true",
        "OPENINFERENCE_HIDE_OUTPUTS": "true",
        "OPENINFERENCE_HIDE_EMBEDDINGS_TEXT": "true",
        "OPENINFERENCE_HIDE_EMBEDDINGS_VECTORS": "true",
    }
    assert os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] == "SPAN_ONLY"


def test_no_text_is_recorded_either_where_a_loader_turns_instrumentations_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from farebox.distro import FareboxDistro  # noqa: PLC0415

    switches = setting_up._CONTENT_SWITCHES
    for name in switches:
        monkeypatch.delenv(name, raising=False)
    FareboxDistro().configure()

    assert {name: os.environ[name] for name in switches} == {
        name: without for name, (without, _) in switches.items()
    }


def test_a_redactor_sees_every_text_before_it_leaves() -> None:
    def redact(name: str, text: str) -> str | None:
        if name == "poison":
            raise KeyError(name)
        return None if name == "secret" else text.replace("4111", "****")

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingSpanExporter(exporter, redact)))
    link = Link(SpanContext(1, 2, is_remote=False), {"text": "4111", "secret": "s"})
    with provider.get_tracer("t").start_as_current_span("call", links=[link]) as span:
        span.set_status(StatusCode.ERROR, "no such card: 4111")
        span.set_attributes({"text": "card 4111", "secret": "s", "poison": "p", "number": 4111})
        span.set_attribute("texts", ["4111", "none"])
        span.add_event("said", {"text": "4111", "secret": "s"})

    (redacted,) = exporter.get_finished_spans()
    assert redacted.attributes == {"text": "card ****", "number": 4111, "texts": ("****", "none")}
    assert [dict(event.attributes or {}) for event in redacted.events] == [{"text": "****"}]
    assert [dict(link.attributes or {}) for link in redacted.links] == [{"text": "****"}]
    assert redacted.status.status_code is StatusCode.ERROR
    assert redacted.status.description == "no such card: ****"
    assert (redacted.name, redacted.context) == ("call", span.get_span_context())


_SERVICE = """
import json, sys
import farebox
from opentelemetry import trace
with farebox.conversation("c1"):
    with trace.get_tracer("service").start_as_current_span("answer") as span:
        said = dict(span.attributes)
status = farebox.status()
print(json.dumps({
    "said": said,
    "provider": status.provider,
    "service": trace.get_tracer_provider().resource.attributes.get("service.name"),
    "arguments": sys.argv[1:],
}))
"""


def _run(*command: str, **environment: str) -> Any:
    done = subprocess.run(
        [*command, "--answer"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **environment},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ([str(_BIN / "farebox-instrument")], {}),
        ([str(_BIN / "opentelemetry-instrument")], {}),
        ([str(_BIN / "farebox-instrument")], {"PYTHONPATH": "/nowhere"}),
    ],
    ids=["farebox-instrument", "opentelemetry-instrument", "farebox-instrument and a path"],
)
def test_a_program_is_instrumented_without_a_change_to_it(
    tmp_path: Path, command: list[str], environment: Mapping[str, str]
) -> None:
    program = tmp_path / "service.py"
    program.write_text(_SERVICE)

    found = _run(
        *command, sys.executable, str(program), OTEL_SERVICE_NAME="support-bot", **environment
    )

    assert found == {
        "said": {attributes.CONVERSATION_ID: "c1"},
        "provider": "joined" if "opentelemetry-instrument" in command[0] else "created",
        "service": "support-bot",
        "arguments": ["--answer"],
    }


def test_nothing_is_set_up_where_opentelemetry_is_switched_off(tmp_path: Path) -> None:
    program = tmp_path / "service.py"
    program.write_text("import farebox; print('\"' + farebox.instrument().provider + '\"')")

    assert _run(sys.executable, str(program), OTEL_SDK_DISABLED="true") == "disabled"


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["--help"], 0), (["no-such-command"], 127)]
)
def test_the_launcher_says_how_it_is_used(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    from farebox.launch import main  # noqa: PLC0415

    assert main(arguments) == status
    assert "farebox-instrument" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("entry_point", "allowed"),
    [
        (f"{_OPENAI}:OpenAIInstrumentor", True),
        (f"{_TRACELOOP}:OpenAIInstrumentor", False),
        ("opentelemetry.instrumentation.fastapi:FastAPIInstrumentor", True),
    ],
)
def test_a_loader_turns_on_one_instrumentation_per_library(entry_point: str, allowed: bool) -> None:
    assert libraries.allows(entry_point) is allowed
