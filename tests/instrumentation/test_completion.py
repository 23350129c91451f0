"""What an instrumentation leaves out of its span, and money depends on, is added to it."""

import asyncio
import gc
import importlib
import json
from typing import Any

import anthropic
import httpx2
import openai
import pydantic
import pytest
from google import genai
from google.genai.errors import ClientError
from google.genai.types import GenerateContentConfig, HttpOptions

import farebox
from farebox import attributes, completion
from farebox.completion import stainless
from farebox_processor.config import Config
from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.demo.replies import Reply
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules
from support.gemini_double import running_gemini
from support.services import (
    ANTHROPIC_TOKENS,
    ASKED,
    OPENAI_TOKENS,
    anthropic_client,
    async_openai_client,
    openai_client,
    weather,
)

_TEXT = "Twenty-four characters, a hundred times. " * 10


@pytest.fixture
def service(emitted: Any) -> Any:
    """A service that calls OpenAI and Anthropic, instrumented."""
    farebox.instrument(tracer_provider=emitted.provider, only=("openai", "anthropic"))
    return emitted


def _usage(said: Any) -> dict[str, Any]:
    names = (attributes.INPUT_TOKENS, attributes.OUTPUT_TOKENS, attributes.USAGE_ESTIMATED)
    return {name.rpartition(".")[2]: said.get(name) for name in names}


def test_a_message_says_lifetimes_tier_place_and_searches(
    service: Any, double: ProviderDouble
) -> None:
    double.script(
        Reply(tokens=ANTHROPIC_TOKENS, web_searches=2, inference_geo="us", service_tier="batch")
    )
    with anthropic_client(double) as client:
        client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASKED)

    said = service.only()
    assert {name: value for name, value in said.items() if name.startswith("farebox.")} == {
        "farebox.usage.cache_write_5m_tokens": 1536,
        "farebox.usage.cache_write_1h_tokens": 512,
        "farebox.usage.web_search": 2,
        "farebox.processing": "batch",
        "farebox.inference_geo": "us",
    }
    assert said["anthropic.response.service_tier"] == "batch"
    assert said["gen_ai.token.semantics"] == "inclusive"


@pytest.mark.parametrize("how", ["closed", "dropped", "failed in a with block"])
def test_the_usage_of_a_message_that_was_cut_off_is_estimated(
    service: Any, double: ProviderDouble, how: str
) -> None:
    double.script(Reply(text=_TEXT, tokens=ANTHROPIC_TOKENS))
    with anthropic_client(double) as client:
        stream = client.messages.create(
            model="claude-sonnet-4-6", max_tokens=999, messages=ASKED, stream=True
        )
        _cut(stream, how, chunks=6)
        del stream

    # The input is told at the start; of the output, four chunks of 24 characters were seen.
    assert _usage(service.only()) == {"input_tokens": 6355, "output_tokens": 24, "estimated": True}
    assert service.only()[attributes.CACHE_WRITE_1H_TOKENS] == 512


@pytest.mark.parametrize("how", ["closed", "dropped", "failed in a with block"])
def test_the_usage_of_a_chat_completion_that_was_cut_off_is_estimated(
    service: Any, double: ProviderDouble, how: str
) -> None:
    double.script(Reply(text=_TEXT, tokens=OPENAI_TOKENS))
    with openai_client(double) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
        _cut(stream, how, chunks=5)
        del stream

    said = _usage(service.only())
    assert said["estimated"] is True
    assert 0 < said["input_tokens"] < 50
    assert 0 < said["output_tokens"] <= 30


def test_a_stream_that_ends_without_its_usage_is_estimated(
    service: Any, double: ProviderDouble
) -> None:
    double.script(Reply(text=_TEXT, tokens=OPENAI_TOKENS))
    with openai_client(double) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    assert said == _TEXT
    assert _usage(service.only()) == {
        "input_tokens": 16,
        "output_tokens": 103,  # 410 characters
        "estimated": True,
    }


@pytest.mark.parametrize(
    ("read", "output", "estimated"), [(1, 30, True), (2, 60, None), (3, 60, None)]
)
def test_usage_that_grows_with_each_chunk_is_an_estimate_until_the_choice_ends(
    service: Any, read: int, output: int, estimated: bool | None
) -> None:
    chunks = [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": told, "total_tokens": 1060},
        }
        for told, reason in ((30, None), (60, "stop"))
    ]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    answer = httpx2.Response(200, text=body, headers={"content-type": "text/event-stream"})
    transport = httpx2.MockTransport(lambda request: answer)
    with openai.OpenAI(api_key="unused", http_client=httpx2.Client(transport=transport)) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
        for _ in range(read):
            next(stream, None)
        stream.close()

    assert _usage(service.only()) == {
        "input_tokens": 1000,
        "output_tokens": output,
        "estimated": estimated,
    }


