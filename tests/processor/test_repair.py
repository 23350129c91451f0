"""What repair finds, mends and leaves alone; the spans are the truth it goes by."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zlib import crc32

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.dialects import load_dialects
from farebox_processor.frames import DIMENSIONS
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules, roll_up_set
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.rollup.kin import MOST_TRACES
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store import repair_queries
from farebox_processor.store.writer import Writer
from support.rows import priced_spans

FRAMEWORK = "langchain"
DRAWN = "chatcmpl-BxK2mT9vQ4wZ7pR1sN8"
"""An id as providers draw them: it is one call at any time."""


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())


@pytest.fixture
def repair(client: Client, rules: Rules) -> Repair:
    return Repair(client, rules, Metrics())


@pytest.fixture
def store(client: Client) -> Callable[..., None]:
    """Store spans, as rows are that came in."""

    def write(*spans: dict[str, Any]) -> None:
        Writer(client).write("spans", with_nothing_null(priced_spans(*spans)))

    return write


@pytest.fixture
def roll_up_alone(client: Client, rules: Rules) -> Callable[..., None]:
    """Store the rows of some spans, as a replica does that saw only those."""

    def write(*spans: dict[str, Any]) -> None:
        rolled_up = roll_up_set(with_nothing_null(priced_spans(*spans)), rules)
        Writer(client).write("calls", rolled_up.calls)
        Writer(client).write("traces", rolled_up.traces)

    return write


def with_nothing_null(spans: pl.DataFrame) -> pl.DataFrame:
    return spans.with_columns(
        pl.col("start_unix_nano", "duration_ns", "invalid_usage").fill_null(0),
    )


def traces(client: Client) -> list[tuple[Any, ...]]:
    return client.query(
        "SELECT trace_id, conversation_id, spans, billed_calls, cost_usd"
        " FROM traces FINAL ORDER BY trace_id"
    ).result_rows


def rows(client: Client, table: str) -> list[tuple[Any, ...]]:
    said = f"SELECT * EXCEPT stored_at FROM {table} FINAL ORDER BY ALL"  # noqa: S608
    return client.query(said).result_rows


def call(trace: str, span: str, cost: str = "1", **columns: Any) -> dict[str, Any]:
    content_hash = crc32(f"{trace} {span}".encode()) << 32
    told = {"trace_id": trace, "span_id": span, "cost": cost, "content_hash": content_hash}
    return told | columns


def test_a_trace_without_a_row_gets_one(client, repair, store) -> None:
    store(call("a", "1", "0.5", conversation_id="c"), call("a", "2", "0.25", start=2))

    assert repair.run() == 3  # two calls and a trace

    assert traces(client) == [("a", "c", 2, 2, Decimal("0.75"))]


def test_a_trace_without_a_row_is_found_whatever_joins_give_by_default(
    client, repair, store
) -> None:
    store(call("a", "1"))
    client.set_client_setting("join_use_nulls", 1)

    assert repair.run() == 2


def test_what_is_repaired_is_left_alone(client, repair, store, rules) -> None:
    store(
        call("a", "1", response_id="r"),
        call("b", "1", response_id="r"),
        call("c", "1"),
        {"trace_id": "d", "span_id": "1"},
    )
    repair.run()
    before = rows(client, "traces"), rows(client, "calls")

    assert (repair.run(), Repair(client, rules, Metrics()).run()) == (0, 0)
    assert (rows(client, "traces"), rows(client, "calls")) == before


def test_traces_are_read_back_in_the_order_of_the_tables(
    client, repair, store, monkeypatch
) -> None:
    """A page of traces then lies in one place; in any other order each page reads the table."""
    monkeypatch.setattr("farebox_processor.server.repair._PAGE_TRACES", 8)
    store(*(call(f"{number:032x}", "1") for number in range(64)))
    read_back = []

    def noted(asked, of):
        read_back.extend(of["trace_id"])
        return spans_of(asked, of)

    spans_of = repair_queries.spans_of
    monkeypatch.setattr(repair_queries, "spans_of", noted)
    repair.run()

    assert read_back == [f"{number:032x}" for number in range(64)]


def test_configured_dimensions_are_repaired_as_they_were_rolled_up_in_memory(
    client, repair, store, roll_up_alone
) -> None:
    spans = [
        {"trace_id": "a", "span_id": "0", "dimensions": {"campaign": "spring", "region": "eu"}},
        call("a", "1", parent="0", dimensions={"region": "us"}),
        call("b", "1"),
    ]
    roll_up_alone(*spans)
    in_memory = rows(client, "traces"), rows(client, "calls")
    for table in ("traces", "calls"):
        client.command(f"TRUNCATE TABLE {table}")
    store(*spans)

    assert repair.run() == 4

    assert (rows(client, "traces"), rows(client, "calls")) == in_memory
    told = "SELECT trace_id, span_id, dimensions FROM calls ORDER BY ALL"
    assert client.query(told).result_rows == [
        ("a", "1", {"campaign": "spring", "region": "us"}),
        ("b", "1", {}),
    ]


def test_what_was_rolled_up_in_memory_is_left_alone(repair, store, roll_up_alone) -> None:
    spans = [
        call("a", "1", response_id="r", start=0, end=9),
        call("b", "1", response_id="r"),
        call("c", "1", scope_name=FRAMEWORK, start=0, end=3),
        call("d", "1", start=1, end=2),
    ]
    store(*spans)
    roll_up_alone(*spans)

    assert repair.run() == 0


def test_a_late_span_is_added_to_its_trace(client, repair, store, roll_up_alone) -> None:
    store(call("a", "1"))
    roll_up_alone(call("a", "1"))
    store(call("a", "2", "2", conversation_id="late", start=5))

    repair.run()

    assert traces(client) == [("a", "late", 2, 2, Decimal(3))]


def test_another_content_of_a_span_counts_by_its_version(
    client, repair, store, roll_up_alone
) -> None:
    early, late = call("a", "1", "5", end_unix_nano=10), call("a", "1", "3", end_unix_nano=20)
    store(late)
    store(early)
    roll_up_alone(early)

    repair.run()

    assert traces(client) == [("a", "a", 1, 1, Decimal(3))]
    assert repair.run() == 0


def test_a_rating_with_a_later_revision_counts(client, repair, store, roll_up_alone) -> None:
    store(call("a", "1", "5"), call("a", "2", "5", start=5))
    roll_up_alone(call("a", "1", "5"), call("a", "2", "5", start=5))
    store(call("a", "1", "4", rating_revision=2))

    repair.run()

    assert traces(client) == [("a", "a", 2, 2, Decimal(9))]


def test_two_halves_of_a_trace_on_two_replicas_become_one(
    client, repair, store, roll_up_alone
) -> None:
    one, other = call("a", "1"), call("a", "2", "2", start=5)
    for half in (one, other):
        store(half)
        roll_up_alone(half)

    repair.run()

    assert traces(client) == [("a", "a", 2, 2, Decimal(3))]


@pytest.mark.parametrize(
    "tie",
    [
        {"response_id": DRAWN},
        {"end": 9, "scope_name": FRAMEWORK},
    ],
    ids=["one response id", "equal calls nested in time"],
)
def test_a_call_that_two_traces_of_two_replicas_share_is_billed_once(
    client, repair, store, roll_up_alone, tie
) -> None:
    one = call("a", "1", conversation_id="c", start=0, **tie)
    other = call("b", "1", start=2, **({"response_id": DRAWN} if "response_id" in tie else {}))
    for half in (one, other):
        store(half)
        roll_up_alone(half)

    repair.run()

    assert [(row[0], row[1]) for row in traces(client)] == [("a", "c"), ("b", "c")]
    assert sum(row[3] for row in traces(client)) == 1
    assert repair.run() == 0


def test_ties_are_followed_to_traces_that_were_stored_long_ago(
    client, repair, store, roll_up_alone
) -> None:
    chain = [
        call("a", "1", response_id="r"),
        call("b", "1", response_id="r"),
        call("b", "2", response_id=DRAWN, start=5),
        call("c", "1", response_id=DRAWN, start=5),
    ]
    store(*chain)
    repair.run()
    client.command("ALTER TABLE spans UPDATE stored_at = 0 WHERE 1 SETTINGS mutations_sync = 1")
    store(call("d", "1", response_id=DRAWN, conversation_id="of all", start=9))

    Repair(client, repair.rules, Metrics()).run()

    assert [row[:2] for row in traces(client)] == [(name, "of all") for name in "abcd"]
    assert sum(row[3] for row in traces(client)) == 2


def shown_by_all(traces: int) -> list[dict[str, Any]]:
    return [call(f"t{n}", "1", response_id="one-for-all") for n in range(traces)]


def test_replicas_that_found_no_id_worn_are_mended_to_what_all_spans_come_to(
    client, repair, store, roll_up_alone, rules
) -> None:
    spans = shown_by_all(MOST_TRACES + 1)
    store(*spans)
    roll_up_alone(*spans[:100])
    roll_up_alone(*spans[100:])

    repair.run()

    mended = rows(client, "traces"), rows(client, "calls")
    for table in ("traces", "calls"):
        client.command(f"TRUNCATE TABLE {table}")
    roll_up_alone(*spans)
    assert mended == (rows(client, "traces"), rows(client, "calls"))
    assert sum(row[3] for row in traces(client)) == MOST_TRACES + 1


def test_an_id_that_is_worn_by_one_more_trace_lets_go_of_those_of_long_ago(
    client, repair, store
) -> None:
    *early, last = shown_by_all(MOST_TRACES + 1)
    store(*early)
    repair.run()
    assert sum(row[3] for row in traces(client)) == 1
    client.command("ALTER TABLE spans UPDATE stored_at = 0 WHERE 1 SETTINGS mutations_sync = 1")
    store(last)

    Repair(client, repair.rules, Metrics()).run()

    assert [row[3] for row in traces(client)] == [1] * (MOST_TRACES + 1)
    assert Repair(client, repair.rules, Metrics()).run() == 0


def test_a_trace_that_shows_a_worn_id_is_read_back_alone(client, repair, store) -> None:
    store(*shown_by_all(MOST_TRACES + 1))
    repair.run()
    client.command("ALTER TABLE spans UPDATE stored_at = 0 WHERE 1 SETTINGS mutations_sync = 1")
    store(call("late", "1", response_id="one-for-all"))

    assert Repair(client, repair.rules, Metrics()).run() == 2  # a call and a trace


def test_a_row_of_a_call_that_is_none_any_more_is_taken_out(
    client, repair, store, roll_up_alone
) -> None:
    store(call("a", "1"), call("a", "2", start=5))
    roll_up_alone(call("a", "1"), call("a", "2", start=5))
    store({"trace_id": "a", "span_id": "2", "end_unix_nano": 99, "start": 5})

    repair.run()

    assert client.query("SELECT span_id FROM calls FINAL").result_rows == [("1",)]
    assert repair.run() == 0


def test_a_set_that_came_apart_is_two_again(client, repair, store, roll_up_alone) -> None:
    one, other = call("a", "1", response_id="r"), call("b", "1", response_id="r")
    store(one, other)
    roll_up_alone(one, other)
    store({**one, "response_id": "s", "end_unix_nano": 99})

    repair.run()

    assert [row[3:] for row in traces(client)] == [(1, Decimal(1)), (1, Decimal(1))]
    assert repair.run() == 0


def test_a_block_that_was_stored_before_can_be_stored_again(
    client, repair, store, roll_up_alone
) -> None:
    store(call("a", "1"))
    repair.run()
    before = rows(client, "traces")
    client.command("DELETE FROM traces WHERE 1")

    assert repair.run() == 1

    assert rows(client, "traces") == before


def test_calls_whose_trace_was_not_written_any_more_are_completed(
    client, repair, store, rules
) -> None:
    store(call("a", "1"))
    rolled_up = roll_up_set(with_nothing_null(priced_spans(call("a", "1"))), rules)
    Writer(client).write("calls", rolled_up.calls)

    assert repair.run() == 1


def test_what_was_stored_just_now_is_left_to_who_stored_it(client, rules, store) -> None:
    store(call("a", "1"))

    assert Repair(client, rules, Metrics(), settled_s=60).run() == 0


def test_a_set_that_breaks_the_roll_up_keeps_its_rows_and_holds_up_no_other(
    client, repair, store, roll_up_alone, roll_up_fails_for
) -> None:
    bad = [call("b", "1", response_id="r"), call("c", "1", response_id="r")]
    store(call("a", "1"), bad[0], call("d", "1"))
    roll_up_alone(bad[0])
    store(bad[1])
    roll_up_fails_for("c")

    assert repair.run() == 4  # a call and a trace each

    assert [row[0] for row in traces(client)] == ["a", "b", "d"]
    assert repair.metrics.errors.labels("roll_up")._value.get() == 1


def test_a_set_that_broke_the_roll_up_is_repaired_after_the_mistake_is_gone(
    client, repair, store, rules, roll_up_fails_for
) -> None:
    store(call("a", "1"), call("b", "1"))
    roll_up_fails_for("b")
    repair.run()
    roll_up_fails_for()

    Repair(client, rules, Metrics()).run()

    assert [row[0] for row in traces(client)] == ["a", "b"]


def test_a_set_that_breaks_the_roll_up_is_not_looked_at_for_ever(
    client, repair, store, roll_up_fails_for
) -> None:
    store(call("b", "1"))
    client.command(
        "ALTER TABLE spans UPDATE stored_at = stored_at - 3600 WHERE 1 SETTINGS mutations_sync = 1"
    )
    roll_up_fails_for("b")
    repair.run()
    store(call("a", "1"))
    repair.run()

    repair.run()

    assert repair.metrics.errors.labels("roll_up")._value.get() == 2


def test_what_is_read_back_makes_a_live_trace_whole(client, rules, store) -> None:
    live = LiveTraces(1_000)
    ingest = Ingest(Writer(client), rules, live, Metrics(), "none")
    store(call("a", "1"), call("a", "2"))
    live.add(with_nothing_null(priced_spans(call("a", "2"))))

    Repair(client, rules, Metrics(), ingest).run()
    ingest.follow_up()

    assert len(live) == 2


def test_a_repair_that_was_stopped_goes_on_at_the_next_run(client, repair, store, rules) -> None:
    store(call("a", "1"))
    repair.stop()
    assert repair.run() == 0

    assert Repair(client, rules, Metrics()).run() == 2


def test_the_store_finds_the_ties_that_the_roll_up_finds(client, store) -> None:
    spans = [
        call("a", "1", start=0, end=9, scope_name=FRAMEWORK, **{name: "x" for name in DIMENSIONS}),
        call("b", "1", start=1, end=2, **{name: "x" for name in DIMENSIONS}),
        call("c", "1", start=1, end=2, output_tokens=7, scope_name=FRAMEWORK),
        call("d", "1", start=1, end=2, output_tokens=None, input_tokens=None),
        call("e", "1", start=20, end=21, response_id="r"),
        call("f", "1", start=40, end=41, response_id="r", tenant="other"),
        call("g", "1", start=60, end=61, response_id="r", call_kind="agent"),
    ]
    store(*spans)
    everything = pl.DataFrame(
        [(one.get("tenant", ""), one["trace_id"]) for one in spans],
        schema=["tenant", "trace_id"],
        orient="row",
    )

    tied = repair_queries.ties_of(client, everything)

    assert set(tied["trace_id"]) == {"a", "b"}


def test_the_spans_of_traces_come_back_as_they_were_written(client, store) -> None:
    store(call("a", "1"), call("b", "1", tenant="acme"), call("b", "1"))
    asked = pl.DataFrame({"tenant": ["", "acme"], "trace_id": ["a", "b"]})

    read = repair_queries.spans_of(client, asked)

    written = with_nothing_null(priced_spans(call("a", "1"), call("b", "1", tenant="acme")))
    assert read.sort("trace_id").to_dicts() == written.to_dicts()


def test_contents_of_a_span_in_two_months_are_one_whatever_the_profile_of_the_user(
    client, store
) -> None:
    a_month = 31 * 86_400
    store(call("a", "1", "5", end_unix_nano=10))
    store(call("a", "1", "3", end_unix_nano=20, start=a_month, end=a_month + 1))
    client.set_client_setting("do_not_merge_across_partitions_select_final", 1)

    read = repair_queries.spans_of(client, pl.DataFrame({"tenant": [""], "trace_id": ["a"]}))

    assert read["cost_usd"].to_list() == [Decimal(3)]


A_MONTH = 31 * 86_400


def test_what_is_left_of_a_trace_does_not_take_the_place_of_the_whole(
    client, repair, store, rules
) -> None:
    store(call("a", "1", "2", start=-A_MONTH), call("a", "2", "1"))
    repair.run()
    client.command("ALTER TABLE spans DROP PARTITION 202610")
    store(call("a", "2", "5", rating_revision=2), call("b", "1"))

    assert Repair(client, rules, Metrics()).run() == 2  # the call and the trace that are new

    assert traces(client) == [("a", "a", 2, 2, Decimal(3)), ("b", "b", 1, 1, Decimal(1))]


def test_a_trace_keeps_its_conversation_when_only_a_span_that_is_no_call_was_retired(
    client, repair, store, rules
) -> None:
    root = {"trace_id": "a", "span_id": "0", "conversation_id": "c", "start": -A_MONTH}
    store(root, call("a", "1", parent="0"))
    repair.run()
    client.command("ALTER TABLE spans DROP PARTITION 202610")
    store(call("a", "1", "5", parent="0", rating_revision=2))

    assert Repair(client, rules, Metrics()).run() == 0

    assert traces(client) == [("a", "c", 2, 1, Decimal(1))]


def test_a_call_whose_better_record_was_retired_is_not_billed_beside_it(
    client, repair, store, rules
) -> None:
    better = call("a", "1", response_id=DRAWN, start=-A_MONTH, conversation_id="c")
    store(better, call("b", "1", response_id=DRAWN, start=0, end=1, cost_status="estimated"))
    repair.run()
    before = traces(client)
    client.command("ALTER TABLE spans DROP PARTITION 202610")
    again = {"response_id": DRAWN, "start": 0, "end": 1, "cost_status": "estimated"}
    store(call("b", "1", rating_revision=2, **again))

    assert Repair(client, rules, Metrics()).run() == 0

    assert traces(client) == before
    assert [row[3] for row in before] == [1, 0]


def test_traces_that_are_rolled_up_with_one_that_was_retired_in_part_stay_as_they_are(
    client, repair, store, rules
) -> None:
    parts = [call("a", "1", start=-A_MONTH), call("a", "2", response_id=DRAWN)]
    store(*parts, call("b", "1", response_id=DRAWN))
    repair.run()
    before = rows(client, "traces"), rows(client, "calls")
    client.command("ALTER TABLE spans DROP PARTITION 202610")
    store(call("b", "1", response_id=DRAWN, rating_revision=2))

    assert Repair(client, rules, Metrics()).run() == 0

    assert (rows(client, "traces"), rows(client, "calls")) == before


def test_a_trace_whose_tie_was_retired_stays_as_it_is_though_the_other_goes_on(
    client, repair, store, rules
) -> None:
    tie, more = call("a", "1", response_id=DRAWN, start=-A_MONTH), call("a", "2")
    store(tie, more, call("b", "1", "4", response_id=DRAWN))
    repair.run()
    before = traces(client)
    client.command("ALTER TABLE spans DROP PARTITION 202610")
    store(call("b", "1", "4", response_id=DRAWN, rating_revision=2))

    assert Repair(client, rules, Metrics()).run() == 0

    assert traces(client) == before


def test_what_was_wrong_for_long_does_not_wait_for_what_is_written_just_now(
    client, repair, store, roll_up_alone, monkeypatch
) -> None:
    store(call("a", "1"), {"trace_id": "a", "span_id": "2", "end_unix_nano": 99, "start": 5})
    roll_up_alone(call("a", "1"), call("a", "2", start=5))
    store(call("b", "1", response_id="r"))
    client.command(
        "ALTER TABLE spans UPDATE stored_at = stored_at - 3600 WHERE 1 SETTINGS mutations_sync = 1"
    )

    def meanwhile(asked, of):
        read = spans_of(asked, of)
        monkeypatch.setattr(repair_queries, "spans_of", spans_of)
        store(call("c", "1", response_id="r"))
        return read

    spans_of = repair_queries.spans_of
    monkeypatch.setattr(repair_queries, "spans_of", meanwhile)
    repair.run()

    assert client.query("SELECT span_id FROM calls FINAL WHERE trace_id = 'a'").result_rows == [
        ("1",)
    ]
    assert sum(row[3] for row in traces(client)) == 2
