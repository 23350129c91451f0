"""A local double of Gemini's HTTP API, and of one answer of Bedrock's, with a ledger."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BEDROCK_ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "In the post."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 211, "outputTokens": 389, "totalTokens": 600},
    "metrics": {"latencyMs": 1},
}


@dataclass
class GeminiDouble:
    """Answers each request with the next of `answers`."""

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    """The usage of each request that was answered."""

    def answer(
        self, prompt: int, candidates: int, thoughts: int = 0, cached: int = 0, **call: Any
    ) -> None:
        """Queue an answer; `call` is the name and arguments of a function that it asks for."""
        part = {"functionCall": call} if call else {"text": "It is 21 degrees."}
        self.answers.append(
            {
                "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
                "usageMetadata": {
                    "promptTokenCount": prompt,
                    "candidatesTokenCount": candidates,
                    "thoughtsTokenCount": thoughts,
                    "cachedContentTokenCount": cached,
                    "totalTokenCount": prompt + candidates + thoughts,
                },
                "modelVersion": "gemini-2.5-flash",
                "responseId": f"gemini-{len(self.answers)}",
            }
        )


@contextmanager
def running_gemini() -> Iterator[GeminiDouble]:
    """Serve a double of Gemini on 127.0.0.1 from a thread."""
    double = GeminiDouble()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/converse"):
                self._send(json.dumps(_BEDROCK_ANSWER), streamed=False)
                return
            answer = double.answers.pop(0)
            double.ledger.append(answer["usageMetadata"])
            streamed = "stream" in self.path
            body = json.dumps(answer)
            self._send(f"data: {body}\n\n" if streamed else body, streamed=streamed)

        def _send(self, body: str, *, streamed: bool) -> None:
            self.send_response(200)
            kind = "text/event-stream" if streamed else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