def test_a_stream_read_to_its_end_is_not_estimated(service: Any, double: ProviderDouble) -> None:
    async def main() -> list[str]:
        double.script(Reply(text=_TEXT, tokens=OPENAI_TOKENS))
        async with async_openai_client(double) as client:
            stream = await client.responses.create(model="gpt-4o", input="hello", stream=True)
            return [event.type async for event in stream]

    assert asyncio.run(main())[-1] == "response.completed"
    assert _usage(service.only()) == {"input_tokens": 1511, "output_tokens": 347, "estimated": None}


def test_streams_keep_their_type_and_raw_responses_their_content(
    service: Any, double: ProviderDouble
) -> None:
    double.script(Reply(text="hi"), Reply(text="hi", web_searches=1))
    with openai_client(double) as client:
        stream = client.responses.create(model="gpt-4o", input="hello", stream=True)
        raw = client.responses.with_raw_response.create(model="gpt-4o", input="hello")
        assert isinstance(stream, openai.Stream)
        assert raw.parse().output_text == "hi"
        assert list(stream)[-1].response.output_text == "hi"

    assert [span.attributes.get("farebox.usage.web_search") for span in service.spans] == [1, None]


def _stream_of_raw(client: openai.OpenAI, **asked: Any) -> list[Any]:
    return list(client.responses.with_raw_response.create(**asked, stream=True).parse())


def _stream_of_streaming(client: openai.OpenAI, **asked: Any) -> list[Any]:
    with client.responses.with_streaming_response.create(**asked, stream=True) as response:
        return list(response.parse())


def _cut_stream_of_raw(client: openai.OpenAI, **asked: Any) -> None:
    stream = client.responses.with_raw_response.create(**asked, stream=True).parse()
    next(stream)
    stream.close()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (_stream_of_raw, (2, None)),
        (_stream_of_streaming, (2, None)),
        (_cut_stream_of_raw, (None, True)),
    ],
)
def test_a_stream_that_comes_out_of_a_raw_response_is_completed(
    service: Any, double: ProviderDouble, ask: Any, said: Any
) -> None:
    double.script(Reply(text="21 degrees", tokens=OPENAI_TOKENS, web_searches=2))
    with openai_client(double) as client:
        ask(client, model="gpt-4o", input="hello")

    found = service.only()
    assert (
        found.get("farebox.usage.web_search"),
        found.get(attributes.USAGE_ESTIMATED),
    ) == said


class _Forecast(pydantic.BaseModel):
    city: str


_OPENAI_PARSES = {"model": "gpt-4o", "messages": ASKED, "response_format": _Forecast}
_ANTHROPIC_PARSES = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 99,
    "messages": ASKED,
    "output_format": _Forecast,
}


@pytest.mark.parametrize(
    ("ask", "billed_usd"),
    [
        (lambda o, a: o.chat.completions.parse(**_OPENAI_PARSES), "0.0059675"),
        (lambda o, a: o.chat.completions.with_raw_response.parse(**_OPENAI_PARSES), "0.0059675"),
        (
            lambda o, a: o.responses.parse(model="gpt-4o", input="?", text_format=_Forecast),
            "0.0059675",
        ),
        (lambda o, a: a.messages.parse(**_ANTHROPIC_PARSES), "0.0165288"),
    ],
    ids=["chat", "raw chat", "response", "message"],
)
def test_an_answer_that_the_sdk_cannot_parse_costs_what_was_billed(
    service: Any, double: ProviderDouble, ask: Any, billed_usd: str
) -> None:
    tokens = ANTHROPIC_TOKENS if billed_usd == "0.0165288" else OPENAI_TOKENS
    double.script(Reply(text="no JSON", tokens=tokens))
    with (
        openai_client(double) as openai_sdk,
        anthropic_client(double) as anthropic_sdk,
        pytest.raises(pydantic.ValidationError),
    ):
        ask(openai_sdk, anthropic_sdk)

    (call,) = price_report([service.otlp()], load_rules(Config()))["calls"]
    assert (call["cost_usd"], call["cost_status"]) == (billed_usd, "exact")
    assert farebox.status().faults == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_answer_that_cannot_be_parsed_costs_the_same_on_openinferences_span(
    emitted: Any, double: ProviderDouble
) -> None:
    instrumentor = importlib.import_module("openinference.instrumentation.openai")
    other = instrumentor.OpenAIInstrumentor()
    other.instrument(tracer_provider=emitted.provider)
    try:
        farebox.instrument(tracer_provider=emitted.provider, only=("openai",))
        double.script(Reply(text="no JSON", tokens=OPENAI_TOKENS))
        with openai_client(double) as client, pytest.raises(pydantic.ValidationError):
            client.chat.completions.parse(**_OPENAI_PARSES)
    finally:
        other.uninstrument()

    (call,) = price_report([emitted.otlp()], load_rules(Config()))["calls"]
    assert (call["cost_usd"], call["cost_status"]) == ("0.0059675", "exact")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_raw_message_is_completed_whether_or_not_it_is_parsed(
    service: Any, double: ProviderDouble, asynchronous: bool
) -> None:
    double.script(Reply(tokens=ANTHROPIC_TOKENS, web_searches=2, inference_geo="us"))
    asked = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": ASKED}

    async def ask() -> None:
        async with anthropic.AsyncAnthropic(api_key="unused", base_url=double.url) as client:
            await client.messages.with_raw_response.create(**asked)

    if asynchronous:
        asyncio.run(ask())
    else:
        with anthropic_client(double) as client:
            client.messages.with_raw_response.create(**asked)

    assert {
        name: value for name, value in service.only().items() if name.startswith("farebox.")
    } == {
        "farebox.usage.cache_write_5m_tokens": 1536,
        "farebox.usage.cache_write_1h_tokens": 512,
        "farebox.usage.web_search": 2,
        "farebox.inference_geo": "us",
    }


