"""One rule a test: what a span with these attributes is taken for."""

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.dialects import load_dialects
from farebox_processor.frames import TOKENS
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage

IN, OUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
CLAUDE = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5"}
GEMINI = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gemini-2.5-pro"}


def only(frame: Any) -> dict[str, Any]:
    (row,) = frame.iter_rows(named=True)
    return dict(row)


def tokens(row: dict[str, Any]) -> dict[str, int]:
    return {name.removesuffix("_tokens"): row[name] for name in TOKENS if row[name] is not None}


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [12, 12.0, "12", "12.0"])
def test_a_count_may_be_an_integer_a_whole_double_or_the_text_of_one(read: Any, value: Any) -> None:
    row = only(read(CHAT | {IN: value, OUT: 1}))

    assert (row["input_tokens"], row["invalid_usage"]) == (12, 0)


@pytest.mark.parametrize(
    "value",
    [-1, float("nan"), float("inf"), 1.5, 2**40 + 1, 2**62, 1e300, "twelve", "", True, [12]],
    ids=repr,
)
def test_what_is_no_count_becomes_null_is_counted_and_leaves_the_call_without_a_price(
    read: Any, value: Any
) -> None:
    row = only(read(CHAT | {IN: value, OUT: 1}))

    assert row["input_tokens"] is None
    assert row["invalid_usage"] == 1
    assert row["candidate"]
    assert "usage_invalid" in row["uncertainty"]


def test_nonsense_under_one_spelling_does_no_harm_beside_a_good_one(read: Any) -> None:
    row = only(read(CHAT | {IN: -5, "gen_ai.usage.prompt_tokens": 7, OUT: 1}))

    assert (row["input_tokens"], row["invalid_usage"], row["uncertainty"]) == (7, 1, None)


def test_two_spellings_of_one_count_are_never_added(read: Any) -> None:
    row = only(
        read(
            CHAT
            | {IN: 100, OUT: 5, READ: 40, WRITE: 0}
            | {"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 5}
            | {"gen_ai.usage.cache_read_input_tokens": 40}
        )
    )

    assert tokens(row) == {
        "input": 60,
        "cache_read": 40,
        "cache_write_5m": 0,
        "cache_write_1h": 0,
        "output": 5,
    }


@pytest.mark.parametrize(
    "other",
    [
        {"gen_ai.usage.prompt_tokens": 5000},
        {"gen_ai.usage.completion_tokens": 6},
        {"gen_ai.usage.cache_read_input_tokens": 90},
        {"gen_ai.usage.cache_creation.input_tokens": 1},
    ],
)
def test_two_spellings_of_one_count_that_disagree_are_marked(
    read: Any, other: dict[str, Any]
) -> None:
    row = only(read(CHAT | {IN: 100, OUT: 5, READ: 40, WRITE: 0} | other))

    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (60, 40, 5)
    assert row["uncertainty"] == ["usage_contradictory"]


# --- inclusive or exclusive ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "attributes", "told"),
    [
        ("my.app", {IN: 100, READ: 40}, (60, "inclusive", "default")),
        ("my.app", {IN: 30, READ: 40}, (30, "exclusive", "proof")),
        ("openlit.instrumentation.anthropic", {IN: 100, READ: 40}, (100, "exclusive", "scope")),
        ("opentelemetry.instrumentation.genai.openai", {IN: 100}, (100, "inclusive", "scope")),
        (
            "openlit.instrumentation.anthropic",
            {IN: 100, READ: 40, "gen_ai.token.semantics": "inclusive"},
            (60, "inclusive", "marker"),
        ),
        (
            "my.app",
            {IN: 100, READ: 40, "gen_ai.token.semantics": "exclusive"},
            (100, "exclusive", "marker"),
        ),
    ],
)
def test_a_marker_decides_before_a_proof_before_the_scope_before_the_convention(
    read: Any, scope: str, attributes: dict[str, Any], told: tuple[int, str, str]
) -> None:
    row = only(read(CHAT | attributes | {OUT: 1}, scope=scope))

    assert (row["input_tokens"], row["usage_reading"], row["usage_rule"]) == told


def test_parts_larger_than_an_inclusive_input_are_cut_down_to_it_and_marked(read: Any) -> None:
    row = only(
        read(CHAT | {IN: 100, OUT: 1, READ: 70, WRITE: 50, "gen_ai.token.semantics": "inclusive"})
    )

    assert tokens(row) == {
        "input": 0,
        "cache_read": 70,
        "cache_write_5m": 30,
        "cache_write_1h": 0,
        "output": 1,
    }
    assert row["uncertainty"] == ["usage_contradictory"]


def test_reasoning_is_part_of_the_output_and_never_more(read: Any) -> None:
    row = only(read(CHAT | {IN: 10, OUT: 20, "gen_ai.usage.reasoning.output_tokens": 30}))

    assert (row["output_tokens"], row["reasoning_tokens"]) == (20, 20)
    assert row["uncertainty"] == ["usage_contradictory"]


# --- modalities, thoughts, what lies beside ------------------------------------------------------


def test_audio_and_images_are_taken_out_of_the_text_they_are_counted_in(read: Any) -> None:
    row = only(
        read(
            CHAT
            | {IN: 3000, READ: 2000, OUT: 900}
            | {"gen_ai.usage.audio.input_tokens": 2000}
            | {"gen_ai.usage.audio.cache_read.input_tokens": 1500}
            | {"gen_ai.usage.audio.output_tokens": 800}
        )
    )

    assert tokens(row) == {
        "input": 500,
        "input_audio": 500,
        "cache_read": 500,
        "cache_read_audio": 1500,
        "output": 100,
        "output_audio": 800,
    }
    assert row["uncertainty"] is None


def test_what_googles_total_has_beyond_input_and_output_is_thoughts(read: Any) -> None:
    row = only(read(GEMINI | {IN: 100, OUT: 20, "gen_ai.usage.total_tokens": 150}))

    assert tokens(row) == {"input": 100, "output": 50, "reasoning": 30}


GROK = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "grok-4-0709"}
REASONING = "gen_ai.usage.reasoning.output_tokens"


