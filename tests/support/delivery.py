"""Senders, servers on a shared ClickHouse, and what has to be in it in the end."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
from clickhouse_connect.driver.client import Client

from farebox_processor.demo.processes import Process, answers, free_port, python, wait_for
from farebox_processor.dialects import load_dialects
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store.loads import store_load
from farebox_processor.store.writer import Writer
from support.otlp_spans import OtlpCall, request_of
from support.raw_otlp import EXPORT

__all__ = ["Sender", "Server", "calls", "conversation_rows", "expected_costs", "settle"]

_USD_PER_TOKEN = Decimal("0.0000025")
_GIVE_UP_S = 10


def calls(conversations: int, seed: int = 1) -> list[OtlpCall]:
    """Return the calls of conversations of three traces; one call of each trace names it."""
    chance = random.Random(seed)
    made = []
    for trace in range(1, 3 * conversations + 1):
        for number in range(4):
            span = 10 * trace + number
            named = f"chat {trace // 3}" if number == trace % 4 else None
            start = 60.0 * trace + 5 * number
            made.append(
                OtlpCall(
                    trace, span, chance.randrange(1, 9_000), named, f"r{span}", start, start + 4
                )
            )
    return made


def expected_costs(sent: Sequence[OtlpCall]) -> dict[str, Decimal]:
    """Return what each conversation costs; no call is sent in two contents."""
    names = {call.trace: call.conversation for call in sent if call.conversation}
    costs: dict[str, Decimal] = {}
    for call in set(sent):
        name = names.get(call.trace, call.trace_id)
        costs[name] = costs.get(name, Decimal(0)) + call.input_tokens * _USD_PER_TOKEN
    return costs


@dataclass
class Sender:
    """Sends a call a request, from several threads, until all is sent or the server is gone."""

    port: int
    waiting: list[OtlpCall]
    threads: int = 4
    retries: bool = False
    """Whether a refused request is sent again until it is taken, also by a server that is away."""
    acknowledged: list[OtlpCall] = field(default_factory=list)
    refusals: list[grpc.StatusCode] = field(default_factory=list)
    some: threading.Event = field(default_factory=threading.Event)
    """Set when a few requests were acknowledged."""

    def start(self) -> "Sender":
        """Begin."""
        self._lock = threading.Lock()
        self._running = [threading.Thread(target=self._send) for _ in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def join(self) -> None:
        """Wait for all threads."""
        for thread in self._running:
            thread.join()

    def leave_off(self) -> list[OtlpCall]:
        """Send nothing more, and return what was never acknowledged."""
        with self._lock:
            unsent, self.waiting = self.waiting, []
        self.retries = False
        self.join()
        return unsent + self.waiting

    def _send(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            export = channel.unary_unary(EXPORT)
            while call := self._next():
                try:
                    export(request_of([call]), timeout=_GIVE_UP_S, wait_for_ready=self.retries)
                except grpc.RpcError as error:
                    with self._lock:
                        self.waiting.append(call)
                        self.refusals.append(error.code())
                    if not self.retries:
                        return
                    continue
                with self._lock:
                    self.acknowledged.append(call)
                if len(self.acknowledged) > self.threads:
                    self.some.set()

    def _next(self) -> OtlpCall | None:
        with self._lock:
            return self.waiting.pop() if self.waiting else None


class Server:
    """`farebox serve` on a database of a ClickHouse server."""

    def __init__(self, folder: Path, clickhouse_port: int, database: str) -> None:
        self.grpc_port, self.admin_port = free_port(), free_port()
        self.log = folder / f"farebox-{self.grpc_port}.log"
        self._settings = {
            "FAREBOX_STORE__DSN": f"clickhouse://127.0.0.1:{clickhouse_port}/{database}",
            "FAREBOX_STORE__EVIDENCE": "none",
            "FAREBOX_SERVER__GRPC_PORT": str(self.grpc_port),
            "FAREBOX_SERVER__HTTP_PORT": "0",
            "FAREBOX_SERVER__ADMIN_PORT": str(self.admin_port),
            # One sender at a time would only wait for company that does not come.
            "FAREBOX_FLUSH__INTERVAL_MS": "0",
        }

    def start(self, *command: str, **settings: str) -> Process:
        """Start the server, by another command if one is given, and wait until it is ready."""
        process = Process(
            "farebox serve",
            python(*(command or ("-m", "farebox_processor", "serve"))),
            log=self.log,
            environment=self._settings | settings,
        )
        ready = f"http://127.0.0.1:{self.admin_port}/readyz"
        try:
            wait_for(lambda: answers(ready), process, what="being ready for spans")
        except BaseException:
            process.stop()
            raise
        return process


def settle(client: Client, unsent: Sequence[OtlpCall]) -> None:
    """Deliver what was never acknowledged, as its senders would, and repair."""
    rules = Rules(load_dialects(), load_price_book(), load_plans())
    store_load(client, "plans", rules.plans.tiers)
    ingest = Ingest(Writer(client), rules, LiveTraces(1_000_000), Metrics(), "none")
    ingest.flush([request_of(unsent)], [""])
    ingest.follow_up()
    Repair(client, rules, Metrics()).run()
    assert Repair(client, rules, Metrics()).run() == 0


def conversation_rows(client: Client) -> list[tuple[Any, ...]]:
    """Return all rows of the view."""
    return list(client.query("SELECT * FROM conversations ORDER BY ALL").result_rows)