@pytest.mark.parametrize("times_read", [1, 2])
def test_each_message_of_a_batch_is_billed_once_at_half_the_price(
    service: Any, times_read: int
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"}
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [],
        "usage": usage,
    }
    lines = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "b", "result": {"type": "expired"}},
    ]
    batch = {"id": "b1", "results_url": "http://api/v1/messages/batches/b1/results"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/results"):
            return httpx2.Response(200, text="\n".join(map(json.dumps, lines)))
        return httpx2.Response(200, json=batch)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with (
        anthropic.Anthropic(api_key="unused", http_client=transport) as client,
        farebox.conversation("c1"),
    ):
        for _ in range(times_read):
            results = [result.custom_id for result in client.messages.batches.results("b1")]
            assert results == ["a", "b"]

    (conversation,) = price_report([service.otlp()], load_rules(Config()))["conversations"]
    # 1000 at 3 and 100 at 15 dollars per million, halved.
    assert (conversation["cost_usd"], conversation["cost_status"]) == ("0.00225", "exact")
    assert conversation["calls"] == 1


def _response(status: str, *, background: bool = True) -> dict[str, Any]:
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 200},
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1100,
    }
    return {
        "id": "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
        "object": "response",
        "model": "gpt-4o-2024-08-06",
        "status": status,
        "background": background,
        "output": [],
        "usage": usage if status == "completed" else None,
    }


def _events(*kinds: str) -> httpx2.Response:
    said = [{"type": f"response.{kind}", "response": _response(kind)} for kind in kinds]
    text = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in said)
    return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})


def _openai_that_answers(*answers: httpx2.Response) -> openai.OpenAI:
    waiting = list(answers)
    transport = httpx2.MockTransport(lambda request: waiting.pop(0))
    return openai.OpenAI(api_key="unused", http_client=httpx2.Client(transport=transport))


def _only_conversation(service: Any) -> tuple[str, str, str, int]:
    (found,) = price_report([service.otlp()], load_rules(Config()))["conversations"]
    return found["conversation_id"], found["cost_usd"], found["cost_status"], found["calls"]


def test_a_response_of_the_background_is_billed_once_however_often_it_is_fetched(
    service: Any,
) -> None:
    states = ("queued", "in_progress", "completed", "completed")
    answers = (httpx2.Response(200, json=_response(state)) for state in states)
    with _openai_that_answers(*answers) as client, farebox.conversation("c1"):
        asked = client.responses.create(model="gpt-4o", input="hello", background=True)
        for _ in range(3):
            fetched = client.responses.retrieve(asked.id)

    assert fetched.status == "completed"
    # 800 at 2.50, 200 at 1.25 and 100 at 10 dollars per million.
    assert _only_conversation(service) == ("c1", "0.00325", "exact", 1)


