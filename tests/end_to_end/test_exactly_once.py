"""A conversation is one number: whatever is sent, lost, repeated, killed, evicted or rated again.

The real chain on the real engine, driven at random, against an oracle over a set.
"""

import os
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from farebox_processor.dialects import load_dialects
from farebox_processor.errors import RetryableStoreError
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.pricing import price_spans
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store import repair_queries
from farebox_processor.store.writer import Writer, Written
from support.otlp_spans import OtlpCall, request_of

# More of both find more: 200 examples of 50 steps take a quarter of an hour.
EXAMPLES = int(os.environ.get("FAREBOX_TEST_EXAMPLES", "10"))
STEPS = int(os.environ.get("FAREBOX_TEST_STEPS", "25"))

RATED_AGAIN = """
models:
  - provider: openai
    model: gpt-4o
    prices: {input_tokens: "5", output_tokens: "20"}
    source: https://example.com/of-this-test
    recorded: 2026-01-01
"""
DRAWN = "chatcmpl-BxK2mT9vQ4wZ7pR1sN8"
PRICE_USD = {1: Decimal("0.0000025"), 2: Decimal("0.000005")}


# --- the world: twelve spans in four traces, some of them in two contents ------------------------


def world() -> dict[tuple[int, int], tuple[OtlpCall, ...]]:
    """Return the contents of each span, of which the last is the latest."""
    contents = {}
    for trace in range(1, 5):
        for number in range(3):
            span = 10 * trace + number
            # One span of each trace names its conversation: it may come late.
            named = f"chat {trace % 2}" if number == trace % 3 and trace < 4 else None
            start = 10.0 * trace + 3 * number
            first = OtlpCall(trace, span, 100 * span, named, f"r{span}", start, start + 1)
            contents[trace, span] = (first, replace(first, input_tokens=7 * span, end_s=start + 2))
    # The last trace shares a call with the first, by response id, and one with the second, by time.
    shared = replace(contents[4, 40][0], response=DRAWN, input_tokens=1000)
    contents[4, 40] = (shared,)
    contents[1, 10] = (replace(contents[1, 10][0], response=DRAWN, input_tokens=1000),)
    inner = replace(contents[2, 21][0], response=None, input_tokens=777)
    outer = replace(inner, trace=4, span=41, start_s=inner.start_s - 1, end_s=inner.end_s + 1)
    contents[2, 21] = (inner,)
    contents[4, 41] = (replace(outer, scope="langchain", conversation=None),)
    return contents


WORLD = world()
SPANS = sorted(WORLD)
SENDABLE = [(span, content) for span in SPANS for content in range(len(WORLD[span]))]
# Which spans are records of one call; the one that is billed comes first: it started last.
ONE_CALL = (((4, 40), (1, 10)), ((2, 21), (4, 41)))


def oracle(sent: set[tuple[Any, int]], rated: set[tuple[Any, int]]) -> dict[str, Decimal]:
    """Return what each conversation costs: contents by span, the span's latest rating counts."""
    latest: dict[Any, tuple[int, int]] = {}
    for revision, contents in ((1, sent), (2, rated)):
        for span, content in contents:
            latest[span] = max(latest.get(span, (0, 0)), (revision, content))
    names: dict[int, list[tuple[float, str]]] = {}
    for span, (_, content) in latest.items():
        call = WORLD[span][content]
        names.setdefault(call.trace, [])
        if call.conversation:
            names[call.trace].append((call.start_s, call.conversation))
    named = {trace: min(found)[1] for trace, found in names.items() if found}
    rejected = {other for billed, other in ONE_CALL if billed in latest and other in latest}
    tied = {frozenset(t for t, _ in pair) for pair in ONE_CALL if set(pair) <= latest.keys()}
    costs: dict[str, Decimal] = {}
    for span, (revision, content) in latest.items():
        trace = span[0]
        if trace not in named:
            # The earliest trace that it shares a call with, directly or not, names it.
            together = {trace}
            for _ in tied:
                together |= {t for pair in tied if pair & together for t in pair}
            near = [t for t in sorted(together, key=first_start(latest)) if t in named]
            earliest = min(together, key=first_start(latest))
            name = named[near[0]] if near else f"{earliest:032x}"
        else:
            name = named[trace]
        cost = WORLD[span][content].input_tokens * PRICE_USD[revision]
        costs[name] = costs.get(name, Decimal(0)) + (0 if span in rejected else cost)
    return costs


