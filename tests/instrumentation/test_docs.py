"""Every example of docs/instrument.md runs, and what it says of a conversation is emitted."""

import asyncio
import gc
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents import set_trace_processors
from fastapi import FastAPI
from fastapi.testclient import TestClient
from flask import Flask
from opentelemetry import trace

from farebox_processor.config import Config
from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.otlp_json import to_protobuf
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules
from support.attribute_docs import attribute_docs
from support.gemini_double import running_gemini

# Third parties warn of each other's plans as they are imported; programs end without closing.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning"
)

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = (_DOCS / "instrument.md").read_text()
_CALLS_A_MODEL = re.compile(
    r"\.(create|completion|generate_content|converse|invoke|run|run_sync)\("
)


def _examples() -> Iterator[Any]:
    for section in re.split(r"^## ", _PAGE, flags=re.MULTILINE):
        title = section.partition("\n")[0].strip("# ")
        blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks, 1):
            yield pytest.param(block, id=f"{title} {number}")


@pytest.fixture
def providers(
    double: ProviderDouble, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """The SDKs' own variables point to the doubles."""
    set_trace_processors([])  # by default traces go to OpenAI as well
    import litellm  # noqa: PLC0415 - warns as it is imported

    # It keeps clients, and each keeps the instrumentation that it was first called under.
    litellm.in_memory_llm_clients_cache.flush_cache()
    # pydantic-ai takes the loop in force; one that it had to make would be open for ever.
    with running_gemini() as gemini, closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        gemini.answer(20, 10)
        for name, value in {
            "OPENAI_BASE_URL": f"{double.url}/v1",
            "OPENAI_API_KEY": "unused",
            "ANTHROPIC_BASE_URL": double.url,
            "ANTHROPIC_API_KEY": "unused",
            "GOOGLE_GEMINI_BASE_URL": gemini.url,
            "GEMINI_API_KEY": "unused",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"{gemini.url}/bedrock",
            "AWS_ACCESS_KEY_ID": "unused",
            "AWS_SECRET_ACCESS_KEY": "unused",
        }.items():
            monkeypatch.setenv(name, value)
        yield monkeypatch
        asyncio.set_event_loop(None)
    gc.collect()  # a client that an example leaves open says so here


def _ask(app: Flask | FastAPI) -> None:
    """Have an application answer in a conversation."""
    if isinstance(app, Flask):
        assert app.test_client().get("/chats/chat-42").text
    else:
        with TestClient(app) as client:
            assert client.get("/chats/chat-42").text


@pytest.mark.parametrize("example", list(_examples()))
def test_an_example_runs_and_its_calls_are_in_its_conversation(
    example: str, emitted: Any, providers: pytest.MonkeyPatch
) -> None:
    providers.setattr(trace, "_TRACER_PROVIDER", emitted.provider)

    said: dict[str, Any] = {"__name__": "service"}
    exec(compile(example, "docs/instrument.md", "exec"), said)  # noqa: S102
    if "@app.get" in example:
        _ask(said["app"])

    if _CALLS_A_MODEL.search(example):
        conversations = {
            span.attributes.get("gen_ai.conversation.id")
            for span in emitted.spans
            if span.instrumentation_scope.name != "fastapi"  # of the request, around the answer
        }
        assert conversations == {"chat-42"}


def test_a_span_made_by_hand_costs_what_the_page_says() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    (said,) = re.findall(r"farebox makes that ([0-9.]+) dollars", _PAGE)

    report = price_report([to_protobuf(block.encode())], load_rules(Config()))
    (conversation,) = report["conversations"]

    assert (conversation["conversation_id"], conversation["cost_usd"]) == ("chat-42", said)
    assert conversation["cost_status"] == "exact"


def test_the_page_of_attributes_is_that_of_the_code() -> None:
    assert (_DOCS / "attributes.md").read_text() == attribute_docs()
