"""Files of dialects: what they may say, what a mistake in one is answered with, who speaks what."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from farebox_processor.dialects import Dialects, load_dialects
from farebox_processor.errors import ConfigError
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage

OWN = """
dialect: acme
emitters:
  - scope: '^acme\\.llm$'
    reading: exclusive
    blind_to: [web_search]
kind:
  - attribute: acme.kind
    values: {completion: inference}
layouts:
  - name: acme
    input: [acme.tokens.in]
    output: [acme.tokens.out]
    cache_read: ['acme.raw#cached']
texts:
  response_model: [acme.model]
"""


@pytest.mark.parametrize(
    ("scope", "version", "dialect"),
    [
        ("opentelemetry.instrumentation.genai.openai", "1.3b0", "opentelemetry"),
        ("opentelemetry.instrumentation.openai_v2", None, "opentelemetry"),
        ("opentelemetry.instrumentation.openai.v1", "0.62.4", "traceloop"),
        ("opentelemetry.instrumentation.bedrock", "0.62.4", "traceloop"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "0.66b2", "opentelemetry"),
        ("com.anthropic.sdk.python", "2.11.0", "anthropic_sdk"),
        ("openinference.instrumentation.langchain", "0.1.80", "openinference"),
        ("mistralai_sdk_tracer", None, "mistral_sdk"),
        ("langfuse-sdk", "5.0.4", "langfuse"),
        ("pydantic-ai", "1.2.1", "pydantic_ai"),
        ("logfire.openai", "5.2.0", "logfire"),
        ("gcp.vertex.agent", "2.13.0", "google_adk"),
        ("langsmith", None, "langsmith"),
        ("litellm", None, "litellm"),
        ("openlit.instrumentation.openai", None, "openlit"),
        ("ai", None, "vercel_ai"),
        ("strands.telemetry.tracer", None, "strands"),
        ("agento11y", None, "agento11y"),
    ],
)
def test_an_emitter_is_known_by_its_scope(
    dialects: Dialects, scope: str, version: str | None, dialect: str
) -> None:
    number = dialects.emitter_of(scope, version)

    assert number is not None
    assert dialects.emitters[number][0].name == dialect


@pytest.mark.parametrize("scope", [None, "", "my.app", "opentelemetry.instrumentation.fastapi"])
def test_an_unknown_scope_is_nobodys(dialects: Dialects, scope: str | None) -> None:
    assert dialects.emitter_of(scope, "1.0") is None


def test_a_user_adds_a_dialect_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(OWN)
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    scope_spans.scope.name = "acme.llm"
    span = scope_spans.spans.add(name="x", trace_id=b"1" * 16, span_id=b"2" * 8)
    said: dict[str, Any] = {
        "acme.kind": AnyValue(string_value="Completion"),
        "acme.tokens.in": AnyValue(int_value=100),
        "acme.tokens.out": AnyValue(int_value=7),
        "acme.raw": AnyValue(string_value="{'cached': 40}"),
        "acme.model": AnyValue(string_value="acme-1"),
    }
    span.attributes.extend(KeyValue(key=key, value=value) for key, value in said.items())

    usage = read_usage(decode([request.SerializeToString()], [""]), load_dialects([file]))

    assert usage.select(
        "dialect", "call_kind", "model", "input_tokens", "cache_read_tokens", "usage_rule"
    ).rows() == [("acme", "inference", "acme-1", 100, 40, "scope")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "found list; allowed: a mapping of settings"),
        ("dialect: [", "not YAML"),
        ("about: x", "dialect: found None; allowed: a text"),
        ("dialect: openlit", "dialect: found 'openlit', which openlit.yaml defines"),
        ("dialect: x\nlayout: []", "layout: found 'layout'; allowed: dialect, about"),
        ("dialect: x\nextends: openlit", "extends: found 'openlit'; allowed: "),
        (
            "dialect: x\nlayouts: [{name: y, inptu: [a]}]",
            "layouts[0].inptu: found 'inptu'; allowed: name, layout, inside, reading",
        ),
        (
            "dialect: x\nlayouts: [{layout: opnai, inside: a}]",
            "layouts[0].layout: found 'opnai'; allowed: openai_chat, openai_responses",
        ),
        (
            "dialect: x\nemitters: [{scope: '(', reading: inclusive}]",
            "emitters[0].scope: found '('; allowed: a regular expression",
        ),
        (
            "dialect: x\nemitters: [{scope: a, reading: both}]",
            "emitters[0].reading: found 'both'; allowed: inclusive, exclusive",
        ),
        (
            "dialect: x\nemitters: [{scope: a, losses: [{code: lost, kinds: [tool]}]}]",
            "emitters[0].losses[0].code: found 'lost'; allowed: usage_missing",
        ),
        (
            "dialect: x\nkind: [{attribute: a, values: {LLM: inference}}]",
            "kind[0].values: found 'LLM'; allowed: values in lower case",
        ),
        (
            "dialect: x\nkind: [{attribute: a, values: {llm: chat}}]",
            "kind[0].values.llm: found 'chat'; allowed: inference, embeddings",
        ),
        (
            "dialect: x\ntexts: {model: [a]}",
            "texts.model: found 'model'; allowed: operation, provider",
        ),
        (
            "dialect: x\nunits: {page: [{attribute: a, pattern: 'b'}]}",
            "units.page[0].pattern: found 'b'; allowed: a regular expression with one group",
        ),
        (
            "dialect: x\nunits: {page: [{attribute: a}]}",
            "units.page[0]: found {'attribute': 'a'}; allowed: one of pattern, value, count, disti",
        ),
        ("dialect: x\nmarks: word", "marks: found 'word'; allowed: a list"),
    ],
)
def test_a_mistake_is_refused_with_file_key_what_was_found_and_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError) as refused:
        load_dialects([file])

    assert str(refused.value).startswith(f"{file}: ")
    assert message in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a readable file of a dialect"):
        load_dialects([tmp_path / "none.yaml"])


def test_a_version_of_thousands_of_digits_is_a_version_like_any_other(dialects: Dialects) -> None:
    number = dialects.emitter_of("opentelemetry.instrumentation.openai.v1", "9" * 5000)

    assert number == dialects.emitter_of("opentelemetry.instrumentation.openai.v1", "9" * 18)
