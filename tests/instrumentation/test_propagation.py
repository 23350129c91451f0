"""A conversation goes from service to service with the requests, and no further than it may."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, context, propagate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

import farebox
from farebox import attributes
from farebox._settings import Settings, current_settings, use_settings
from farebox.middleware import from_cookie, from_header, from_path, worker
from farebox.middleware.asgi import ConversationMiddleware

_ID = attributes.CONVERSATION_ID


@contextmanager
def _arrived_with(headers: dict[str, str]) -> Iterator[None]:
    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


def _service(emitted: Any, downstream: httpx.AsyncClient | None = None, **options: Any) -> Any:
    async def chat(request: Request) -> Any:
        emitted.tracer.start_span("handler").end()
        if downstream is not None:
            await downstream.get("/chat", headers=farebox.headers())

        async def words() -> Any:
            yield b"hello "
            emitted.tracer.start_span("stream").end()
            yield b"world"

        return StreamingResponse(words())

    app = Starlette(routes=[Route("/{rest:path}", chat)])
    app.add_middleware(ConversationMiddleware, **options)
    return app


def _get(app: Any, path: str = "/chat", **request: Any) -> str:
    async def get() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return (await client.get(path, **request)).text

    return asyncio.run(get())


def test_a_request_is_served_in_its_conversation_until_the_last_byte(emitted: Any) -> None:
    answer = _get(_service(emitted), headers={"X-Conversation-Id": "c1"})

    assert answer == "hello world"
    assert emitted.values(_ID) == {"handler": "c1", "stream": "c1"}


@pytest.mark.parametrize(
    ("source", "request_"),
    [
        (from_header("X-Chat"), {"headers": {"x-chat": "c1"}}),
        (from_cookie("chat"), {"headers": {"cookie": "a=b; chat=c1"}}),
        (from_path("^/chats/([^/]+)"), {"path": "/chats/c1/messages"}),
        (lambda request: request.native["query_string"].decode(), {"path": "/chat?c1"}),
        ("c1", {}),
    ],
    ids=["header", "cookie", "path", "callable", "constant"],
)
def test_the_id_is_found_where_the_service_says(
    emitted: Any, source: Any, request_: dict[str, Any]
) -> None:
    _get(_service(emitted, id=source, feature="chat"), **request_)

    assert emitted.values(_ID)["handler"] == "c1"
    assert emitted.values(attributes.FEATURE)["handler"] == "chat"


def test_a_request_without_an_id_is_served_without_one(emitted: Any) -> None:
    assert _get(_service(emitted), headers={"cookie": "=;=;;"}) == "hello world"
    assert emitted.values(_ID) == {"handler": None, "stream": None}


def test_a_service_takes_the_conversation_over_from_the_one_that_calls_it(emitted: Any) -> None:
    called = httpx.AsyncClient(
        transport=httpx.ASGITransport(_service(emitted, feature="search")), base_url="http://b"
    )

    _get(
        _service(emitted, called, tenant="acme", feature="chat"),
        headers={"x-conversation-id": "c1"},
    )

    said = [dict(span.attributes) for span in emitted.spans if span.name == "handler"]
    assert said == [
        {_ID: "c1", attributes.TENANT_ID: "acme", attributes.FEATURE: "chat"},
        {_ID: "c1", attributes.TENANT_ID: "acme", attributes.FEATURE: "search"},
    ]


def test_an_edge_refuses_the_conversations_of_strangers(emitted: Any) -> None:
    forged = {"baggage": f"{_ID}=somebody-elses,{attributes.TENANT_ID}=acme"}

    _get(_service(emitted, accept_baggage=False), headers=forged)
    with _arrived_with(forged):
        _get(_service(emitted, accept_baggage=False))
        use_settings(replace(current_settings(), accept_baggage=False))
        emitted.tracer.start_span("refused everywhere").end()

    assert set(emitted.values(_ID).values()) == {None}


def test_the_span_of_a_refused_request_takes_back_what_it_said_of_a_strangers_conversation(
    emitted: Any,
) -> None:
    forged = {"baggage": f"{_ID}=somebody-elses,{attributes.TENANT_ID}=acme"}
    service = _service(emitted, accept_baggage=False)

    with _arrived_with(forged), emitted.tracer.start_as_current_span("GET /chat"):
        _get(service, headers={"x-conversation-id": "c1"})
    with farebox.conversation("c2"), emitted.tracer.start_as_current_span("inside"):
        _get(service, headers=forged)

    assert emitted.values(_ID) == {
        "handler": "c2",
        "stream": "c2",
        "GET /chat": "",
        "inside": "c2",
    }
    assert emitted.values(attributes.TENANT_ID)["GET /chat"] == ""


def test_what_arrives_is_cut_to_what_an_attribute_may_hold(emitted: Any) -> None:
    with _arrived_with({"baggage": f"{_ID}={'x' * 1000}"}):
        emitted.tracer.start_span("long").end()

    assert emitted.values(_ID) == {"long": "x" * 256}


def test_the_user_and_dimensions_of_the_services_own_stay_at_home() -> None:
    with farebox.conversation("c1", user="u1", tenant="acme", campaign="spring"), farebox.turn("t"):
        sent = farebox.headers()["baggage"]

    assert sorted(sent.split(",")) == [
        "farebox.tenant.id=acme",
        "farebox.turn.id=t",
        "gen_ai.conversation.id=c1",
    ]


def test_only_allowed_fields_go_out_and_other_peoples_baggage_stays() -> None:
    use_settings(Settings(baggage_fields=frozenset({"user", "campaign"})))
    token = context.attach(baggage.set_baggage("theirs", "kept"))
    try:
        with farebox.conversation("c1", user="u1", campaign="spring"):
            sent = farebox.headers()["baggage"]
    finally:
        context.detach(token)
        use_settings(Settings())

    assert sorted(sent.split(",")) == ["farebox.extra.campaign=spring", "theirs=kept", "user.id=u1"]


def test_what_does_not_fit_stays_behind_and_the_id_last() -> None:
    use_settings(Settings(baggage_bytes_max=40))
    try:
        with farebox.conversation("c1", tenant="a tenant of many words", feature="f"):
            sent = farebox.headers()["baggage"]
    finally:
        use_settings(Settings())

    assert sent == "gen_ai.conversation.id=c1"


def test_a_worker_runs_each_task_in_the_conversation_it_was_sent_from(emitted: Any) -> None:
    queue: list[dict[str, Any]] = []

    @worker(headers=lambda task: task["headers"], feature="reports", user=lambda task: task["for"])
    def handle(task: dict[str, Any]) -> str:
        emitted.tracer.start_span(task["name"]).end()
        return str(task["name"])

    for name in ("c1", "c2"):
        with farebox.conversation(name), emitted.tracer.start_as_current_span(f"send {name}"):
            queue.append({"name": name, "for": "u1", "headers": farebox.headers()})
    queue.append({"name": "bare", "for": "u2", "headers": None})

    assert [handle(task) for task in queue] == ["c1", "c2", "bare"]
    assert emitted.values(_ID) == {
        "send c1": "c1",
        "send c2": "c2",
        "c1": "c1",
        "c2": "c2",
        "bare": None,
    }
    sent, handled = (
        next(span for span in emitted.spans if span.name == name) for name in ("send c1", "c1")
    )
    assert handled.parent.span_id == sent.context.span_id
    assert handled.attributes[attributes.USER_ID] == "u1"


def test_a_task_is_in_its_own_conversation_whatever_the_worker_is_in() -> None:
    @worker(headers=lambda task: task)
    def handle(task: dict[str, str]) -> tuple[str | None, str | None]:
        held = farebox.current_conversation() or farebox.Conversation()
        return held.id, held.feature

    with farebox.conversation("c1"):
        task = farebox.headers()

    with farebox.conversation(feature="jobs"):
        assert handle(task) == ("c1", "jobs")
    with farebox.conversation("c2"):
        assert handle(task) == ("c1", None)
        assert handle({}) == ("c2", None)


def test_tasks_that_are_taken_out_of_a_queue_within_one_span_go_on_in_the_traces_of_their_senders(
    emitted: Any,
) -> None:
    @worker(headers=lambda task: task)
    def handle(task: dict[str, str]) -> None:
        emitted.tracer.start_span("handled").end()

    tasks = []
    for name in ("c1", "c2"):
        with farebox.conversation(name), emitted.tracer.start_as_current_span(f"send {name}"):
            tasks.append(farebox.headers())
    with emitted.tracer.start_as_current_span("poll"):
        for task in tasks:
            handle(task)
    with emitted.tracer.start_as_current_span("consume", context=propagate.extract(tasks[0])):
        handle(tasks[0])

    spans = {span.context.span_id: span.name for span in emitted.spans}
    assert [spans[span.parent.span_id] for span in emitted.spans if span.name == "handled"] == [
        "send c1",
        "send c2",
        "consume",
    ]
