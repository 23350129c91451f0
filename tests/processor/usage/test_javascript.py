"""What emitters in JavaScript say of a call, as they say it, and what becomes of it."""

import json
from typing import Any

import pytest

from farebox_processor.dialects import Dialects

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 1511,
    "gen_ai.usage.output_tokens": 347,
}
CLAUDE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 2200,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.cache_creation.input_tokens": 800,
    "gen_ai.usage.cache_read.input_tokens": 1000,
}
OF_ANTHROPIC = {
    "anthropic": {
        "usage": {
            "input_tokens": 2200,
            "output_tokens": 200,
            "cache_creation_input_tokens": 800,
            "cache_read_input_tokens": 1000,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 500,
                "ephemeral_1h_input_tokens": 300,
            },
        }
    }
}
OF_GEMINI = {
    "google": {
        "usageMetadata": {
            "cachedContentTokenCount": 1024,
            "thoughtsTokenCount": 192,
            "promptTokenCount": 1511,
            "candidatesTokenCount": 155,
            "toolUsePromptTokenCount": 500,
            "totalTokenCount": 2358,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 1111},
                {"modality": "AUDIO", "tokenCount": 400},
            ],
        }
    }
}
OBJECT = {
    "ai.operationId": "ai.generateObject.doGenerate",
    "ai.model.provider": "openai.responses",
    "ai.model.id": "gpt-5",
    "ai.request.headers.user-agent": "ai/6.0.326",
    "ai.usage.promptTokens": 1511,
    "ai.usage.completionTokens": 347,
    "gen_ai.usage.input_tokens": 1511,
    "gen_ai.usage.output_tokens": 347,
}
AUDIO = '[{"role":"user","parts":[{"type":"blob","modality":"audio","mime_type":"audio/mp3"}]}]'


def only(frame: Any) -> dict[str, Any]:
    (row,) = frame.iter_rows(named=True)
    return dict(row)


def packed(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    ("scope", "dialect"),
    [
        ("@opentelemetry/instrumentation-openai", "opentelemetry"),
        ("@elastic/opentelemetry-instrumentation-openai", "opentelemetry"),
        ("@traceloop/instrumentation-openai", "traceloop"),
        ("@traceloop/instrumentation-langchain", "traceloop"),
        ("@traceloop/node-server-sdk", "traceloop"),
        ("@openlit/instrumentation-vllm", "openlit"),
        ("@openlit/instrumentation-anthropic", "openlit"),
        ("@arizeai/openinference-instrumentation-openai", "openinference"),
        ("gen_ai", "vercel_ai_otel"),
        ("genkit-tracer", "genkit"),
    ],
)
def test_an_emitter_in_javascript_is_known_by_its_scope(
    dialects: Dialects, scope: str, dialect: str
) -> None:
    number = dialects.emitter_of(scope, "1")

    assert number is not None
    assert dialects.emitters[number][0].name == dialect


@pytest.mark.parametrize(
    ("scope", "attributes", "uncertainty"),
    [
        (
            "@opentelemetry/instrumentation-openai",
            CHAT,
            ["cache_read_unreported", "cache_write_unreported"],
        ),
        (
            "@elastic/opentelemetry-instrumentation-openai",
            CHAT,
            ["cache_read_unreported", "cache_write_unreported"],
        ),
        (
            "@traceloop/instrumentation-openai",
            CHAT,
            ["cache_read_unreported", "cache_write_unreported", "usage_estimated"],
        ),
        (
            "@traceloop/instrumentation-openai",
            CHAT | {"gen_ai.response.id": "resp_1"},
            ["cache_read_unreported", "cache_write_unreported"],
        ),
        (
            "@traceloop/instrumentation-openai",
            {key: value for key, value in CHAT.items() if key != "gen_ai.response.id"},
            ["cache_read_unreported", "cache_write_unreported", "usage_estimated"],
        ),
        (
            "@openlit/instrumentation-openai",
            CHAT | {"gen_ai.request.is_stream": True},
            ["cache_read_unreported", "usage_estimated"],
        ),
        (
            "@openlit/instrumentation-openai",
            CHAT | {"gen_ai.request.is_stream": True, "gen_ai.usage.cache_read.input_tokens": 1024},
            None,
        ),
        (
            "@openlit/instrumentation-anthropic",
            CLAUDE
            | {"gen_ai.request.is_stream": True, "gen_ai.usage.cache_creation.input_tokens": 0},
            ["output_overcounted"],
        ),
        ("gen_ai", CHAT | {"gen_ai.input.messages": AUDIO}, ["units_unreported"]),
    ],
)
def test_what_an_emitter_in_javascript_drops_or_guesses_leaves_the_cost_open(
    read: Any, scope: str, attributes: dict[str, Any], uncertainty: list[str] | None
) -> None:
    row = only(read(attributes, scope=scope))

    told = [code for code in row["uncertainty"] or [] if (scope, code) != WRITES]
    assert (told or None) == uncertainty