def test_a_stream_of_the_background_that_is_taken_up_again_is_billed_once(service: Any) -> None:
    answers = (_events("created", "in_progress"), _events("created", "completed"))
    with _openai_that_answers(*answers) as client, farebox.conversation("c1"):
        stream = client.responses.create(
            model="gpt-4o", input="hello", background=True, stream=True
        )
        asked = next(iter(stream)).response
        stream.close()
        assert [event.type for event in client.responses.retrieve(asked.id, stream=True)] == [
            "response.created",
            "response.completed",
        ]

    assert _only_conversation(service) == ("c1", "0.00325", "exact", 1)


def test_a_response_that_told_its_usage_when_it_was_made_is_not_recorded_as_it_is_fetched(
    service: Any,
) -> None:
    made = httpx2.Response(200, json=_response("completed", background=False))
    with _openai_that_answers(made) as client:
        client.responses.retrieve("resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41")

    assert [span.name for span in service.spans] == ["fetch_response"]


async def _whole(client: genai.Client, **asked: Any) -> str | None:
    return client.models.generate_content(**asked).text


async def _stream(client: genai.Client, **asked: Any) -> str:
    chunks = client.models.generate_content_stream(**asked)
    return "".join(chunk.text or "" for chunk in chunks)


async def _async_whole(client: genai.Client, **asked: Any) -> str | None:
    return (await client.aio.models.generate_content(**asked)).text


async def _async_stream(client: genai.Client, **asked: Any) -> str:
    chunks = await client.aio.models.generate_content_stream(**asked)
    return "".join([chunk.text or "" async for chunk in chunks])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("ask", [_whole, _stream, _async_whole, _async_stream])
def test_every_request_of_an_automatic_function_call_is_billed(emitted: Any, ask: Any) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("google-genai",))
    with running_gemini() as gemini, farebox.conversation("c1"):
        gemini.answer(703, 180, thoughts=100, name="weather", args={"city": "Paris"})
        gemini.answer(1800, 44, cached=1280)
        options = HttpOptions(base_url=gemini.url)
        client = genai.Client(api_key="unused", http_options=options)
        config = GenerateContentConfig(tools=[weather])
        asked = {"model": "gemini-2.5-flash", "contents": "Paris?", "config": config}
        text = asyncio.run(ask(client, **asked))

    (conversation,) = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    assert text == "It is 21 degrees."
    # Per million 0.30 in, 0.03 cached, 2.50 out: 703 + 520 in, 1280 cached, 280 + 44 out.
    assert (conversation["cost_usd"], conversation["cost_status"]) == ("0.0012153", "exact")
    assert farebox.status().faults == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_functions_of_a_configuration_that_is_used_again_leave_the_cost_exact(
    emitted: Any,
) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("google-genai",))
    with running_gemini() as gemini, farebox.conversation("c1"):
        client = genai.Client(api_key="unused", http_options=HttpOptions(base_url=gemini.url))
        config = GenerateContentConfig(tools=[weather])
        for _ in range(2):
            gemini.answer(1000, 100, name="weather", args={"city": "Paris"})
            gemini.answer(1000, 100)
            client.models.generate_content(
                model="gemini-2.5-flash", contents="Paris?", config=config
            )

    (conversation,) = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    # Four requests, each of 1000 in at 0.30 and 100 out at 2.50 per million.
    assert (conversation["cost_usd"], conversation["cost_status"]) == ("0.0022", "exact")


def _gemini(*answers: list[dict[str, Any]] | None) -> genai.Client:
    """Return a client that is answered with the chunks of each in turn, None with an error."""
    waiting = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        chunks = waiting.pop(0)
        if chunks is None:
            return httpx2.Response(400, json={"error": {"code": 400, "message": "no"}})
        if "stream" not in request.url.path:
            return httpx2.Response(200, json=chunks[-1])
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return httpx2.Response(200, text=body)

    transport = httpx2.MockTransport(answer)
    options = HttpOptions(
        httpx_client=httpx2.Client(transport=transport),
        httpx_async_client=httpx2.AsyncClient(transport=transport),
    )
    return genai.Client(api_key="unused", http_options=options)


def _chunk(candidates: int, part: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, **more}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": candidates},
    }


_WORDS = [_chunk(100, {"text": "a"}), _chunk(200, {"text": "b"}, finishReason="STOP")]
_WANTS_WEATHER = [
    _chunk(
        40, {"functionCall": {"name": "weather", "args": {"city": "Paris"}}}, finishReason="STOP"
    )
]


async def _two_chunks(client: genai.Client, **asked: Any) -> Any:
    chunks = client.models.generate_content_stream(**asked)
    return [next(chunks), next(chunks)] and chunks


async def _one_chunk(client: genai.Client, **asked: Any) -> Any:
    chunks = client.models.generate_content_stream(**asked)
    return next(chunks) and chunks


