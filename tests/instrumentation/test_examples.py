"""The examples run, and do what they say."""

import asyncio
import difflib
import gc
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace

from farebox import attributes, setting_up
from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.demo.replies import Reply
from support.services import TOOL_ANSWER, TOOL_CALL

_EXAMPLES = Path(__file__).parents[2] / "examples"

# Third parties warn of each other's plans as they are imported; programs end without closing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def service(emitted: Any, double: ProviderDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What the example emits, with the double for a provider."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{double.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", emitted.provider)
    yield emitted
    gc.collect()  # a client that an example leaves open says so here


def _said(service: Any, *names: str) -> list[tuple[Any, ...]]:
    calls = [span for span in service.spans if span.name.startswith("chat ")]
    return [tuple(span.attributes.get(name) for name in names) for span in calls]


def test_the_chat_service_is_instrumented_by_two_lines() -> None:
    before, after = (
        (_EXAMPLES / "chat_service" / name).read_text().splitlines()
        for name in ("before.py", "after.py")
    )

    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-" and line[2:]]
    assert changed == [
        "+ import farebox",
        '+ @farebox.conversation(lambda chat, **_: f"chat-{chat}", feature="chat")',
    ]


def test_the_chat_service_emits_each_chat_as_a_conversation(
    service: Any, double: ProviderDouble
) -> None:
    setting_up.instrument("chat", only=("openai",))
    app = runpy.run_path(str(_EXAMPLES / "chat_service" / "after.py"))["app"]
    double.script(Reply(text="Hello."), Reply(text="Hi."))

    async def chat() -> list[Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answers = [
                await client.post(f"/chats/{number}", json={"text": "hello"}) for number in (1, 2)
            ]
        return [answer.json() for answer in answers]

    assert asyncio.run(chat()) == [{"text": "Hello."}, {"text": "Hi."}]
    assert _said(service, attributes.CONVERSATION_ID, attributes.FEATURE) == [
        ("chat-1", "chat"),
        ("chat-2", "chat"),
    ]


def test_the_agents_calls_are_one_turn_of_one_conversation(
    service: Any, double: ProviderDouble
) -> None:
    double.script(TOOL_CALL, TOOL_ANSWER)
    ask = runpy.run_path(str(_EXAMPLES / "langgraph_agent.py"))["ask"]

    assert ask("chat-42", "What is the weather in Paris?") == "It is 21 degrees."
    first, second = _said(service, attributes.CONVERSATION_ID, attributes.TURN_ID)
    assert first == second
    assert first[0] == "chat-42"


def test_the_worker_does_its_tasks_in_the_conversations_they_were_sent_from(
    service: Any, double: ProviderDouble
) -> None:
    double.script(Reply(text="Sales were fine."))
    runpy.run_path(str(_EXAMPLES / "worker.py"), run_name="__main__")

    names = (attributes.CONVERSATION_ID, attributes.TENANT_ID, attributes.ACTION)
    assert _said(service, *names) == [("chat-42", "acme", "report")]
