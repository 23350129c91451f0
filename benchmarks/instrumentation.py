"""What farebox adds to a service: to its start, to every span, to every call of an SDK."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import httpx2
import openai
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from rich.console import Console
from rich.table import Table

import farebox
from benchmarks.measuring import Timing, in_turns
from farebox import completion, stamping

__all__ = ["instrumentation", "main"]

_SPANS: Final = 5_000
_CALLS: Final = 200
_ANSWER: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
    "usage": {
        "prompt_tokens": 1511,
        "completion_tokens": 347,
        "total_tokens": 1858,
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 192},
    },
}


def instrumentation(rounds: int) -> list[Table]:
    """Measure import, spans and calls, each beside the same without farebox."""
    return [_imports(rounds), _spans(rounds), _calls(rounds)]


def main() -> None:
    """Measure and print."""
    Console().print(*instrumentation(rounds=7))


def _imports(rounds: int) -> Table:
    timings = in_turns(
        {
            "python": _program("pass"),
            "import opentelemetry.sdk.trace": _program("import opentelemetry.sdk.trace"),
            "import farebox": _program("import farebox"),
        },
        rounds=rounds,
    )
    python = min(timings["python"].wall_s)
    table = Table("what", "ms beyond python's own start", "times the SDK's", title="Import")
    sdk = min(timings["import opentelemetry.sdk.trace"].wall_s) - python
    for name, timing in list(timings.items())[1:]:
        own = min(timing.wall_s) - python
        table.add_row(name, f"{own * 1000:.0f}", f"{own / sdk:.2f}")
    return table


def _program(code: str) -> Callable[[], Any]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def _spans(rounds: int) -> Table:
    plain, stamped = TracerProvider(), TracerProvider()
    stamping.stamp_spans_of(stamped)

    def emit(provider: TracerProvider) -> None:
        tracer = provider.get_tracer("service")
        for _ in range(_SPANS):
            tracer.start_span("answer").end()

    def emit_in_conversation() -> None:
        with farebox.conversation("c1", user="u1", tenant="acme", feature="chat"):
            emit(stamped)

    return _beside(
        "A span",
        _SPANS,
        in_turns(
            {
                "the SDK alone": lambda: emit(plain),
                "stamped, in no conversation": lambda: emit(stamped),
                "stamped with five attributes": emit_in_conversation,
            },
            rounds=rounds,
        ),
    )


def _calls(rounds: int) -> Table:
    provider = TracerProvider()
    stamping.stamp_spans_of(provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, json=_ANSWER))
    client = openai.OpenAI(api_key="unused", http_client=httpx2.Client(transport=answer))

    def call() -> None:
        for _ in range(_CALLS):
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "hello"}]
            )

    def call_completed() -> None:
        completion.turn_on("openai")
        with farebox.conversation("c1", user="u1"):
            call()
        completion.turn_off()

    try:
        functions = {"the official instrumentation": call, "and farebox": call_completed}
        return _beside("A call of OpenAI's SDK", _CALLS, in_turns(functions, rounds=rounds))
    finally:
        OpenAIInstrumentor().uninstrument()


def _beside(title: str, count: int, timings: dict[str, Timing]) -> Table:
    table = Table("what", "microseconds", "times the first", title=title)
    first = next(iter(timings.values()))
    for name, timing in timings.items():
        best = min(timing.wall_s) / count
        table.add_row(name, f"{best * 1e6:.1f}", f"{timing.times(first):.2f}")
    return table


if __name__ == "__main__":
    main()
