from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from farebox_processor.errors import RetryableStoreError
from farebox_processor.frames import PRICED_SPANS
from farebox_processor.store.writer import Writer

from .conftest import NOON, Rows


class RefusingClient:
    """A client whose ClickHouse refuses every block that holds a row to blame."""

    def __init__(self, client: Client, to_blame: str, *, code: int = 321) -> None:
        self.client = client
        self.to_blame = to_blame
        self.code = code
        self.inserts = 0

    def raw_insert(self, table: str, **insert: Any) -> None:
        self.inserts += 1
        block = pl.read_ipc_stream(insert["insert_block"])
        if table != "dead_letter" and self.to_blame in block["span_id"]:
            raise DatabaseError(f"Code: {self.code}. row to blame", code=self.code)
        self.client.raw_insert(table, **insert)


def stored(client: Client, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(sql).result_rows]


def numbered(spans: Rows, count: int) -> pl.DataFrame:
    return spans(*({"span_id": f"{number:016x}"} for number in range(count)))


def test_a_span_is_read_back_as_it_was_written(client: Client, spans: Rows) -> None:
    frame = spans(
        {
            "parent_span_id": "00f067aa0ba902b7",
            "input_tokens": 12,
            "cost_usd": Decimal("0.000000000000000001"),
            "is_error": False,
            "blind_to": ["web_search"],
            "units": [{"unit": "web_search", "quantity": Decimal("2.5")}],
            "unit_prices": [
                {"unit": "web_search", "quantity": Decimal("2.5"), "price_usd": Decimal("0.01")}
            ],
        }
    )

    Writer(client).write("spans", frame)

    read = pl.DataFrame(client.query_arrow("SELECT * FROM spans"))
    assert read.select(list(PRICED_SPANS)).to_dicts() == frame.to_dicts()


def test_evidence_keeps_its_attributes_events_and_links(client: Client, evidence: Rows) -> None:
    frame = evidence(
        {
            "SpanAttributes": [{"key": "gen_ai.request.model", "value": "gpt-4o"}],
            "Events.Timestamp": [NOON],
            "Events.Name": ["exception"],
            "Events.Attributes": [[{"key": "exception.type", "value": "Timeout"}]],
        }
    )

    Writer(client).write("otel_traces", frame)

    assert stored(
        client, "SELECT SpanAttributes, Events.Name, Events.Attributes FROM otel_traces"
    ) == [
        (
            {"gen_ai.request.model": "gpt-4o"},
            ["exception"],
            [{"exception.type": "Timeout"}],
        )
    ]


def test_writing_a_frame_twice_changes_nothing(client: Client, spans: Rows) -> None:
    frame = numbered(spans, 3)

    Writer(client).write("spans", frame)
    Writer(client).write("spans", frame)
    Writer(client).write("spans", frame.reverse())

    assert stored(client, "SELECT count() FROM spans FINAL") == [(3,)]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_of_several_contents_of_a_span_the_same_one_stands_in_any_order(
    client: Client, spans: Rows, order: list[int]
) -> None:
    contents = spans(
        {"span_name": "first"},
        {"span_name": "greater hash", "content_hash": 2**63},
        {"span_name": "ends later", "end_unix_nano": 1_793_620_800_000_000_001},
        {"span_name": "rated later", "rating_revision": 2, "end_unix_nano": 0},
    )
    seen = []

    for position in order:
        Writer(client).write("spans", contents[position])
        seen.append(stored(client, "SELECT span_name FROM spans FINAL")[0][0])

    strongest = ["first", "greater hash", "ends later", "rated later"]
    assert seen == [strongest[max(order[: done + 1])] for done in range(4)]