@pytest.mark.parametrize(
    ("attributes", "output", "reasoning", "uncertainty"),
    [
        # As in xAI's own example: 32 + 9 + 94 = 135.
        (GROK | {REASONING: 94, "gen_ai.usage.total_tokens": 135}, 103, 94, None),
        (
            GROK | {"gen_ai.provider.name": "xai", "gen_ai.usage.total_tokens": 135},
            103,
            94,
            None,
        ),
        (GROK | {"gen_ai.provider.name": "xai", REASONING: 4}, 9, 4, ["reasoning_unreported"]),
        # As OpenAI counts: reasoning lies in the output.
        (CHAT | {REASONING: 4, "gen_ai.usage.total_tokens": 41}, 9, 4, None),
    ],
)
def test_reasoning_lies_beside_the_output_where_the_total_shows_it(
    read: Any,
    attributes: dict[str, Any],
    output: int,
    reasoning: int,
    uncertainty: list[str] | None,
) -> None:
    row = only(read(attributes | {IN: 32, OUT: 9}))

    assert (row["output_tokens"], row["reasoning_tokens"]) == (output, reasoning)
    assert row["uncertainty"] == uncertainty


def test_nobody_elses_total_says_anything_of_thoughts(read: Any) -> None:
    row = only(read(CHAT | {IN: 100, OUT: 20, "gen_ai.usage.total_tokens": 150}))

    assert tokens(row) == {"input": 100, "output": 20}


def test_context_compaction_is_billed_beside_the_usage_of_the_conventions(read: Any) -> None:
    row = only(
        read(
            CLAUDE
            | {IN: 100, OUT: 20, READ: 60}
            | {"anthropic.usage.compaction.input_tokens": 7}
            | {"anthropic.usage.compaction.output_tokens": 3},
            scope="com.anthropic.sdk.python",
        )
    )

    assert tokens(row) == {"input": 47, "cache_read": 60, "output": 23}


def test_embeddings_that_state_only_a_total_have_that_input(read: Any) -> None:
    row = only(read({"gen_ai.operation.name": "embeddings", "gen_ai.usage.total_tokens": 87}))

    assert (row["call_kind"], tokens(row), row["uncertainty"]) == (
        "embeddings",
        {"input": 87},
        None,
    )


# --- cache writes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "five_minutes", "one_hour", "uncertainty"),
    [
        (CLAUDE | {WRITE: 50}, 50, 0, ["cache_write_ttl_unreported"]),
        (CHAT | {WRITE: 50}, 50, 0, None),
        (
            CLAUDE | {WRITE: 50, "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 50},
            0,
            50,
            None,
        ),
        (
            CLAUDE | {WRITE: 50, "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 20},
            30,
            20,
            ["cache_write_ttl_unreported"],
        ),
        (CLAUDE | {WRITE: 50, "farebox.usage.cache_write_5m_tokens": 50}, 50, 0, None),
    ],
)
def test_written_tokens_without_a_time_to_live_are_five_minutes_and_uncertain_for_claude_alone(
    read: Any,
    attributes: dict[str, Any],
    five_minutes: int,
    one_hour: int,
    uncertainty: list[str] | None,
) -> None:
    row = only(read(attributes | {IN: 100, OUT: 1}))

    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]) == (five_minutes, one_hour)
    assert row["uncertainty"] == uncertainty


# --- what emitters lose --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "version", "attributes", "uncertainty"),
    [
        ("opentelemetry.instrumentation.openai_v2", "2.4b0", {}, ["cache_read_unreported"]),
        ("opentelemetry.instrumentation.openai_v2", "2.4b0", {READ: 4}, None),
        ("opentelemetry.util.genai.handler", "0.4b0", {}, ["cache_read_unreported"]),
        ("opentelemetry.util.genai.handler", "1.3b0", {}, None),
        ("pydantic-ai", "1.2.1", {}, ["cache_read_unreported"]),
        ("pydantic-ai", "2.68.0", {}, None),
        (
            "opentelemetry.instrumentation.anthropic",
            "0.62.4",
            {"gen_ai.is_streaming": True, READ: 0},
            ["output_overcounted"],
        ),
        (
            "opentelemetry.instrumentation.anthropic",
            "0.62.4",
            {"gen_ai.is_streaming": False, READ: 0},
            None,
        ),
        (
            "opentelemetry.instrumentation.anthropic",
            "0.48.1",
            {},
            ["cache_read_unreported", "cache_write_unreported"],
        ),
        (
            "openlit.instrumentation.anthropic",
            "",
            {"gen_ai.request.stream": True},
            ["cache_uncounted", "usage_estimated"],
        ),
        ("openlit.instrumentation.anthropic", "", {"gen_ai.request.stream": True, READ: 0}, None),
        (
            "openlit.instrumentation.groq",
            "",
            CHAT | {"gen_ai.request.stream": True},
            ["cache_read_unreported", "usage_estimated"],
        ),
        (
            "openlit.instrumentation.openai",
            "",
            CHAT | {"gen_ai.request.stream": True, READ: 0},
            None,
        ),
        (
            "openlit.otel.tracing",
            "",
            CHAT | {"gen_ai.request.is_stream": True},
            ["cache_read_unreported", "usage_estimated"],
        ),
        (
            "openlit.otel.tracing",
            "",
            CHAT | {"gen_ai.request.is_stream": False},
            ["cache_read_unreported"],
        ),
        (
            "openlit.otel.tracing",
            "",
            {"gen_ai.request.is_stream": False},
            ["cache_read_unreported", "cache_uncounted"],
        ),
        (
            "opentelemetry.instrumentation.botocore.bedrock-runtime",
            "0.66b2",
            {"rpc.method": "InvokeModel"},
            ["cache_uncounted"],
        ),
        (
            "opentelemetry.instrumentation.botocore.bedrock-runtime",
            "0.66b2",
            {"rpc.method": "Converse"},
            None,
        ),
    ],
)
def test_a_loss_is_known_by_scope_version_and_what_the_span_shows(
    read: Any, scope: str, version: str, attributes: dict[str, Any], uncertainty: list[str] | None
) -> None:
    row = only(read(CLAUDE | {IN: 10, OUT: 1} | attributes, scope=scope, version=version))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize(
    ("version", "stream", "uncertainty"),
    [
        ("0.1.20", "true", ["cache_uncounted"]),
        ("0.1.20", "false", None),
        ("3.1.0", "true", None),
    ],
)
def test_a_stream_of_claude_leaves_cached_input_out_in_old_releases_of_openinference(
    read: Any, version: str, stream: str, uncertainty: list[str] | None
) -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-sonnet-4-5",
        "llm.invocation_parameters": f'{{"max_tokens": 10, "stream": {stream}}}',
        "llm.token_count.prompt": 211,
        "llm.token_count.completion": 389,
    }

    row = only(read(attributes, scope="openinference.instrumentation.anthropic", version=version))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize(
    ("attributes", "is_blind"),
    [
        ({"gen_ai.provider.name": "azure.ai.openai"}, True),
        ({"gen_ai.provider.name": "openai", "server.address": "acme.openai.azure.com"}, True),
        ({"gen_ai.provider.name": "azure.ai.openai", "farebox.inference_geo": "eu"}, False),
        ({"gen_ai.provider.name": "openai"}, False),
    ],
)
def test_no_emitter_shows_in_which_data_zone_azure_kept_a_call(
    read: Any, attributes: dict[str, Any], is_blind: bool
) -> None:
    row = only(
        read(
            CHAT | {IN: 1, OUT: 1} | attributes, scope="opentelemetry.instrumentation.genai.openai"
        )
    )

    assert ("data_zone" in row["blind_to"]) is is_blind