async def _one_async_chunk(client: genai.Client, **asked: Any) -> Any:
    chunks = await client.aio.models.generate_content_stream(**asked)
    return await anext(chunks) and chunks


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(
    ("ask", "answers", "said_usd", "status"),
    [
        # 1000 at 0.30 and the output seen at 2.50 per million.
        (_one_chunk, [_WORDS], "0.00055", "estimated"),
        (_one_async_chunk, [_WORDS], "0.00055", "estimated"),
        (_two_chunks, [_WORDS], "0.0008", "exact"),
        # The first request, which asked for a function, was read to its end.
        (_two_chunks, [_WANTS_WEATHER, _WORDS], "0.00095", "estimated"),
    ],
)
def test_what_a_stream_of_gemini_said_before_it_was_cut_is_an_estimate(  # noqa: PLR0917
    emitted: Any, ask: Any, answers: Any, said_usd: str, status: str, closed: bool
) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("google-genai",))
    config = GenerateContentConfig(tools=[weather])

    async def main() -> None:
        chunks = await ask(
            _gemini(*answers), model="gemini-2.5-flash", contents="Paris?", config=config
        )
        if closed:
            await chunks.aclose() if hasattr(chunks, "aclose") else chunks.close()
        del chunks

    with farebox.conversation("c1"):
        asyncio.run(main())
    gc.collect()

    (conversation,) = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    assert (conversation["cost_usd"], conversation["cost_status"]) == (said_usd, status)
    assert farebox.status().faults == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_request_is_billed_where_the_one_after_its_function_fails(emitted: Any) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("google-genai",))
    config = GenerateContentConfig(tools=[weather])
    with farebox.conversation("c1"), pytest.raises(ClientError):
        _gemini(_WANTS_WEATHER, None).models.generate_content(
            model="gemini-2.5-flash", contents="Paris?", config=config
        )

    (conversation,) = price_report([emitted.otlp()], load_rules(Config()))["conversations"]
    # 1000 at 0.30 and 40 at 2.50 per million.
    assert (conversation["cost_usd"], conversation["cost_status"]) == ("0.0004", "exact")


def test_what_tools_put_into_a_prompt_is_input(emitted: Any) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("google-genai",))
    answer = _chunk(40, {"text": "a"}, finishReason="STOP")
    answer["usageMetadata"]["toolUsePromptTokenCount"] = 5000
    _gemini([answer]).models.generate_content(model="gemini-2.5-flash", contents="example.com?")

    assert _usage(emitted.only()) == {"input_tokens": 6000, "output_tokens": 40, "estimated": None}


def test_nothing_is_added_to_spans_that_are_no_calls(service: Any, double: ProviderDouble) -> None:
    farebox.setting_up.libraries.turn_off(["opentelemetry.instrumentation.genai.openai"])
    double.script(Reply(tokens=OPENAI_TOKENS, web_searches=2))
    with openai_client(double) as client, service.tracer.start_as_current_span("request"):
        client.responses.create(model="gpt-4o", input="hello")

    assert service.only() == {}


def test_an_error_of_the_provider_reaches_the_caller_as_it_is(
    service: Any, double: ProviderDouble
) -> None:
    double.script(Reply(status=529))
    with anthropic_client(double) as client, pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASKED)

    assert caught.value.status_code == 529
    assert attributes.USAGE_ESTIMATED not in service.only()


@pytest.mark.parametrize("found", ["9.0.0", "nightly"])
def test_an_sdk_of_an_unknown_version_is_left_alone_and_it_is_said_once(
    emitted: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    found: str,
) -> None:
    monkeypatch.setattr("farebox.completion.versions.version", lambda package: found)

    for _ in range(2):
        farebox.instrument(tracer_provider=emitted.provider, only=("openai",))

    reason = f"version {found}, known are 1 to 3; upgrade farebox"
    assert farebox.status().stepped_aside == (f"openai: {reason}",)
    warned = [record.message for record in caplog.records if "not completed" in record.message]
    assert warned == [f"the usage of openai is not completed: {reason}"]


def test_an_sdk_of_another_shape_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("openai._response.BaseAPIResponse._parse")

    assert completion.turn_on("openai") == (
        "openai",
        "openai._response.BaseAPIResponse has no _parse",
    )
    stainless.leave_openai()


def _cut(stream: Any, how: str, *, chunks: int) -> None:
    for _ in range(chunks):
        next(stream)
    if how == "closed":
        stream.close()
    elif how == "failed in a with block":
        with pytest.raises(KeyError), stream:
            raise KeyError("the service's own")