WRITES = ("gen_ai", "cache_write_unreported")
"""Of models that bill none it makes no difference."""


@pytest.mark.parametrize(
    "scope", ["@traceloop/instrumentation-anthropic", "@openlit/instrumentation-anthropic"]
)
def test_in_javascript_the_input_of_claude_is_without_cached_tokens(read: Any, scope: str) -> None:
    row = only(read(CLAUDE, scope=scope))

    assert (row["usage_reading"], row["input_tokens"], row["cache_read_tokens"]) == (
        "exclusive",
        2200,
        1000,
    )


def test_an_object_of_claude_is_read_from_the_answer_whatever_release_counted_it(read: Any) -> None:
    answer = {
        "ai.model.provider": "anthropic.messages",
        "ai.model.id": "claude-sonnet-4-5",
        "ai.response.providerMetadata": packed(OF_ANTHROPIC),
        "ai.usage.promptTokens": 4000,
        "ai.usage.completionTokens": 200,
        "gen_ai.usage.input_tokens": 4000,
    }

    row = only(read(OBJECT | answer, scope="ai"))

    assert {
        name: row[name]
        for name in (
            "input_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "output_tokens",
            "uncertainty",
        )
    } == {
        "input_tokens": 2200,
        "cache_read_tokens": 1000,
        "cache_write_5m_tokens": 500,
        "cache_write_1h_tokens": 300,
        "output_tokens": 200,
        "uncertainty": None,
    }


@pytest.mark.parametrize("scope", ["ai", "gen_ai"])
def test_what_gemini_said_of_a_call_counts_before_what_the_ai_sdk_makes_of_it(
    read: Any, scope: str
) -> None:
    said = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "google.generative-ai",
        "ai.response.providerMetadata": packed(OF_GEMINI),
        "ai.usage.promptTokens": 1511,
        "ai.usage.completionTokens": 155,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.input_tokens": 1511,
        "gen_ai.usage.output_tokens": 155,
    }

    row = only(read(said, scope=scope))

    assert {
        name: row[name]
        for name in (
            "input_tokens",
            "input_audio_tokens",
            "cache_read_tokens",
            "output_tokens",
            "reasoning_tokens",
        )
    } == {
        "input_tokens": 587,  # 1511 + 500 that a tool read - 400 of audio - 1024 cached
        "input_audio_tokens": 400,
        "cache_read_tokens": 1024,
        "output_tokens": 347,
        "reasoning_tokens": 192,
    }


@pytest.mark.parametrize(
    ("attributes", "uncertainty"),
    [
        ({}, ["cache_read_unreported", "cache_write_unreported"]),
        (
            {"ai.model.provider": "google.generative-ai", "ai.model.id": "gemini-2.5-flash"},
            ["cache_read_unreported", "cache_write_unreported", "reasoning_unreported"],
        ),
        (
            {
                "ai.model.provider": "amazon-bedrock",
                "ai.request.headers.user-agent": "ai/5.0.277",
            },
            ["cache_read_unreported", "cache_write_unreported", "cache_uncounted"],
        ),
        (
            {
                "ai.model.provider": "google.generative-ai",
                "ai.prompt.tools": ['{"type":"provider","id":"google.url_context"}'],
                "ai.usage.totalTokens": 1858,
                "ai.response.providerMetadata": '{"google":{"usageMetadata":{}}}',
            },
            ["units_unreported"],
        ),
        (
            {
                "ai.operationId": "ai.streamObject.doStream",
                "ai.model.provider": "amazon-bedrock",
                "ai.usage.promptTokens": "",
                "ai.usage.inputTokens": 4000,
                "ai.usage.cachedInputTokens": 1000,
            },
            ["usage_contradictory"],
        ),
    ],
)
def test_what_the_ai_sdk_leaves_out_of_what_is_not_streamed_leaves_the_cost_open(
    read: Any, attributes: dict[str, Any], uncertainty: list[str]
) -> None:
    row = only(read(OBJECT | attributes, scope="ai"))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize(
    ("user_agent", "fresh"), [("ai/5.0.277", 2500), ("ai/6.0.326", 1500), ("ai/10.0.1", 1500)]
)
def test_since_its_version_6_the_ai_sdk_counts_cached_tokens_in_the_input_of_an_object(
    read: Any, user_agent: str, fresh: int
) -> None:
    span = OBJECT | {
        "ai.model.provider": "amazon-bedrock",
        "ai.request.headers.user-agent": user_agent,
        "ai.usage.promptTokens": 2500,
        "ai.usage.cachedInputTokens": 1000,
    }

    assert only(read(span, scope="ai"))["input_tokens"] == fresh