def test_two_contents_in_two_months_are_still_one_span(client: Client, spans: Rows) -> None:
    earlier = NOON - timedelta(days=40)

    Writer(client).write("spans", spans({"content_hash": 9}, {"started_at": earlier}))

    assert stored(client, "SELECT started_at FROM spans FINAL") == [(NOON.replace(tzinfo=None),)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_fullest_trace_of_the_fullest_set_stands_in_any_order(
    client: Client, traces: Rows, order: list[int]
) -> None:
    rows = traces(
        {"conversation_id": "of one span", "own_version": 1, "set_version": 12},
        {"conversation_id": "of nine spans", "own_version": 9},
        {"conversation_id": "of nine spans in a greater set", "own_version": 9, "set_version": 11},
    )

    for position in order:
        Writer(client).write("traces", rows[position])

    fullest = [("of nine spans in a greater set",)]
    assert stored(client, "SELECT conversation_id FROM traces FINAL") == fullest


def test_no_insert_touches_more_than_90_partitions(client: Client, evidence: Rows) -> None:
    class CountingDays:
        days: ClassVar[list[int]] = []

        def raw_insert(self, table: str, **insert: Any) -> None:
            block = pl.read_ipc_stream(insert["insert_block"])
            self.days.append(block["Timestamp"].dt.date().n_unique())
            client.raw_insert(table, **insert)

    two_a_day = evidence(
        *({"Timestamp": NOON - timedelta(hours=12 * n), "SpanId": f"{n:016x}"} for n in range(400))
    )

    written = Writer(CountingDays()).write("otel_traces", two_a_day)  # type: ignore[arg-type]

    assert sorted(CountingDays.days) == [20, 90, 90]
    assert (written.stored.height, written.rejected.height) == (400, 0)
    assert stored(client, "SELECT count() FROM otel_traces") == [(400,)]


def test_spans_of_many_years_are_stored(client: Client, spans: Rows) -> None:
    frame = spans(
        *({"started_at": NOON - timedelta(days=31 * n), "span_id": f"{n:016x}"} for n in range(120))
    )

    Writer(client).write("spans", frame)

    assert stored(client, "SELECT count() FROM spans") == [(120,)]


def test_a_row_to_blame_is_set_aside_and_the_others_are_stored(client: Client, spans: Rows) -> None:
    to_blame = f"{700:016x}"
    refusing = RefusingClient(client, to_blame)

    written = Writer(refusing).write("spans", numbered(spans, 1000))  # type: ignore[arg-type]

    assert written.stored.height == 999
    assert written.rejected["span_id"].to_list() == [to_blame]
    assert written.rejected["detail"].to_list() == [
        "ClickHouse refuses the block (code 321): Code: 321. row to blame"
    ]
    assert stored(client, "SELECT count() FROM spans") == [(999,)]
    assert stored(
        client, "SELECT tenant, reason, refused_by, trace_id, span_id FROM dead_letter"
    ) == [("acme", "refused_by_store", "spans", "0af7651916cd43dd8448eb211c80319c", to_blame)]
    # Twice log2(1000), the first try, and the dead letter.
    assert refusing.inserts <= 22


def test_a_dead_letter_of_evidence_holds_no_attributes(client: Client, evidence: Rows) -> None:
    class RefusingEvidence(RefusingClient):
        def raw_insert(self, table: str, **insert: Any) -> None:
            if table == "otel_traces":
                raise DatabaseError("Code: 131", code=131)
            self.client.raw_insert(table, **insert)

    secret = [{"key": "gen_ai.input.messages", "value": "my secret"}]
    frame = evidence({"SpanAttributes": secret, "StatusMessage": "my secret"})

    Writer(RefusingEvidence(client, "")).write("otel_traces", frame)  # type: ignore[arg-type]

    ((sample, trace_id),) = stored(client, "SELECT sample, trace_id FROM dead_letter")
    assert trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert '"ServiceName":"assistant"' in sample
    assert "secret" not in sample


def test_a_busy_clickhouse_keeps_the_rows_with_the_sender(client: Client, spans: Rows) -> None:
    busy = RefusingClient(client, f"{0:016x}", code=241)

    with pytest.raises(RetryableStoreError, match="does not take the block now"):
        Writer(busy).write("spans", numbered(spans, 4))  # type: ignore[arg-type]

    assert stored(client, "SELECT count() FROM dead_letter") == [(0,)]


def test_a_missing_table_is_not_the_fault_of_the_rows(client: Client, spans: Rows) -> None:
    client.command("DROP TABLE spans SYNC")

    with pytest.raises(RetryableStoreError, match="code 60"):
        Writer(client).write("spans", spans())


def test_an_empty_frame_writes_nothing(client: Client, spans: Rows) -> None:
    written = Writer(client).write("spans", spans().clear())

    assert (written.stored.height, written.rejected.height) == (0, 0)


def test_the_time_range_of_a_trace_is_the_same_after_a_repeat(
    client: Client, evidence: Rows
) -> None:
    later = NOON + timedelta(minutes=5)
    frame = evidence({}, {"SpanId": "00f067aa0ba902b7", "Timestamp": later})

    Writer(client).write("otel_traces", frame)
    Writer(client).write("otel_traces", frame[:1])

    ranges = "SELECT TraceId, min(Start), max(End) FROM otel_traces_trace_id_ts GROUP BY TraceId"
    assert stored(client, ranges) == [
        (
            "0af7651916cd43dd8448eb211c80319c",
            NOON.replace(tzinfo=None),
            later.replace(tzinfo=None),
        )
    ]


def test_the_oddest_times_are_stored_as_they_are(
    client: Client, spans: Rows, evidence: Rows
) -> None:
    odd = [
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
        datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC),
    ]

    ids = [f"{number:032x}" for number in range(len(odd))]
    rows = list(zip(odd, ids, strict=True))
    Writer(client).write("spans", spans(*({"started_at": at, "trace_id": i} for at, i in rows)))
    Writer(client).write(
        "otel_traces", evidence(*({"Timestamp": at, "TraceId": i} for at, i in rows))
    )

    read = client.query_arrow("SELECT started_at FROM spans FINAL ORDER BY started_at")
    shown = client.query_arrow("SELECT Timestamp FROM otel_traces ORDER BY Timestamp")
    assert pl.DataFrame(read)["started_at"].to_list() == odd
    assert pl.DataFrame(shown)["Timestamp"].to_list() == odd
    ranges = "SELECT count() FROM otel_traces_trace_id_ts WHERE Start = End"
    assert stored(client, ranges) == [(len(odd),)]
