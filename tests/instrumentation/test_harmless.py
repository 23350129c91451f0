"""Whatever goes wrong inside farebox, the service gets its answers and its own exceptions."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import farebox
from farebox import attributes
from farebox.middleware import worker
from farebox.middleware.asgi import ConversationMiddleware as AsgiMiddleware
from farebox.middleware.wsgi import ConversationMiddleware as WsgiMiddleware
from farebox.threads import follow_executors
from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.demo.replies import Reply
from support.services import ASKED, anthropic_client, openai_client


class _OurMistakeError(Exception):
    """What is injected."""


def _fail(*args: Any, **kwargs: Any) -> Any:
    raise _OurMistakeError


def _ask(double: ProviderDouble) -> list[str]:
    double.script(*(Reply(text="hi") for _ in range(4)))
    with openai_client(double) as client, anthropic_client(double) as messages:
        chat = client.chat.completions.create(model="gpt-4o", messages=ASKED)
        stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
        told = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        raw = client.responses.with_raw_response.create(model="gpt-4o", input="hello").parse()
        message = messages.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASKED)
    return [chat.choices[0].message.content, told, raw.output_text, message.content[0].text]


@pytest.mark.parametrize(
    "broken",
    [
        "farebox.stamping.conversation_in",
        "farebox.stamping.google_genai.mark_tool",
        "farebox.blocks.holding",
        "farebox.completion.stainless.call_span",
        "farebox.completion.stainless.complete",
        "farebox.completion.openai.ChatTally.see",
        "farebox.completion.tallies.complete",
    ],
)
def test_the_service_is_answered_whichever_hook_fails(
    emitted: Any, double: ProviderDouble, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    farebox.instrument(tracer_provider=emitted.provider, only=("openai", "anthropic"))
    monkeypatch.setattr(broken, _fail)

    with farebox.conversation("c1"):
        assert _ask(double) == ["hi"] * 4

    assert farebox.status().faults != ()


@pytest.mark.parametrize(
    "broken",
    [
        "farebox.setting_up.stamp_spans_of",
        "farebox.setting_up.use_settings",
        "farebox.setting_up.libraries.installed",
        "farebox.setting_up.libraries.choose",
        "farebox.setting_up.completion.turn_on",
        "farebox.libraries.import_module",
        "farebox.completion.stainless.known_class",
    ],
)
def test_a_service_starts_whatever_fails_in_setting_it_up(
    emitted: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(broken, _fail)

    farebox.instrument(tracer_provider=emitted.provider, only=("openai",))

    assert farebox.status().faults != ()


def test_requests_are_served_when_their_conversation_cannot_be_told(
    emitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("served")

    async def get(app: Any) -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return (await client.get("/")).text

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        return [b"served"]

    asgi = Starlette(routes=[Route("/", answer)])
    assert asyncio.run(get(AsgiMiddleware(asgi, id=_fail))) == "served"
    assert WsgiMiddleware(wsgi, id=_fail)({"HTTP_X": 3}, None) == [b"served"]
    monkeypatch.setattr("farebox.middleware.sources.with_incoming", _fail)
    assert asyncio.run(get(AsgiMiddleware(asgi))) == "served"
    assert WsgiMiddleware(wsgi)({}, None) == [b"served"]
    assert worker(headers=_fail)(lambda task: task)("served") == "served"


def test_work_is_done_when_its_conversation_cannot_be_carried(
    monkeypatch: pytest.MonkeyPatch, emitted: Any
) -> None:
    follow_executors()
    monkeypatch.setattr("farebox.threads.in_context_of", _fail)

    with ThreadPoolExecutor() as pool:
        assert pool.submit(str, "done").result() == "done"
        with pytest.raises(TypeError):
            pool.submit()


def test_a_callable_of_the_services_own_that_fails_leaves_the_id_out(emitted: Any) -> None:
    @farebox.conversation(_fail, feature="chat")
    def handle() -> str:
        emitted.tracer.start_span("handler").end()
        return "handled"

    assert handle() == "handled"
    assert emitted.only() == {attributes.FEATURE: "chat"}


@pytest.mark.parametrize(
    ("value", "taken"),
    [(3.5, "3.5"), (b"\xff", "b'\\xff'"), ("x" * 10_000, "x" * 256), ("\ud800é", "?é")],
)
def test_values_of_any_kind_are_taken_as_text(emitted: Any, value: Any, taken: str) -> None:
    with farebox.conversation(value, tenant=value, anything=value):
        emitted.tracer.start_span("answer").end()
        farebox.headers()
        farebox.outcome(value)
        farebox.tool_cost(value, rule=value)

    said = emitted.spans[0].attributes
    assert said[attributes.CONVERSATION_ID] == said["farebox.extra.anything"] == taken


def test_an_error_is_logged_once_and_counted_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("farebox.marking._emit", _fail)

    for _ in range(3):
        farebox.outcome("resolved")

    assert farebox.status().faults == (("outcome", 3),)
    assert [record.message for record in caplog.records] == [
        "outcome failed; the service goes on without it"
    ]
