"""What docs/delivery.md says of retiring months holds."""

import re
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.dialects import load_dialects
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store.sql_text import split_statements
from farebox_processor.store.writer import Writer
from support.otlp_spans import OtlpCall, request_of

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")
DROP_MONTHS, FORGET = (
    split_statements(block) for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
)
[EXPIRE] = re.findall(r"`(ALTER TABLE spans MODIFY TTL .*?)`", PAGE)

DAY_S = 86_400.0
NOVEMBER_S = -1.5 * DAY_S
"""Of the time of OtlpCall."""
# A million tokens are $2.50.
OLD = OtlpCall(1, 10, 1_000_000, "old", "r10", NOVEMBER_S - DAY_S, NOVEMBER_S - DAY_S + 1)
BEGAN = OtlpCall(2, 20, 2_000_000, "straddling", "r20", NOVEMBER_S - 2, NOVEMBER_S - 1)
WENT_ON = OtlpCall(2, 21, 4_000_000, None, "r21", NOVEMBER_S + 1, NOVEMBER_S + 2)
NEW = OtlpCall(3, 30, 8_000_000, "new", "r30")


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(load_dialects(), load_price_book(), load_plans())


def send(client: Client, rules: Rules, *sent: OtlpCall) -> None:
    """Deliver spans to a server that has nothing in memory, and repair."""
    ingest = Ingest(Writer(client), rules, LiveTraces(1_000), Metrics(), "none")
    ingest.flush([request_of([call]) for call in sent], [""] * len(sent))
    ingest.follow_up()
    Repair(client, rules, Metrics()).run()


def conversations(client: Client) -> list[tuple[Any, ...]]:
    asked = "SELECT conversation_id, calls, toString(cost_usd) FROM conversations ORDER BY 1"
    return client.query(asked).result_rows


def do(client: Client, statements: list[str]) -> None:
    for statement in statements:
        client.command(statement)


WHOLE = [("new", 1, "20"), ("old", 1, "2.5"), ("straddling", 2, "15")]


def test_months_of_spans_can_be_dropped_and_every_number_stays(
    client: Client, rules: Rules
) -> None:
    send(client, rules, OLD, BEGAN, WENT_ON, NEW)
    assert conversations(client) == WHOLE

    do(client, DROP_MONTHS)

    assert client.query("SELECT count() FROM spans FINAL").result_rows == [(2,)]
    send(client, rules, WENT_ON)
    assert conversations(client) == WHOLE


def test_spans_can_have_a_ttl_and_every_number_stays(client: Client, rules: Rules) -> None:
    send(client, rules, OLD, BEGAN, WENT_ON, NEW)

    # All are younger than four hundred days.
    client.command(EXPIRE.replace("INTERVAL 400 DAY", "INTERVAL 1 SECOND"))
    client.command("OPTIMIZE TABLE spans FINAL")

    assert client.query("SELECT count() FROM spans").result_rows == [(0,)]
    Repair(client, rules, Metrics()).run()
    assert conversations(client) == WHOLE


def test_whole_conversations_can_be_forgotten_after_their_spans(
    client: Client, rules: Rules
) -> None:
    send(client, rules, OLD, BEGAN, WENT_ON, NEW)

    do(client, [*DROP_MONTHS, *FORGET])

    Repair(client, rules, Metrics()).run()
    assert conversations(client) == [("new", 1, "20"), ("straddling", 2, "15")]
    counted = client.query("SELECT trace_id, count() FROM calls FINAL GROUP BY 1 ORDER BY 1")
    assert counted.result_rows == [(f"{2:032x}", 2), (f"{3:032x}", 1)]