def test_a_tool_that_google_genai_ran_itself_stands_for_a_call_on_no_span(read: Any) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"}

    there = only(read(tool, scope="opentelemetry.instrumentation.google_genai"))
    recorded = only(
        read(
            tool | {"farebox.calls_recorded": True},
            scope="opentelemetry.instrumentation.google_genai",
        )
    )
    elsewhere = only(read(tool, scope="my.app"))

    assert (there["candidate"], there["uncertainty"]) == (True, ["calls_unreported"])
    assert (recorded["candidate"], recorded["uncertainty"]) == (False, None)
    assert (elsewhere["candidate"], elsewhere["uncertainty"]) == (False, None)


@pytest.mark.parametrize(
    ("attributes", "status", "uncertainty"),
    [
        (CHAT, 0, ["usage_missing"]),
        (CHAT, 2, None),
        (CHAT | {"gen_ai.response.id": "chatcmpl-1"}, 2, ["usage_missing"]),
        (CHAT | {"error.type": "openai.RateLimitError"}, 2, None),
        (CHAT | {"error.type": "CancelledError"}, 2, ["usage_missing"]),
        (CHAT | {"error.type": "openai.LengthFinishReasonError"}, 2, ["usage_missing"]),
        (CHAT | {IN: 0, OUT: 0}, 0, ["usage_missing"]),
        (CHAT | {IN: 10}, 0, ["usage_incomplete"]),
        (CHAT | {"gen_ai.usage.cost": 0.01}, 0, None),
        (CHAT | {"gen_ai.usage.cost": 0.0}, 0, ["usage_missing"]),
        (CHAT | {"gen_ai.usage.cost": 0.0, "error.type": "x"}, 0, None),
        (CHAT | {"farebox.recorded_cost_usd": "0"}, 0, None),
        (CHAT | {IN: 0, OUT: 0, "gen_ai.usage.cost": 0.0}, 0, ["usage_missing"]),
        (CHAT | {IN: 0, OUT: 0, "gen_ai.usage.cost": 0.01}, 0, ["usage_missing"]),
        (CHAT | {IN: 10, OUT: 1, "farebox.usage.estimated": True}, 0, ["usage_estimated"]),
    ],
)
def test_a_call_without_usage_is_a_candidate_that_says_so_unless_it_failed_or_has_a_cost(
    read: Any, attributes: dict[str, Any], status: int, uncertainty: list[str] | None
) -> None:
    row = only(read(attributes, status=status))

    assert (row["candidate"], row["uncertainty"]) == (True, uncertainty)


def test_what_the_input_consists_of_stands_beside_the_sums_of_langsmith(read: Any) -> None:
    parts = '{"cache_read": 40, "cache_creation": 0, "ephemeral_1h_input_tokens": 30}'
    told = {"langsmith.span.kind": "llm", IN: 100, OUT: 5, "gen_ai.system": "langchain"}
    told |= {"langsmith.metadata.ls_provider": "anthropic"}
    of_framework = only(
        read(told | {"langsmith.metadata.usage_metadata": parts}, scope="langsmith")
    )
    of_wrapper = only(read(told | {"gen_ai.usage.input_token_details": parts}, scope="langsmith"))
    hidden = only(read(told, scope="langsmith"))

    expected = {"input": 30, "cache_read": 40, "cache_write_5m": 0, "cache_write_1h": 30}
    assert tokens(of_framework) == tokens(of_wrapper) == expected | {"output": 5}
    assert (of_framework["provider"], of_framework["uncertainty"]) == ("anthropic", None)
    assert set(hidden["uncertainty"]) == {"cache_read_unreported", "cache_write_unreported"}


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_cached_input_of_another_tier_has_another_name_in_langsmith(read: Any, tier: str) -> None:
    told = {"langsmith.span.kind": "llm", IN: 100, OUT: 5, "gen_ai.response.service_tier": tier}
    parts = {"langsmith.metadata.usage_metadata": f'{{"{tier}_cache_read": 40, "{tier}": 60}}'}
    row = only(read(told | parts, scope="langsmith"))

    assert (row["input_tokens"], row["cache_read_tokens"], row["price_context"]) == (
        60,
        40,
        f"service_tier={tier}",
    )


def test_langchains_cached_input_of_another_tier_is_lost_on_openllmetry(read: Any) -> None:
    scope = "opentelemetry.instrumentation.langchain"
    lost = only(read(CHAT | {IN: 100, OUT: 5}, scope=scope))
    told = only(read(CHAT | {IN: 100, OUT: 5, READ: 0}, scope=scope))

    assert "cache_read_unreported" in lost["uncertainty"]
    assert "cache_read_unreported" not in (told["uncertainty"] or ())


