"""The double answers the real SDKs, and its ledger says what was billed."""

import anthropic
import httpx
import openai
import pytest

from farebox_processor.demo.provider_double import LedgerEntry, ProviderDouble, running_double
from farebox_processor.demo.replies import Reply, Tokens, ToolCall, scripted

QUESTION = [{"role": "user", "content": "What does my plan cost?"}]
CACHED = Tokens(input=1511, output=347, cache_read=1024, reasoning=192)
WRITTEN = Tokens(
    input=6355, output=389, cache_read=4096, cache_write_5m=1536, cache_write_1h=512, reasoning=128
)


@pytest.fixture
def double():
    with running_double() as running:
        yield running


@pytest.fixture
def openai_client(double: ProviderDouble):
    with openai.OpenAI(base_url=f"{double.url}/v1", api_key="test", max_retries=2) as client:
        yield client


@pytest.fixture
def anthropic_client(double: ProviderDouble):
    with anthropic.Anthropic(base_url=double.url, api_key="test", max_retries=2) as client:
        yield client


def chat(client: openai.OpenAI, **more):
    return client.chat.completions.create(model="gpt-4o", messages=QUESTION, **more)


def send_message(client: anthropic.Anthropic, **more):
    return client.messages.create(
        model="claude-sonnet-4-6", max_tokens=1000, messages=QUESTION, **more
    )


def test_a_chat_completion_carries_the_scripted_usage(double, openai_client):
    double.script(Reply(text="Nine dollars.", tokens=CACHED, service_tier="priority"))

    completion = chat(openai_client)

    assert completion.choices[0].message.content == "Nine dollars."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "gpt-4o-2024-08-06"
    assert completion.service_tier == "priority"
    assert completion.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 1511,
        "completion_tokens": 347,
        "total_tokens": 1858,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 192,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_the_ledger_holds_what_was_billed_in_process_and_over_http(double, openai_client):
    double.script(Reply(text="Nine dollars.", tokens=CACHED))

    completion = chat(openai_client)

    assert double.ledger == [
        LedgerEntry(
            provider="openai",
            path="/v1/chat/completions",
            model="gpt-4o-2024-08-06",
            status=200,
            response_id=completion.id,
            usage=completion.usage.model_dump(exclude_none=True),
            tokens=CACHED,
        )
    ]
    (shown,) = httpx.get(f"{double.url}/ledger").json()
    assert shown["usage"] == double.ledger[0].usage


def test_a_request_without_a_script_is_answered_the_same_each_time(double, openai_client):
    first, second = chat(openai_client), chat(openai_client)

    assert first.choices == second.choices
    assert first.usage == second.usage
    assert first.id != second.id


def test_tools_are_called_through_both_providers(double, openai_client, anthropic_client):
    reply = Reply(tool_calls=(ToolCall("look_up", {"order": 17}),))
    double.script(reply, reply)

    choice = chat(openai_client).choices[0]
    message = send_message(anthropic_client)

    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "look_up"
    assert choice.message.tool_calls[0].function.arguments == '{"order": 17}'
    assert message.stop_reason == "tool_use"
    assert message.content[0].input == {"order": 17}


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_chat_stream_carries_usage_only_where_it_is_asked_for(
    double, openai_client, include_usage
):
    double.script(Reply(text="Nine dollars a month, billed yearly.", tokens=CACHED))

    options = {"include_usage": True} if include_usage else openai.omit
    chunks = list(chat(openai_client, stream=True, stream_options=options))

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "Nine dollars a month, billed yearly."
    shown = [chunk.usage.prompt_tokens for chunk in chunks if chunk.usage]
    assert shown == ([1511] if include_usage else [])
    assert double.ledger[0].usage["prompt_tokens"] == 1511


def test_a_streamed_tool_call_is_put_together_by_the_sdk(double, openai_client):
    double.script(Reply(tool_calls=(ToolCall("look_up", {"order": 17}),)))

    with openai_client.chat.completions.stream(model="gpt-4o", messages=QUESTION) as stream:
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls[0].function.arguments == '{"order": 17}'