def test_bedrock_says_for_how_long_it_has_written(read: Any) -> None:
    usage = {"cacheWriteInputTokens": 800, "cacheDetails": [{"inputTokens": 300, "ttl": "1h"}]}
    usage["cacheDetails"] += [{"inputTokens": 500, "ttl": "5m"}]
    span = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "amazon-bedrock",
        "ai.model.id": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "ai.response.providerMetadata": packed({"bedrock": {"usage": usage}}),
        "ai.usage.inputTokens": 4000,
        "ai.usage.inputTokenDetails.noCacheTokens": 2200,
        "ai.usage.inputTokenDetails.cacheReadTokens": 1000,
        "ai.usage.inputTokenDetails.cacheWriteTokens": 800,
        "ai.usage.outputTokens": 200,
    }

    row = only(read(span, scope="ai"))

    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]) == (500, 300)
    assert row["uncertainty"] is None


def test_a_stream_that_was_stopped_stands_for_a_call_on_no_span(read: Any) -> None:
    outer = {"ai.operationId": "ai.streamText", "ai.model.id": "gpt-5"}

    stopped, ended = read(
        outer, outer | {"ai.usage.inputTokens": 10, "ai.usage.outputTokens": 1}, scope="ai"
    ).iter_rows(named=True)

    assert stopped["uncertainty"] == ["calls_unreported"]
    assert ended["uncertainty"] == ["aggregate"]


def test_speech_and_transcripts_of_the_ai_sdk_are_calls(read: Any) -> None:
    calls = [{"ai.operationId": f"ai.{name}"} for name in ("generateSpeech", "transcribe")]
    named = [{"gen_ai.operation.name": call["ai.operationId"]} for call in calls]

    assert read(*calls, scope="ai")["call_kind"].to_list() == ["inference"] * 2
    assert read(*named, scope="gen_ai")["call_kind"].to_list() == ["inference"] * 2


@pytest.mark.parametrize("prefix", ["ai.settings.context", "mastra.metadata"])
def test_what_a_run_in_javascript_was_given_tells_conversation_and_user(
    read: Any, prefix: str
) -> None:
    context = {f"{prefix}.sessionId": "s-1", f"{prefix}.userId": "u-1"}

    row = only(read({"gen_ai.operation.name": "invoke_agent"} | context, scope="gen_ai"))

    assert (row["conversation_id"], row["user_id"]) == ("s-1", "u-1")


@pytest.mark.parametrize(("status", "uncertainty"), [(200, ["usage_missing"]), (429, None)])
def test_an_answer_of_the_ai_sdk_that_breaks_off_was_not_refused(
    read: Any, status: int, uncertainty: list[str] | None
) -> None:
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5"}

    row = only(read(call | {"http.response.status_code": status}, scope="gen_ai", status=2))

    assert row["uncertainty"] == uncertainty


def test_a_provider_tool_of_the_ai_sdk_is_evidence_of_searches(read: Any) -> None:
    tools = '[{"type":"provider","name":"find","id":"openai.web_search","args":{}}]'

    row = only(read(CHAT | {"gen_ai.tool.definitions": tools}, scope="gen_ai"))

    assert "units_unreported" in row["uncertainty"]