@pytest.mark.parametrize(
    ("version", "answer", "uncertainty"),
    [
        ("0.1.54", '"llm_output": {"usage": {"cache_read_input_tokens": 100', ["cache_uncounted"]),
        ("0.1.54", '"llm_output": {"usage": {"cache_read_input_tokens": 0', None),
        ("0.1.54", '"llm_output": null, "usage": {"cache_read": 100', None),
        ("0.1.55", '"llm_output": {"usage": {"cache_read_input_tokens": 100', None),
    ],
)
def test_openinference_of_langchain_once_left_cached_input_of_claude_out(
    read: Any, version: str, answer: str, uncertainty: list[str] | None
) -> None:
    told = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude-haiku-4-5",
        "llm.token_count.prompt": 600,
        "llm.token_count.prompt_details.cache_read": 100,
        "llm.token_count.completion": 5,
        "output.value": f"{{{answer}}}}}",
    }
    row = only(read(told, scope="openinference.instrumentation.langchain", version=version))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize(
    ("history", "uncertainty"),
    [
        ("[]", None),
        ('[{"parts":[{"text":"a"}]},{"parts":[{"function_call":{}}]}]', ["calls_unreported"]),
    ],
)
def test_openinference_of_gemini_has_the_last_of_the_calls_that_functions_take(
    read: Any, history: str, uncertainty: list[str] | None
) -> None:
    told = {"openinference.span.kind": "LLM", "llm.model_name": "gemini-2.5-flash"}
    told |= {"llm.token_count.prompt": 1000, "llm.token_count.completion": 161}
    told |= {"output.value": f'{{"automatic_function_calling_history":{history}}}'}
    row = only(read(told, scope="openinference.instrumentation.google_genai"))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize(
    ("tools", "uncertainty"),
    [
        ('[{"name": "order_status"}]', ["calls_unreported"]),
        ('[{"function_declarations": [{"description": "s", "name": "order_status"}]}]', None),
    ],
)
def test_openllmetry_of_gemini_has_the_last_of_the_calls_that_functions_take(
    read: Any, tools: str, uncertainty: list[str] | None
) -> None:
    told = GEMINI | {IN: 1000, OUT: 61, "gen_ai.usage.total_tokens": 1061}
    scope = "opentelemetry.instrumentation.google_generativeai"
    row = only(read(told | {"gen_ai.tool.definitions": tools}, scope=scope))

    assert row["uncertainty"] == uncertainty


@pytest.mark.parametrize("framework", ["autogen_agentchat", "smolagents", "one_of_tomorrow"])
def test_openinference_of_frameworks_that_keep_sums_has_no_cached_input(
    read: Any, framework: str
) -> None:
    told = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 1000}
    told |= {"llm.token_count.completion": 61}
    rows = read(
        told | {"llm.model_name": "gpt-4o"},
        told | {"llm.model_name": "claude-haiku-4-5"},
        scope=f"openinference.instrumentation.{framework}",
    )

    assert [set(codes) for codes in rows["uncertainty"]] == [
        {"cache_read_unreported"},
        {"cache_read_unreported", "cache_write_unreported"},
    ]


@pytest.mark.parametrize("library", ["groq", "mistralai"])
def test_openllmetry_of_libraries_whose_sums_it_keeps_has_no_cached_input(
    read: Any, library: str
) -> None:
    scope = f"opentelemetry.instrumentation.{library}"
    sums = CHAT | {IN: 1000, OUT: 61, "llm.request.type": "chat"}
    lost = only(read(sums, scope=scope))
    shown = only(read(sums | {"gen_ai.usage.cache_read.input_tokens": 0}, scope=scope))

    assert (lost["uncertainty"], shown["uncertainty"]) == (["cache_read_unreported"], None)


def test_openinference_of_llamaindex_has_no_cached_input_of_gemini(read: Any) -> None:
    told = {"openinference.span.kind": "LLM", "llm.model_name": "gemini-2.5-flash"}
    told |= {"llm.token_count.prompt": 1000, "llm.token_count.completion": 161}
    scope = "openinference.instrumentation.llama_index"
    lost = only(read(told, scope=scope))
    shown = only(read(told | {"llm.token_count.prompt_details.cache_read": 0}, scope=scope))

    assert (lost["uncertainty"], shown["uncertainty"]) == (["cache_read_unreported"], None)


def test_openllmetry_of_llamaindex_has_calls_without_their_usage(read: Any) -> None:
    told = {"traceloop.span.kind": "workflow", "gen_ai.operation.name": "chat"}
    row = only(read(told, scope="opentelemetry.instrumentation.llamaindex"))
    around = only(
        read({"traceloop.span.kind": "workflow"}, scope="opentelemetry.instrumentation.llamaindex")
    )

    assert (row["candidate"], row["uncertainty"]) == (True, ["usage_missing"])
    assert around["candidate"] is False


def test_openinference_of_mistral_has_cached_input_in_the_answer_alone(read: Any) -> None:
    told = {"openinference.span.kind": "LLM", "llm.model_name": "mistral-small-latest"}
    told |= {"llm.token_count.prompt": 803, "llm.token_count.completion": 119}
    answer = '{"usage":{"prompt_tokens":803,"prompt_tokens_details":{"cached_tokens":512}}}'
    scope = "openinference.instrumentation.mistralai"
    shown = only(read(told | {"output.value": answer}, scope=scope))
    hidden = read(told | {"output.value": "__REDACTED__"}, told, scope=scope)

    assert (shown["input_tokens"], shown["cache_read_tokens"], shown["uncertainty"]) == (
        291,
        512,
        None,
    )
    assert hidden["uncertainty"].to_list() == [["cache_read_unreported"]] * 2


def test_openinference_of_openai_agents_has_no_cached_input_of_chat_completions(read: Any) -> None:
    told = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"}
    told |= {"llm.token_count.prompt": 950, "llm.token_count.completion": 41}
    scope = "openinference.instrumentation.openai_agents"
    of_chat = only(read(told, scope=scope))
    of_response = only(read(told | {"llm.token_count.prompt_details.cache_read": 0}, scope=scope))

    assert of_chat["uncertainty"] == ["cache_read_unreported"]
    assert of_response["uncertainty"] is None


def test_logfire_of_openai_agents_has_the_usage_and_the_response_of_the_sdk(read: Any) -> None:
    told = CHAT | {IN: 950, OUT: 41, "logfire.span_type": "span"}
    details = '{"cached_tokens": 512}, "output_tokens": 41, "output_tokens_details": {}'
    usage = f'{{"input_tokens": 950, "input_tokens_details": {details}}}'
    response = '{"id": "resp_1", "output": [{"type":"web_search_call"}], "service_tier": "flex"}'
    row = only(read(told | {"usage": usage, "response": response}, scope="logfire.openai_agents"))
    sums = '{"input_tokens":950,"output_tokens":41}'
    older = only(read(told | {"usage": sums}, scope="logfire.openai_agents"))

    assert (row["input_tokens"], row["cache_read_tokens"]) == (438, 512)
    assert (row["price_context"], row["units"], row["uncertainty"]) == (
        "service_tier=flex",
        [{"unit": "web_search", "quantity": Decimal(1)}],
        None,
    )
    assert older["uncertainty"] == ["cache_read_unreported"]