def first_start(latest: dict[Any, tuple[int, int]]) -> Any:
    """Return when a trace began, and its number."""
    return lambda trace: (
        min(WORLD[span][content].start_s for span, (_, content) in latest.items()
            if span[0] == trace),
        trace,
    )  # fmt: skip


# --- the parts, real but for the faults ----------------------------------------------------------


@dataclass
class Faults:
    """What the store does to those who write."""

    down: bool = False
    loses_reply_after: str = ""


class FaultyWriter(Writer):
    """A writer between which and ClickHouse things go wrong."""

    def __init__(self, client: Client, faults: Faults) -> None:
        super().__init__(client)
        self._faults = faults

    def write(self, table: str, frame: pl.DataFrame) -> Written:
        if self._faults.down:
            raise RetryableStoreError("ClickHouse is away")
        written = super().write(table, frame)
        if table == self._faults.loses_reply_after:
            raise RetryableStoreError("the reply was lost")
        return written


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Rules]:
    """The rules of each rating revision."""
    again = tmp_path_factory.mktemp("prices") / "again.yaml"
    again.write_text(RATED_AGAIN)
    paths: dict[int, list[Path]] = {1: [], 2: [again]}
    return {
        revision: Rules(load_dialects(), load_price_book(files, revision=revision), load_plans())
        for revision, files in paths.items()
    }


class Replica:
    """A server without its network."""

    def __init__(self, client: Client, rules: Rules, faults: Faults, max_spans: int) -> None:
        writer = FaultyWriter(client, faults)
        self.ingest = Ingest(writer, rules, LiveTraces(max_spans), Metrics(), "none")
        # Somebody wants to be told what conversations cost so far.
        self.ingest.export = lambda flushed: None

    def send(self, *requests: list[tuple[Any, int]]) -> bool:
        """Deliver requests and tell whether they were acknowledged."""
        bodies = [request_of(WORLD[span][content] for span, content in one) for one in requests]
        try:
            verdicts = self.ingest.flush(bodies, [""] * len(bodies))
        except RetryableStoreError:
            return False
        return all(verdict.refusal is None for verdict in verdicts)

    def follow_up(self) -> None:
        try:
            self.ingest.follow_up()
        except RetryableStoreError:
            return


def empty(client: Client) -> None:
    for table in ("spans", "calls", "traces"):
        client.command(f"TRUNCATE TABLE {table}")


def conversations(client: Client) -> dict[str, Decimal]:
    found = client.query("SELECT conversation_id, cost_usd FROM conversations").result_rows
    return dict(found)


def dump(client: Client, table: str) -> list[tuple[Any, ...]]:
    stored_at = "" if table == "conversations" else "EXCEPT stored_at"
    final = "" if table == "conversations" else "FINAL"
    return client.query(f"SELECT * {stored_at} FROM {table} {final} ORDER BY ALL").result_rows  # noqa: S608


def everything(client: Client) -> list[list[tuple[Any, ...]]]:
    return [dump(client, table) for table in ("spans", "calls", "traces", "conversations")]


# --- anything in any order -----------------------------------------------------------------------

replicas = st.integers(0, 1)
some_spans = st.lists(st.sampled_from(SENDABLE), min_size=1, max_size=5)
# Left to chance, the two records of a call are seldom both there.
of_one_call = st.sampled_from(ONE_CALL).map(lambda pair: [(span, 0) for span in pair])


