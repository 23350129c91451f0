"""Flask, Django and FastAPI serve each request in its conversation."""

import asyncio
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import django
import httpx
import pytest
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask, Response

from farebox import attributes
from farebox.middleware import from_header, from_path
from farebox.middleware.asgi import ConversationMiddleware as AsgiMiddleware
from farebox.middleware.wsgi import ConversationMiddleware as WsgiMiddleware

_ID = attributes.CONVERSATION_ID


def _words(emitted: Any) -> Iterator[str]:
    yield "hello "
    emitted.tracer.start_span("stream").end()
    yield "world"


def test_a_flask_application(emitted: Any) -> None:
    app = Flask("service")
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, id=from_path("^/chats/([^/]+)"))

    @app.get("/chats/<chat>")
    def chat(chat: str) -> Response:
        emitted.tracer.start_span("handler").end()
        return Response(_words(emitted))

    answer = app.test_client().get("/chats/c1")

    assert answer.text == "hello world"
    assert emitted.values(_ID) == {"handler": "c1", "stream": "c1"}


def test_a_fastapi_application(emitted: Any) -> None:
    app = FastAPI()
    app.add_middleware(AsgiMiddleware, id=from_header("x-chat"))

    @app.get("/chat")
    def chat() -> StreamingResponse:  # in a thread of its own
        emitted.tracer.start_span("handler").end()
        return StreamingResponse(_words(emitted))

    async def get() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return (await client.get("/chat", headers={"x-chat": "c1"})).text

    assert asyncio.run(get()) == "hello world"
    assert emitted.values(_ID) == {"handler": "c1", "stream": "c1"}


@pytest.fixture
def site(emitted: Any) -> Iterator[None]:
    """A Django site of two views."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["farebox.middleware.django.conversation_middleware"],
            FAREBOX={"id": from_header("x-chat"), "user": lambda request: request.native.method},
            SECRET_KEY="unused",  # noqa: S106 - of a test
        )
        django.setup()

    def chat(request: Any) -> StreamingHttpResponse:
        emitted.tracer.start_span("handler").end()
        return StreamingHttpResponse(_words(emitted))

    async def chat_async(request: Any) -> HttpResponse:
        emitted.tracer.start_span("handler").end()
        return HttpResponse("hello world")

    urls = ModuleType("urls")
    urls.urlpatterns = [path("chat", chat), path("async", chat_async)]  # type: ignore[attr-defined]
    sys.modules["urls"] = urls
    settings.ROOT_URLCONF = urls
    yield
    del sys.modules["urls"]


@pytest.mark.usefixtures("site")
def test_a_django_site(emitted: Any) -> None:
    answer = Client().get("/chat", headers={"x-chat": "c1"})

    assert b"".join(answer.streaming_content) == b"hello world"
    assert emitted.values(_ID) == {"handler": "c1", "stream": "c1"}
    assert emitted.values(attributes.USER_ID)["handler"] == "GET"


@pytest.mark.usefixtures("site")
def test_an_asynchronous_django_site(emitted: Any) -> None:
    answer = asyncio.run(AsyncClient().get("/async", headers={"x-chat": "c1"}))

    assert answer.content == b"hello world"
    assert emitted.values(_ID) == {"handler": "c1"}
