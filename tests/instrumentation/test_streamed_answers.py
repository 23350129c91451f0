"""A streamed answer is in its conversation from its first byte to its end, whoever reads it."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask, Response
from werkzeug.serving import make_server

import farebox
from farebox import attributes

_LENGTH = 20
_FOR_EVER = 1_000_000_000
_CHUNK = "word " * 10_000


class _Answers:
    """Two generators that say in spans where they are: at their begin, each step and their end."""

    def __init__(self, emitted: Any) -> None:
        self.ended = threading.Event()
        self._tracer = emitted.tracer

    @farebox.conversation(lambda self, chat, chunks: chat)
    def words(self, chat: str, chunks: int) -> Iterator[str]:
        try:
            for _ in range(chunks):
                with farebox.turn():
                    self._tracer.start_span(chat).end()
                    yield _CHUNK
        finally:
            self._end(chat)

    @farebox.conversation(lambda self, chat, chunks: chat)
    async def async_words(self, chat: str, chunks: int) -> AsyncIterator[str]:
        try:
            for _ in range(chunks):
                with farebox.turn():
                    await asyncio.sleep(0)  # as for a model: the server learns who went away
                    self._tracer.start_span(chat).end()
                    yield _CHUNK
        finally:
            self._end(chat)

    def _end(self, chat: str) -> None:
        self._tracer.start_span(chat).end()
        self.ended.set()


def _fastapi(answers: _Answers) -> FastAPI:
    app = FastAPI()

    @app.get("/async/{chat}/{chunks}")
    async def answer(chat: str, chunks: int) -> StreamingResponse:
        return StreamingResponse(answers.async_words(chat, chunks))

    @app.get("/sync/{chat}/{chunks}")
    def answer_in_a_thread(chat: str, chunks: int) -> StreamingResponse:
        return StreamingResponse(answers.words(chat, chunks))

    return app


@contextmanager
def _running_fastapi(answers: _Answers) -> Iterator[str]:
    config = uvicorn.Config(_fastapi(answers), port=0, log_config=None, lifespan="off")
    socket, server = config.bind_socket(), uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        socket.close()


@contextmanager
def _running_flask(answers: _Answers) -> Iterator[str]:
    app = Flask("service")

    @app.get("/sync/<chat>/<int:chunks>")
    def answer(chat: str, chunks: int) -> Response:
        return Response(answers.words(chat, chunks))

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=30)
        server.server_close()


_SERVERS = pytest.mark.parametrize(
    ("running", "kind"),
    [(_running_fastapi, "async"), (_running_fastapi, "sync"), (_running_flask, "sync")],
    ids=["FastAPI async", "FastAPI sync", "Flask"],
)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@_SERVERS
def test_answers_that_are_streamed_at_once_never_mix_their_conversations(
    emitted: Any, running: Callable[..., Any], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with running(_Answers(emitted)) as url, ThreadPoolExecutor(4) as readers:
        addresses = [f"{url}/{kind}/c{number}/{_LENGTH}" for number in range(4)]
        answers = list(readers.map(httpx.get, addresses))

    assert [len(answer.text) for answer in answers] == [_LENGTH * len(_CHUNK)] * 4
    said = [(span.name, span.attributes[attributes.CONVERSATION_ID]) for span in emitted.spans]
    assert sorted(said) == [(f"c{n}", f"c{n}") for n in range(4) for _ in range(_LENGTH + 1)]
    turns = {span.attributes.get(attributes.TURN_ID) for span in emitted.spans}
    assert len(turns) == 4 * _LENGTH + 1  # and None, at the end
    assert _warnings(caplog) == []


@_SERVERS
def test_an_answer_whose_reader_goes_away_ends_in_its_conversation(
    emitted: Any, running: Callable[..., Any], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers = _Answers(emitted)
    with running(answers) as url:
        with httpx.stream("GET", f"{url}/{kind}/gone/{_FOR_EVER}") as answer:
            next(answer.iter_raw())
        # The thread that took the last step lets go of the generator when it is given other work.
        while not answers.ended.wait(timeout=0.05):
            httpx.get(f"{url}/{kind}/other/0")

    said = {(span.name, span.attributes[attributes.CONVERSATION_ID]) for span in emitted.spans}
    assert said - {("other", "other")} == {("gone", "gone")}
    assert _warnings(caplog) == []