class Delivery(RuleBasedStateMachine):
    """Two replicas, their senders and one store; everything that happens is a rule."""

    client: ClassVar[Client]
    books: ClassVar[dict[int, Rules]]

    def __init__(self) -> None:
        super().__init__()
        empty(self.client)
        self.faults = Faults()
        # One replica has room for everything, the other one for next to nothing.
        self.room = (1_000, 6)
        self.replicas = [self._new(0), self._new(1)]
        self.sent: set[tuple[Any, int]] = set()
        self.acknowledged: set[tuple[Any, int]] = set()
        self.rated: set[tuple[Any, int]] = set()

    def _new(self, number: int) -> Replica:
        return Replica(self.client, self.books[1], self.faults, self.room[number])

    @rule(spans=some_spans, number=replicas)
    def send(self, spans: list[tuple[Any, int]], number: int) -> None:
        self.sent |= set(spans)
        if self.replicas[number].send(spans):
            self.acknowledged |= set(spans)

    @rule(pair=of_one_call, number=replicas, apart=st.booleans(), follows_up=st.booleans())
    def send_both_records_of_a_call(
        self, pair: list[tuple[Any, int]], number: int, apart: bool, follows_up: bool
    ) -> None:
        for record, replica in zip(pair, (number, 1 - number if apart else number), strict=True):
            self.send([record], replica)
            if follows_up:
                self.follow_up(replica)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), number=replicas)
    def resend_in_other_requests(self, data: Any, number: int) -> None:
        again = data.draw(st.permutations(sorted(self.sent)))
        cut = data.draw(st.integers(0, len(again)))
        requests = [part for part in (again[:cut], again[cut:]) if part]
        if self.replicas[number].send(*requests):
            self.acknowledged |= set(again)

    @rule(spans=some_spans, number=replicas)
    def send_and_lose_the_reply(self, spans: list[tuple[Any, int]], number: int) -> None:
        self.sent |= set(spans)
        self.faults.loses_reply_after = "spans"
        assert not self.replicas[number].send(spans)
        self.faults.loses_reply_after = ""

    @rule(number=replicas)
    def follow_up(self, number: int) -> None:
        self.replicas[number].follow_up()

    @rule(number=replicas, table=st.sampled_from(["calls", "traces"]))
    def follow_up_and_lose_the_reply(self, number: int, table: str) -> None:
        self.faults.loses_reply_after = table
        self.replicas[number].follow_up()
        self.faults.loses_reply_after = ""

    @rule(number=replicas)
    def kill(self, number: int) -> None:
        self.replicas[number] = self._new(number)

    @rule()
    def the_store_goes_or_comes_back(self) -> None:
        self.faults.down = not self.faults.down

    @rule()
    def merge(self) -> None:
        for table in ("spans", "calls", "traces"):
            self.client.command(f"OPTIMIZE TABLE {table} FINAL")

    @precondition(lambda self: self.acknowledged)
    @rule(data=st.data())
    def rate_a_trace_again(self, data: Any) -> None:
        traces = sorted({span[0] for span, _ in self.acknowledged})
        trace = data.draw(st.sampled_from(traces))
        key = pl.DataFrame({"tenant": [""], "trace_id": [f"{trace:032x}"]})
        spans = repair_queries.spans_of(self.client, key)
        Writer(self.client).write("spans", price_spans(spans, self.books[2].book))
        for end_ns, span_id in spans.select("end_unix_nano", "span_id").rows():
            contents = WORLD[trace, int(span_id, 16)]
            is_last = end_ns == max(repr_end(content) for content in contents)
            self.rated.add(((trace, int(span_id, 16)), len(contents) - 1 if is_last else 0))

    @rule(number=replicas)
    def repair(self, number: int) -> None:
        ingest = self.replicas[number].ingest
        Repair(self.client, self.books[1], Metrics(), ingest).run()

    @rule()
    def come_to_rest(self) -> None:
        self.faults.down = False
        waiting = sorted(self.sent - self.acknowledged)
        if waiting:
            assert self.replicas[0].send(waiting)
            self.acknowledged |= set(waiting)
        for replica in self.replicas:
            replica.follow_up()
        Repair(self.client, self.books[1], Metrics()).run()
        assert conversations(self.client) == oracle(self.sent, self.rated)
        before = everything(self.client)
        assert Repair(self.client, self.books[1], Metrics()).run() == 0
        assert everything(self.client) == before

    def teardown(self) -> None:
        self.come_to_rest()

    @invariant()
    def no_acknowledged_span_is_lost(self) -> None:
        rows = self.client.query("SELECT trace_id, span_id FROM spans FINAL").result_rows
        stored = {(int(trace, 16), int(span, 16)) for trace, span in rows}
        assert {span for span, _ in self.acknowledged} <= stored

    @invariant()
    def no_trace_costs_more_than_all_that_was_sent_of_it(self) -> None:
        most: dict[int, Decimal] = {}
        for span in {span for span, _ in self.sent}:
            price = PRICE_USD[2 if self.rated else 1]
            dearest = max(content.input_tokens for content in WORLD[span]) * price
            most[span[0]] = most.get(span[0], Decimal(0)) + dearest
        rows = self.client.query("SELECT trace_id, cost_usd FROM traces FINAL").result_rows
        assert all(0 <= (cost or 0) <= most[int(trace, 16)] for trace, cost in rows)

    @invariant()
    def conversations_sum_to_their_traces(self) -> None:
        ((traces, total),) = self.client.query(
            "SELECT count(), sum(cost_usd) FROM traces FINAL"
        ).result_rows
        rows = self.client.query("SELECT traces, cost_usd FROM conversations").result_rows
        assert sum(count for count, _ in rows) == traces
        assert sum(cost or 0 for _, cost in rows) == (total or 0)

    @invariant()
    def what_is_told_so_far_is_told_without_a_mistake(self) -> None:
        errors = [replica.ingest.metrics.errors.labels("so_far") for replica in self.replicas]
        assert [error._value.get() for error in errors] == [0, 0]

    @invariant()
    def no_more_spans_are_live_than_there_is_room_for(self) -> None:
        live = [len(replica.ingest.live) for replica in self.replicas]
        assert all(held <= room for held, room in zip(live, self.room, strict=True))


