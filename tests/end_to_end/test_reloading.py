"""A running `farebox serve` whose prices change under it, to bad ones and to good ones."""

import json
import os
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, answers, python, wait_for
from support.otlp_spans import OtlpCall, request_of
from support.raw_otlp import send_grpc

TOKENS = 1_000_000
OVERLAY = """\
models:
  - provider: openai
    model: gpt-4o
    prices: {{input_tokens: {price}}}
    source: order form 4711
    recorded: 2026-11-01
"""
OLD, NEW = Decimal(3), Decimal(7)


class Senders:
    """Sends one call after the other, each a trace of its own, until it is told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count(1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send_all)
        self._acknowledged = threading.Condition()
        self.acknowledged = 0
        self.refused: list[object] = []

    def __enter__(self) -> "Senders":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def wait_for_more(self, calls: int) -> range:
        """Return the numbers of `calls` that are both sent and acknowledged from now on."""
        with self._acknowledged:
            # The next one may be under way already.
            first = self.acknowledged + 2
            assert self._acknowledged.wait_for(
                lambda: self.acknowledged >= first + calls - 1 or self.refused, timeout=60
            )
        return range(first, first + calls)

    def _send_all(self) -> None:
        while not self._stopped.is_set():
            number = next(self._numbers)
            body = request_of([OtlpCall(number, number, TOKENS)])
            reply = send_grpc(self._port, body, timeout=30)
            with self._acknowledged:
                if reply.status is grpc.StatusCode.OK:
                    self.acknowledged = number
                else:
                    self.refused.append(reply)
                self._acknowledged.notify_all()


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(OVERLAY.format(price=f'"{OLD}"'))
    return path


@pytest.fixture
def serving(tmp_path: Path, overlay: Path) -> Iterator[tuple[FareboxServer, Process]]:
    server = FareboxServer(tmp_path)
    settings = {
        "FAREBOX_PRICES__OVERLAYS": str(overlay),
        "FAREBOX_FLUSH__INTERVAL_MS": "0",
        "FAREBOX_STORE__EVIDENCE": "none",
    }
    process = Process(
        "farebox serve",
        python("-m", "farebox_processor", "serve"),
        log=server.log,
        environment=server.settings | settings,
    )
    with process:
        ready = f"http://127.0.0.1:{server.admin_port}/readyz"
        wait_for(lambda: answers(ready), process, what="being ready for spans")
        yield server, process


def told(server: FareboxServer, message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line["message"] == message]


def loads(server: FareboxServer) -> dict[str, str]:
    address = f"http://127.0.0.1:{server.admin_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = map(
        re.compile(r'farebox_reloads_total\{result="(\w+)",what="rules"\} (.+)').match, lines
    )
    return {match[1]: match[2] for match in found if match}


def costs(server: FareboxServer) -> dict[int, Decimal]:
    rows = server.query("SELECT trace_id, cost_usd FROM spans FINAL")
    return {int(row["trace_id"], 16): row["cost_usd"] for row in rows}


def ask_for_a_reload(server: FareboxServer, process: Process, *, until: str) -> None:
    before = len(told(server, until))
    os.kill(process.pid, signal.SIGHUP)
    wait_for(lambda: len(told(server, until)) > before, process, what=f"logging: {until}")


@pytest.mark.parametrize(
    ("mistake", "place"),
    [
        (OVERLAY.format(price="3.5"), "4: models[0].prices.input_tokens: found the float 3.5"),
        ("models: [", "2: did not find expected node content"),
        ("models: &a [*a]", "1: models[0]: "),
    ],
)
def test_a_file_with_a_mistake_leaves_the_old_prices_in_use_and_a_good_one_takes_their_place(
    serving: tuple[FareboxServer, Process], overlay: Path, mistake: str, place: str
) -> None:
    server, process = serving
    with Senders(server.grpc_port) as senders:
        at_first = senders.wait_for_more(3)

        overlay.write_text(mistake)
        ask_for_a_reload(server, process, until="the rules in use are kept")
        after_the_mistake = senders.wait_for_more(3)

        overlay.write_text(OVERLAY.format(price=f'"{NEW}"'))
        ask_for_a_reload(server, process, until="the rules were loaded")
        at_last = senders.wait_for_more(3)
    # Sent again, a call costs what it did when it came first.
    for number in (at_first[0], at_last[0]):
        again = request_of([OtlpCall(number, number, TOKENS)])
        assert send_grpc(server.grpc_port, again, timeout=30).status is grpc.StatusCode.OK

    assert senders.refused == []
    [kept] = told(server, "the rules in use are kept")
    assert kept["reason"].startswith(f"{overlay}:{place}"[:256])
    assert loads(server) == {"kept": "1.0", "loaded": "1.0"}
    charged = costs(server)
    assert [charged[number] for number in (*at_first, *after_the_mistake)] == [OLD] * 6
    assert [charged[number] for number in at_last] == [NEW] * 3
    # Not a call was lost, and none has another price than the one or the other, in this order.
    assert sorted(charged) == list(range(1, senders.acknowledged + 1))
    assert list(dict(sorted(charged.items())).values()) == sorted(charged.values())