def test_google_adk_once_told_cached_input_and_thoughts_in_the_answer_alone(read: Any) -> None:
    told = {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash"}
    told |= {IN: 1000, OUT: 61, "gcp.vertex.agent.session_id": "s1"}
    usage = '"prompt_token_count":1000,"candidates_token_count":61,"thoughts_token_count":100'
    answer = f'{{"usage_metadata":{{"cached_content_token_count":512,{usage}}}}}'
    shown = only(read(told | {"gcp.vertex.agent.llm_response": answer}, scope="gcp.vertex.agent"))
    hidden = only(
        read(told | {"gcp.vertex.agent.llm_response": "{}"}, scope="gcp.vertex.agent", version="")
    )

    assert (shown["input_tokens"], shown["cache_read_tokens"]) == (488, 512)
    assert (shown["output_tokens"], shown["uncertainty"]) == (161, None)
    assert shown["conversation_id"] == "s1"
    assert set(hidden["uncertainty"]) == {"reasoning_unreported", "cache_read_unreported"}


def test_openinference_leaves_the_last_of_an_agents_calls_on_the_span_of_google_adk(
    read: Any,
) -> None:
    told = GEMINI | {"gen_ai.operation.name": "generate_content", IN: 1000, OUT: 161}
    alone = only(read(told, scope="gcp.vertex.agent", version="2.13.0"))
    both = only(
        read(told | {"openinference.span.kind": "LLM"}, scope="gcp.vertex.agent", version="2.13.0")
    )

    assert (alone["uncertainty"], both["uncertainty"]) == (None, ["calls_unreported"])


@pytest.mark.parametrize(
    ("status_code", "verdict"),
    [(429, (None, None)), (529, (None, None)), (500, ("call-1", ["usage_missing"]))],
)
def test_the_id_that_litellm_gives_a_call_which_was_refused_is_that_of_no_response(
    read: Any, status_code: int, verdict: tuple[str | None, list[str] | None]
) -> None:
    failed = CHAT | {"gen_ai.response.id": "call-1", "http.response.status_code": status_code}
    row = only(read(failed, scope="litellm", name="litellm_request", status=2))

    assert (row["response_id"], row["uncertainty"]) == verdict


def test_what_litellm_repeats_of_a_call_without_its_usage_is_no_call(read: Any) -> None:
    streamed = {"llm.openai.model": "gpt-4o", "llm.openai.stream": True}
    embedded = {"llm.None.object": "list", "llm.None.usage": "{'prompt_tokens': 5}"}
    answered = {"llm.openai.usage": "{'prompt_tokens': 5, 'completion_tokens': 2}"}
    rows = read({}, streamed, embedded, answered, scope="litellm", name="raw_gen_ai_request")

    assert rows["candidate"].to_list() == [False, False, False, True]


def test_what_litellm_adds_for_tools_says_that_searches_were_not_counted(read: Any) -> None:
    row = only(
        read(CHAT | {IN: 10, OUT: 1, "gen_ai.cost.tool_usage_cost": 0.02}, scope="litellm"),
    )
    none = only(read(CHAT | {IN: 10, OUT: 1, "gen_ai.cost.tool_usage_cost": 0.0}, scope="litellm"))

    assert (row["uncertainty"], none["uncertainty"]) == (["units_unreported"], None)


def test_an_embedding_of_litellm_is_one_in_whatever_span_it_is_told(read: Any) -> None:
    told = {"llm.request.type": "embedding", "gen_ai.system": "", IN: 5, OUT: 0}
    told |= {"litellm.provider.model": "openai/text-embedding-3-small"}
    row = only(read(told, scope="litellm", name="litellm_request"))

    assert (row["call_kind"], row["provider"], row["uncertainty"]) == ("embeddings", "openai", None)


# --- units ---------------------------------------------------------------------------------------


def test_our_own_counts_are_units_of_any_name_and_win_over_the_emitters(read: Any) -> None:
    row = only(
        read(
            CHAT
            | {IN: 10, OUT: 1, "gen_ai.usage.web_search_requests": 9}
            | {"farebox.usage.web_search": 2, "farebox.usage.audio_second": 1.5}
            | {"farebox.usage.page": -1}
        )
    )

    assert row["units"] == [
        {"unit": "audio_second", "quantity": Decimal("1.5")},
        {"unit": "web_search", "quantity": Decimal(2)},
    ]


@pytest.mark.parametrize("count", [-1, float("nan"), 2**40 + 1, 1e16, "two", True], ids=repr)
def test_a_count_of_our_own_that_is_none_shows_a_use_and_leaves_the_cost_open(
    read: Any, count: Any
) -> None:
    wrong, right = read(
        CHAT | {IN: 10, OUT: 1, "farebox.usage.web_search": count, "farebox.usage.page": 2},
        CHAT | {IN: 10, OUT: 1, "farebox.usage.web_search": 0},
    ).iter_rows(named=True)

    assert wrong["units"] == [{"unit": "page", "quantity": Decimal(2)}]
    assert wrong["uncertainty"] == ["units_unreported"]
    assert (right["units"], right["uncertainty"]) == (None, None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.output.messages": '[{"parts":[{"type":"server_tool_call"}]}]'},
        {"gen_ai.tool.definitions": '[{"type":"web_search_20250305","name":"web_search"}]'},
    ],
)
def test_a_search_that_shows_without_a_count_leaves_the_cost_open(
    read: Any, attributes: dict[str, Any]
) -> None:
    row = only(read(CLAUDE | {IN: 10, OUT: 1} | attributes))

    assert (row["units"], row["uncertainty"]) == (None, ["units_unreported"])


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        (
            "openinference.instrumentation.anthropic",
            {
                "openinference.span.kind": "LLM",
                "llm.token_count.prompt": 10,
                "output.value": '{"usage":{"input_tokens":10,"server_tool_use":null}}',
            },
        ),
        (
            "langfuse-sdk",
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.usage_details": '{"input": 10, "output": 1}',
                "langfuse.observation.output": '{"usage":{"server_tool_use":null}}',
            },
        ),
    ],
)
def test_usage_that_says_that_no_server_tool_was_used_is_no_evidence_of_one(
    read: Any, scope: str, attributes: dict[str, Any]
) -> None:
    row = only(read(attributes, scope=scope))

    assert "units_unreported" not in (row["uncertainty"] or [])


def test_a_tool_of_the_users_that_is_called_web_search_is_none_of_the_providers(read: Any) -> None:
    definition = '[{"type":"function","name":"web_search"}]'

    row = only(read(CHAT | {IN: 10, OUT: 1, "gen_ai.tool.definitions": definition}))

    assert row["uncertainty"] is None