def repr_end(content: OtlpCall) -> int:
    return 1_793_620_800_000_000_000 + int(content.end_s * 1_000_000_000)


def test_conversations_equal_the_oracle_whatever_happens(
    client: Client, books: dict[int, Rules]
) -> None:
    run_state_machine_as_test(
        type("Machine", (Delivery,), {"client": client, "books": books}),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )


# --- one property each ---------------------------------------------------------------------------


@pytest.fixture
def deliver(client: Client, books: dict[int, Rules]) -> Any:
    """Deliver requests to replicas on an empty store, repair, and return all tables."""

    def run(*requests: list[tuple[Any, int]], replicas: int = 1) -> Any:
        empty(client)
        servers = [Replica(client, books[1], Faults(), 1_000) for _ in range(replicas)]
        for number, request in enumerate(requests):
            assert servers[number % replicas].send(request)
            servers[number % replicas].follow_up()
        Repair(client, books[1], Metrics()).run()
        return everything(client)

    return run


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000))
def test_order_splits_repeats_and_replicas_change_no_table(deliver: Any, seed: int) -> None:
    chance = random.Random(seed)
    spans = list(SENDABLE)
    once = deliver(spans)

    repeated = chance.sample(spans, len(spans)) + chance.sample(spans, 9)
    requests = [repeated[at : at + 4] for at in range(0, len(repeated), 4)]

    assert deliver(*requests, replicas=chance.choice([1, 2, 3])) == once


def test_the_latest_content_of_a_span_stands_in_any_order(deliver: Any) -> None:
    early, late = ((SPANS[1], 0), (SPANS[1], 1))

    assert deliver([early], [late]) == deliver([late], [early]) == deliver([late])


def test_a_conversation_learned_late_takes_the_whole_trace_along(
    deliver: Any, client: Client
) -> None:
    unnamed, named = [((1, 10), 0), ((1, 12), 0)], [((1, 11), 0)]
    deliver(unnamed)
    before = conversations(client)
    deliver(unnamed, named)

    assert before == {f"{1:032x}": Decimal("0.0055")}  # 1000 and 1200 tokens at $2.50 a million
    assert conversations(client) == {"chat 1": Decimal("0.00825")}  # and 1100


def test_a_tenant_sees_nothing_of_another(client: Client, books: dict[int, Rules]) -> None:
    def of_acme(*tenants: str) -> list[Any]:
        empty(client)
        ingest = Replica(client, books[1], Faults(), 1_000).ingest
        body = request_of(content for contents in WORLD.values() for content in contents)
        ingest.flush([body] * len(tenants), list(tenants))
        ingest.follow_up()
        Repair(client, books[1], Metrics()).run()
        return [[row for row in table if row[0] == "acme"] for table in everything(client)]

    assert of_acme("acme", "globex") == of_acme("acme")