def test_langfuse_takes_text_predictions_and_writes_out_of_their_whole(read: Any) -> None:
    usage = {
        "input": 0,
        "output": 55,
        "input_text_tokens": 1411,
        "input_cache_write_tokens": 100,
        "output_accepted_prediction_tokens": 70,
        "output_rejected_prediction_tokens": 30,
        "output_reasoning_tokens": 192,
    }
    generation = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.usage_details": packed(usage),
    }

    row = only(read(generation, scope="langfuse-sdk"))

    assert (row["input_tokens"], row["cache_write_5m_tokens"]) == (1411, 100)
    assert (row["output_tokens"], row["reasoning_tokens"]) == (347, 192)


@pytest.mark.parametrize(
    "attributes",
    [
        {"langfuse.observation.metadata.tools": '[{"type":"web_search"}]'},
        {"langfuse.observation.input": '{"messages":[],"tools":[{"type":"web_search"}]}'},
    ],
)
def test_a_search_that_langfuse_was_asked_for_leaves_the_cost_open(
    read: Any, attributes: dict[str, Any]
) -> None:
    generation = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.usage_details": '{"input":10,"output":1}',
    }

    row = only(read(generation | attributes, scope="langfuse-sdk"))

    assert row["uncertainty"] == ["units_unreported"]


def test_a_search_that_a_message_of_langchain_has_twice_is_one(read: Any) -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    message = {"tool_outputs": [search], "response_metadata": {"output": [search]}}
    call = {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 1,
        "output.value": packed(message),
    }

    row = only(read(call, scope="@arizeai/openinference-instrumentation-langchain"))

    assert row["units"] == [{"unit": "web_search", "quantity": 1}]


def test_langchain_adds_to_the_output_of_a_stream_of_claude(read: Any) -> None:
    call = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 201,
    }
    streamed = call | {"output.value": '{"id":["langchain_core","messages","AIMessageChunk"]}'}

    whole, parts = read(
        call, streamed, scope="@arizeai/openinference-instrumentation-langchain"
    ).iter_rows(named=True)

    assert (whole["uncertainty"], parts["uncertainty"]) == (None, ["output_overcounted"])


OF_OPENAI = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "service_tier": "priority",
    "usage": {
        "prompt_tokens": 1511,
        "completion_tokens": 347,
        "total_tokens": 1858,
        "prompt_tokens_details": {"cached_tokens": 1024},
    },
}


@pytest.mark.parametrize(
    ("name", "output", "told"),
    [
        (
            "openai/gpt-4o",
            {"usage": {"inputTokens": 1511, "outputTokens": 347}, "raw": OF_OPENAI},
            ("openai", "gpt-4o-2024-08-06", 487, 1024, 347, "priority", None),
        ),
        (
            "anthropic/claude-sonnet-4-5",
            {"usage": {"inputTokens": 2200, "outputTokens": 200}, "raw": OF_ANTHROPIC["anthropic"]},
            ("anthropic", "claude-sonnet-4-5", 2200, 1000, 200, None, None),
        ),
        (
            "googleai/gemini-2.5-flash",
            {
                "usage": {
                    "inputTokens": 1511,
                    "outputTokens": 155,
                    "thoughtsTokens": 192,
                    "totalTokens": 1858,
                    "cachedContentTokens": 1024,
                }
            },
            ("gcp.gemini", "gemini-2.5-flash", 487, 1024, 347, None, None),
        ),
        (
            "openai/gpt-4o",
            {"usage": {"inputTokens": 1511, "outputTokens": 347}},
            (
                "openai",
                "gpt-4o",
                1511,
                None,
                347,
                None,
                ["cache_read_unreported", "cache_write_unreported"],
            ),
        ),
    ],
)
def test_a_model_of_genkit_is_a_call_with_the_usage_that_its_provider_stated(
    read: Any, name: str, output: dict[str, Any], told: tuple[Any, ...]
) -> None:
    span = {
        "genkit:type": "action",
        "genkit:metadata:subtype": "model",
        "genkit:name": name,
        "genkit:output": packed(output),
    }
    around = {"genkit:type": "util", "genkit:name": "generate", "genkit:output": packed(output)}

    call, outer = read(span, around, scope="genkit-tracer").iter_rows(named=True)

    assert (
        call["provider"],
        call["model"],
        call["input_tokens"],
        call["cache_read_tokens"],
        call["output_tokens"],
        call["service_tier"],
        call["uncertainty"],
    ) == told
    assert (call["call_kind"], outer["call_kind"]) == ("inference", "agent")