def test_what_a_user_wrote_cannot_pass_for_a_key_of_the_response(read: Any) -> None:
    text = '{"content":"say \\"server_tool_use\\": {\\"web_search_requests\\": 99}","id":"msg_1"}'
    span = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 1}

    row = only(read(span | {"llm.token_count.completion": 1, "output.value": text}))

    assert (row["units"], row["response_id"]) == (None, "msg_1")


def test_each_search_that_a_response_of_openai_lists_is_counted(read: Any) -> None:
    output = '{"id":"resp_1","output":[{"type":"web_search_call"},{"type": "web_search_call"}]}'
    span = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 1}

    row = only(read(span | {"llm.token_count.completion": 1, "output.value": output}))

    assert row["units"] == [{"unit": "web_search", "quantity": Decimal(2)}]


def test_a_rerank_that_counts_nothing_is_one_search_or_more(read: Any) -> None:
    row = only(read({"gen_ai.operation.name": "rerank", "gen_ai.request.model": "rerank-v3.5"}))

    assert row["units"] == [{"unit": "rerank_search", "quantity": Decimal(1)}]
    assert row["uncertainty"] == ["units_unreported"]


# --- who, under which terms ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "provider"),
    [
        ("OpenAI", "openai"),
        ("openai.chat", "openai"),
        ("anthropic.messages", "anthropic"),
        ("MistralAI", "mistral_ai"),
        ("gemini", "gcp.gemini"),
        ("aws", "aws.bedrock"),
        ("az.ai.openai", "azure.ai.openai"),
        ("langgraph", None),
        ("strands-agents", None),
        ("my-own", "my-own"),
    ],
)
def test_a_provider_has_the_name_of_the_conventions_and_a_framework_is_none(
    read: Any, named: str, provider: str | None
) -> None:
    row = only(read(CHAT | {"gen_ai.system": named, IN: 1, OUT: 1}))

    assert row["provider"] == provider


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.groq.com", "groq"),
        ("openrouter.ai", "openrouter"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "x_ai"),
        ("api.together.xyz", "together"),
        ("acme.openai.azure.com", "azure.ai.openai"),
        ("acme.services.ai.azure.com", "azure.ai.inference"),
        ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.eu.rep.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("bedrock-runtime.us-west-2.amazonaws.com", "aws.bedrock"),
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("llm.acme.example", "openai"),
        ("api.groq.com.acme.example", "openai"),
        ("localhost", "openai"),
    ],
)
def test_the_host_tells_who_is_called_where_the_emitter_names_the_sdk(
    read: Any, host: str, provider: str
) -> None:
    said = CHAT | {"gen_ai.provider.name": "openai", IN: 1, OUT: 1}
    by_address = only(read(said | {"server.address": host}))
    by_base = only(read(said | {"gen_ai.openai.api_base": f"https://{host}/v1/"}))

    assert by_address["provider"] == provider
    if not host.endswith(("googleapis.com", "amazonaws.com")):
        assert by_base["provider"] == provider


def test_the_host_of_a_span_that_names_no_model_and_no_provider_tells_nothing(read: Any) -> None:
    row = only(read({"http.request.method": "POST", "server.address": "api.groq.com"}))

    assert (row["provider"], row["candidate"]) == (None, False)


@pytest.mark.parametrize(
    ("attributes", "context", "region"),
    [
        ({"farebox.processing": "batch"}, "processing=batch", None),
        ({"openai.response.service_tier": "priority"}, "service_tier=priority", None),
        ({"openai.request.service_tier": "flex"}, "service_tier=flex", None),
        ({"openai.request.service_tier": "auto"}, None, None),
        ({"anthropic.response.service_tier": "batch"}, "processing=batch", None),
        ({"anthropic.response.speed": "fast"}, "speed=fast", None),
        (
            {"openai.request.service_tier": "priority", "openai.response.service_tier": "default"},
            None,
            None,
        ),
        (
            {"farebox.processing": "batch", "openai.response.service_tier": "flex"},
            "processing=batch,service_tier=flex",
            None,
        ),
        ({"farebox.inference_geo": "US"}, None, "us"),
        ({"farebox.inference_geo": "global"}, None, None),
        ({"gen_ai.request.model": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"}, None, "eu"),
        ({"gen_ai.request.model": "global.anthropic.claude-sonnet-4-5-v1:0"}, None, None),
        (
            {
                "gen_ai.request.model": "arn:aws:bedrock:us-east-1:1:inference-profile/"
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
            },
            None,
            "us",
        ),
        ({"server.address": "us-east5-aiplatform.googleapis.com"}, None, "us-east5"),
        ({"server.address": "aiplatform.eu.rep.googleapis.com"}, None, "eu"),
        ({"server.address": "aiplatform.googleapis.com"}, None, None),
        ({"server.address": "bedrock-runtime.us-gov-west-1.amazonaws.com"}, None, "us-gov"),
        ({"server.address": "bedrock-runtime.us-west-2.amazonaws.com"}, None, None),
        ({"server.address": "eu.api.openai.com"}, None, "eu"),
        ({"server.address": "api.openai.com"}, None, None),
        ({"gen_ai.openai.api_base": "https://au.api.openai.com/v1/"}, None, "au"),
    ],
)
def test_the_terms_are_those_that_were_served(
    read: Any, attributes: dict[str, Any], context: str | None, region: str | None
) -> None:
    row = only(read(CHAT | {IN: 1, OUT: 1} | attributes))

    assert (row["price_context"], row["region"]) == (context, region)


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("my.app", {"farebox.response_cache": "hit"}),
        ("my.app", {"gen_ai.response.cached": True}),
        ("my.app", {"gen_ai.response.cache_hit": True}),
        ("my.app", {"litellm.cache_hit": True}),
        ("litellm", {"litellm.cache_hit": "True"}),
        ("litellm", {"metadata.cache_hit": "True"}),
        (
            "langfuse-sdk",
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.model.name": "gpt-4o",
                "langfuse.observation.usage_details": '{"input": 1, "output": 1}',
                "langfuse.observation.metadata.cache_hit": "true",
            },
        ),
    ],
)
def test_an_answer_of_the_services_own_cache_is_known_by_what_its_emitter_says(
    read: Any, scope: str, attributes: dict[str, Any]
) -> None:
    told = CHAT | {IN: 1, OUT: 1, "gen_ai.response.id": "r1"} | attributes
    row = only(read(told, scope=scope))

    assert row["candidate"]
    # The id is that of the call which filled the cache.
    assert (row["price_context"], row["response_id"]) == ("response_cache=hit", None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.response.cached": False},
        {"farebox.response_cache": "miss"},
        {"litellm.cache_hit": "False"},
        # Of cached input, which is not free.
        {"cache_hit": True},
        {"gen_ai.cache.hit": True},
        {"gen_ai.usage.cache_read.input_tokens": 1},
    ],
)
def test_what_does_not_say_that_the_whole_answer_was_cached_is_billed(
    read: Any, attributes: dict[str, Any]
) -> None:
    row = only(read(CHAT | {IN: 1, OUT: 1, "gen_ai.response.id": "r1"} | attributes))

    assert (row["price_context"], row["response_id"]) == (None, "r1")