def test_a_response_shows_reasoning_searches_and_text(double, openai_client):
    reply = Reply(text="Nine.", thinking="Let me see.", web_searches=2, tokens=CACHED)
    double.script(reply)

    response = openai_client.responses.create(model="gpt-5-mini", input="How much?")

    assert response.output_text == "Nine."
    assert response.model == "gpt-5-mini-2025-08-07"
    assert [item.type for item in response.output] == [
        "reasoning",
        "web_search_call",
        "web_search_call",
        "message",
    ]
    assert response.usage.input_tokens_details.cached_tokens == 1024
    assert response.usage.output_tokens_details.reasoning_tokens == 192


def test_a_streamed_response_ends_with_the_usage(double, openai_client):
    double.script(Reply(text="Nine dollars a month, billed yearly.", tokens=CACHED))

    with openai_client.responses.stream(model="gpt-5-mini", input="How much?") as stream:
        response = stream.get_final_response()

    assert response.output_text == "Nine dollars a month, billed yearly."
    assert response.usage.total_tokens == 1858


def test_each_input_is_embedded(double, openai_client):
    embedded = openai_client.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], encoding_format="float"
    )

    assert [item.index for item in embedded.data] == [0, 1]
    assert embedded.usage.prompt_tokens == embedded.usage.total_tokens


def test_a_message_splits_its_input_as_anthropic_does(double, anthropic_client):
    double.script(
        Reply(
            text="Nine.",
            thinking="Let me see.",
            tokens=WRITTEN,
            web_searches=2,
            service_tier="priority",
            inference_geo="us",
        )
    )

    message = send_message(anthropic_client)

    assert message.model == "claude-sonnet-4-6"
    assert message.usage.model_dump(exclude_none=True) == {
        "input_tokens": 211,
        "cache_creation_input_tokens": 2048,
        "cache_read_input_tokens": 4096,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 1536,
            "ephemeral_1h_input_tokens": 512,
        },
        "output_tokens": 389,
        "output_tokens_details": {"thinking_tokens": 128},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "priority",
        "inference_geo": "us",
    }
    assert [block.type for block in message.content] == [
        "thinking",
        *["server_tool_use", "web_search_tool_result"] * 2,
        "text",
    ]


def test_a_streamed_message_ends_with_the_same_usage(double, anthropic_client):
    call = ToolCall("look_up", {"order": 17})
    double.script(Reply(text="One moment.", tool_calls=(call,), tokens=WRITTEN, web_searches=1))

    with anthropic_client.messages.stream(
        model="claude-sonnet-4-6", max_tokens=1000, messages=QUESTION
    ) as stream:
        message = stream.get_final_message()

    assert message.content[-2].text == "One moment."
    assert message.content[-1].input == {"order": 17}
    assert message.usage.output_tokens == 389
    assert message.usage.cache_read_input_tokens == 4096
    assert message.usage.server_tool_use.web_search_requests == 1


def test_a_refused_request_is_retried_by_the_sdk_and_billed_once(double, openai_client):
    script = scripted(Reply(status=429, retry_after_s=0.01), Reply(text="Nine.", tokens=CACHED))

    completion = chat(openai_client, extra_headers=script)

    assert completion.choices[0].message.content == "Nine."
    assert [(entry.status, entry.tokens) for entry in double.ledger] == [
        (429, None),
        (200, CACHED),
    ]


@pytest.mark.parametrize(
    ("status", "raised"),
    [(429, anthropic.RateLimitError), (500, anthropic.InternalServerError)],
)
def test_errors_reach_the_caller_as_the_sdk_names_them(double, anthropic_client, status, raised):
    with pytest.raises(raised):
        send_message(
            anthropic_client.with_options(max_retries=0),
            extra_headers=scripted(Reply(status=status, retry_after_s=0.01)),
        )

    assert [(entry.status, entry.usage) for entry in double.ledger] == [(status, None)]


def test_a_request_whose_client_gave_up_is_not_billed(double, openai_client):
    impatient = openai_client.with_options(max_retries=0, timeout=0.05)

    with pytest.raises(openai.APITimeoutError):
        chat(impatient, extra_headers=scripted(Reply(stall_s=0.3, tokens=CACHED)))

    chat(openai_client, extra_headers=scripted(Reply(stall_s=0.5, tokens=CACHED)))
    assert [entry.status for entry in double.ledger] == [499, 200]