@pytest.mark.parametrize(
    ("attributes", "cost", "source"),
    [
        ({"farebox.recorded_cost_usd": "0.25"}, "0.25", "farebox.recorded_cost_usd"),
        ({"gen_ai.usage.cost": 6.5e-05}, "0.000065", "gen_ai.usage.cost"),
        ({"operation.cost": 0.0}, None, None),
        ({"operation.cost": -1.0}, None, None),
        ({"operation.cost": float("nan")}, None, None),
        (
            {"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "USD"},
            "0.5",
            "gen_ai.usage.cost.amount",
        ),
        ({"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "EUR"}, None, None),
        (
            {"operation.cost": 0.5, "farebox.recorded_cost_usd": "0.4"},
            "0.4",
            "farebox.recorded_cost_usd",
        ),
    ],
)
def test_a_cost_is_taken_in_any_spelling_and_zero_beside_tokens_is_none(
    read: Any, attributes: dict[str, Any], cost: str | None, source: str | None
) -> None:
    row = only(read(CHAT | {IN: 1, OUT: 1} | attributes))

    assert (row["supplied_cost_usd"], row["supplied_cost_source"]) == (
        None if cost is None else Decimal(cost),
        source,
    )


@pytest.mark.parametrize(
    ("attributes", "cost", "uncertainty"),
    [
        ({"gen_ai.usage.cost": 0}, None, ["usage_missing"]),
        ({"gen_ai.usage.cost": 0.04}, "0.04", None),
        ({"farebox.recorded_cost_usd": 0}, "0", None),
    ],
)
def test_zero_for_a_call_without_usage_is_known_from_us_alone(
    read: Any, attributes: dict[str, Any], cost: str | None, uncertainty: list[str] | None
) -> None:
    image = {"gen_ai.operation.name": "image", "gen_ai.request.model": "gpt-image-1"}

    row = only(read(image | attributes, scope="openlit.instrumentation.openai"))

    assert row["supplied_cost_usd"] == (None if cost is None else Decimal(cost))
    assert row["uncertainty"] == uncertainty


def test_a_tool_with_a_price_rule_or_a_cost_is_a_candidate_and_a_plain_one_is_not(
    read: Any,
) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}

    rows = read(
        tool,
        tool | {"farebox.price.rule": "tavily"},
        tool | {"farebox.recorded_cost_usd": "0"},
        tool | {"farebox.usage.page": 3},
    )

    assert rows["candidate"].to_list() == [False, True, True, True]
    assert rows["price_rule"].to_list() == [None, "tavily", None, None]
    assert rows["call_kind"].to_list() == ["tool"] * 4


def test_time_on_a_gpu_makes_a_span_a_call_of_its_own_kind(read: Any) -> None:
    row = only(read({"farebox.usage.gpu_second": 12.5}))

    assert (row["call_kind"], row["candidate"]) == ("gpu", True)
    assert row["units"] == [{"unit": "gpu_second", "quantity": Decimal("12.5")}]


# --- dimensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "conversation"),
    [
        ({"session.id": "s", "gen_ai.conversation.id": "c"}, "c"),
        ({"session.id": "s", "traceloop.association.properties.session_id": "t"}, "s"),
        ({"gen_ai.conversation.id": "", "session.id": "s"}, "s"),
        ({"ai.telemetry.metadata.sessionId": "v"}, "v"),
        ({"thread.id": 17}, "17"),
        ({"gen_ai.conversation.id": "x" * 300}, "x" * 256),
    ],
)
def test_the_conversation_is_the_first_id_in_order_of_trust(
    read: Any, attributes: dict[str, Any], conversation: str
) -> None:
    assert only(read(attributes))["conversation_id"] == conversation


def test_what_the_resource_says_stands_apart_and_fills_the_environment(read: Any) -> None:
    row = only(
        read(
            {"user.id": "u", "farebox.conversation.ended": True},
            resource={"session.id": "r", "deployment.environment.name": "prod"},
        )
    )

    assert (row["conversation_id"], row["resource_conversation_id"]) == (None, "r")
    assert (row["environment"], row["user_id"], row["conversation_ended"]) == ("prod", "u", True)


def test_a_span_that_is_no_call_has_neither_kind_nor_dialect(read: Any) -> None:
    row = only(read({"http.request.method": "GET"}))

    assert (row["call_kind"], row["dialect"], row["candidate"], row["uncertainty"]) == (
        None,
        None,
        False,
        None,
    )


def test_a_batch_without_spans_is_a_frame_without_rows(read: Any) -> None:
    assert read().is_empty()


def test_resources_without_spans_lend_nothing_to_the_spans_of_others() -> None:
    request = ExportTraceServiceRequest()
    for name in ("first", "last"):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="session.id").value.string_value = name
        spans = group.scope_spans.add().spans
        if name == "first":
            spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    dialects = load_dialects()

    both = read_usage(decode([request.SerializeToString()], [""]), dialects)
    del request.resource_spans[0]
    none = read_usage(decode([request.SerializeToString()], [""]), dialects)

    assert both["resource_conversation_id"].to_list() == ["first"]
    assert none.is_empty()


# --- dialects of packages that there is no recording of ------------------------------------------


def test_claude_code_counts_its_input_without_cached_tokens(read: Any) -> None:
    row = only(
        read(
            {
                "input_tokens": 2,
                "output_tokens": 90,
                "cache_read_tokens": 84562,
                "model": "claude-x",
            }
            | {"cache_creation_tokens": 10, "request_id": "req_1", "session.id": "s"},
            name="claude_code.llm_request",
        )
    )

    assert (row["dialect"], row["call_kind"], row["model"]) == (
        "claude_code",
        "inference",
        "claude-x",
    )
    assert tokens(row) == {
        "input": 2,
        "cache_read": 84562,
        "cache_write_5m": 10,
        "cache_write_1h": 0,
        "output": 90,
    }


def test_codex_states_the_sum_of_a_turn(read: Any) -> None:
    prefix = "codex.turn.token_usage."
    row = only(
        read(
            {f"{prefix}input_tokens": 100, f"{prefix}cached_input_tokens": 60, "model": "gpt-5.1"}
            | {f"{prefix}output_tokens": 30, f"{prefix}reasoning_output_tokens": 10},
            name="session_task.turn",
        )
    )

    assert (row["dialect"], row["call_kind"], row["uncertainty"]) == (
        "codex",
        "agent",
        ["aggregate"],
    )
    assert tokens(row) == {"input": 40, "cache_read": 60, "output": 30, "reasoning": 10}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            '{"input_tokens":211,"cache_creation_input_tokens":2048,"cache_read_input_tokens":4096,'
            '"cache_creation":{"ephemeral_5m_input_tokens":1536,"ephemeral_1h_input_tokens":512},'
            '"output_tokens":389,"server_tool_use":{"web_search_requests":2}}',
            {
                "input": 211,
                "cache_read": 4096,
                "cache_write_5m": 1536,
                "cache_write_1h": 512,
                "output": 389,
            },
        ),
        (
            '{"promptTokenCount":1703,"cachedContentTokenCount":1280,"candidatesTokenCount":223,'
            '"thoughtsTokenCount":157,"toolUsePromptTokenCount":11,"totalTokenCount":2094}',
            {"input": 434, "cache_read": 1280, "output": 380, "reasoning": 157},
        ),
        (
            '{"inputTokens":211,"outputTokens":389,"cacheReadInputTokens":4096,'
            '"cacheWriteInputTokens":2048}',
            {
                "input": 211,
                "cache_read": 4096,
                "cache_write_5m": 2048,
                "cache_write_1h": 0,
                "output": 389,
            },
        ),
    ],
)
def test_the_providers_own_usage_object_is_read_in_its_own_shape(
    read: Any, raw: str, expected: dict[str, int]
) -> None:
    row = only(read(CHAT | {"gen_ai.usage.raw": raw}, scope="logfire.anthropic"))

    assert tokens(row) == expected


@pytest.mark.parametrize("count", ["-5", "1.5", "1e9", '"12"', "null", "1234567890123"])
def test_what_is_no_count_inside_of_a_usage_object_is_not_known(read: Any, count: str) -> None:
    raw = f'{{"prompt_tokens": {count}, "completion_tokens": 5.0}}'

    row = only(read(CHAT | {"gen_ai.usage.raw": raw}, scope="logfire.openai"))

    assert (tokens(row), row["uncertainty"]) == ({"output": 5}, ["usage_incomplete"])


def test_buckets_of_langfuse_are_disjoint(read: Any) -> None:
    usage = '{"input": 487, "input_cache_read": 1024, "output": 155, "output_reasoning": 192}'
    row = only(
        read(
            {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o"}
            | {"langfuse.observation.usage_details": usage}
        )
    )

    assert tokens(row) == {"input": 487, "cache_read": 1024, "output": 347, "reasoning": 192}


LANGFUSE = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "claude-sonnet-4-5",
}


def test_langfuse_has_langchains_names_for_the_lifetimes_of_cache_writes(read: Any) -> None:
    usage = (
        '{"input":211,"output":389,"total":6744,"input_cache_read":4096,"input_cache_creation":0,'
        '"input_ephemeral_5m_input_tokens":1536,"input_ephemeral_1h_input_tokens":512}'
    )

    row = only(read(LANGFUSE | {"langfuse.observation.usage_details": usage}))

    assert tokens(row) == {
        "input": 211,
        "cache_read": 4096,
        "cache_write_5m": 1536,
        "cache_write_1h": 512,
        "output": 389,
    }
    assert row["uncertainty"] is None


@pytest.mark.parametrize(
    ("bucket", "uncertainty"),
    [('"input_audio":400', ["units_unreported"]), ('"output_audio":0', None)],
)
def test_a_bucket_of_langfuse_that_is_not_read_leaves_the_cost_open(
    read: Any, bucket: str, uncertainty: list[str] | None
) -> None:
    usage = f'{{"input":100,"output":50,{bucket}}}'

    row = only(read(LANGFUSE | {"langfuse.observation.usage_details": usage}))

    assert (tokens(row), row["uncertainty"]) == ({"input": 100, "output": 50}, uncertainty)


@pytest.mark.parametrize(
    ("provider", "fresh", "reading"),
    [
        ("anthropic.messages", 5000, "exclusive"),
        ("amazon-bedrock", 5000, "exclusive"),
        ("google.vertex.anthropic.messages", 5000, "exclusive"),
        ("openai.responses", 1000, "inclusive"),
    ],
)
def test_before_its_version_6_the_ai_sdk_counts_the_input_of_claude_without_cached_tokens(
    read: Any, provider: str, fresh: int, reading: str
) -> None:
    span = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": provider,
        "ai.usage.inputTokens": 5000,
        "ai.usage.cachedInputTokens": 4000,
        "ai.usage.outputTokens": 100,
    }

    old, new = read(
        span, span | {"ai.usage.inputTokenDetails.noCacheTokens": 1000}, scope="ai"
    ).iter_rows(named=True)

    assert (old["input_tokens"], old["usage_reading"]) == (fresh, reading)
    assert (new["input_tokens"], new["usage_reading"]) == (1000, "inclusive")


@pytest.mark.parametrize(
    ("iterations", "uncertainty"),
    [
        ('[{"type":"message","input_tokens":23,"output_tokens":10}]', None),
        (
            '[{"type":"message","output_tokens":4},{"type":"message","output_tokens":10}]',
            ["units_unreported"],
        ),
        ('[{"type":"compaction","output_tokens":35}]', ["units_unreported"]),
        ("null", None),
    ],
)
def test_a_usage_object_of_several_passes_states_the_least_that_was_used(
    read: Any, iterations: str, uncertainty: list[str] | None
) -> None:
    usage = f'{{"input_tokens":23,"iterations":{iterations},"output_tokens":10}}'

    row = only(read(CLAUDE | {"gen_ai.usage.raw": usage}, scope="logfire.anthropic"))

    assert row["uncertainty"] == uncertainty


def test_a_usage_object_of_openai_chat_shows_reasoning_beside_its_output(read: Any) -> None:
    usage = (
        '{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,'
        '"completion_tokens_details":{"reasoning_tokens":94}}'
    )

    row = only(read(GROK | {"gen_ai.usage.raw": usage}, scope="logfire.openai"))

    assert tokens(row) == {"input": 32, "output": 103, "reasoning": 94}
