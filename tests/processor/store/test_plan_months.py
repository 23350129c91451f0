"""The view of what a plan earned with a tenant, month by month."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.store.writer import Writer

from .conftest import Rows


def a_trace(number: int, cost: str | None, **facts: Any) -> dict[str, Any]:
    amount = None if cost is None else Decimal(cost)
    return {
        "tenant": "club",
        "trace_id": f"{number:032x}",
        "conversation_id": f"c-{number}",
        "candidates": 1,
        "billed_calls": 1,
        "cost_usd": amount,
        "cost_statuses": ["unpriced" if cost is None else "exact"],
        **facts,
    }


def test_a_month_earns_its_fee_its_actions_and_each_conversation_above_those_included(
    client: Client, tiers: Rows, traces: Rows
) -> None:
    call = {"action": "call", "dimension": "action", "value": "call", "price_usd": Decimal(2),
            "charged": "always"}  # fmt: skip
    plans = tiers(
        {"plan": "club", "tenant": "club", "position": 0, "tier": "all", "price_usd": Decimal(9),
         "actions": [call], "flat_fee_usd": Decimal(100), "included_conversations": 2,
         "overage_price_usd": Decimal("0.25")},
    )  # fmt: skip
    december = {"started_at": datetime(2026, 12, 1, tzinfo=UTC),
                "ended_at": datetime(2026, 12, 1, tzinfo=UTC)}  # fmt: skip
    rows = traces(
        *(a_trace(number, "0.5") for number in range(1, 5)),
        a_trace(5, "3", action="call"),
        a_trace(6, None, **december),
    )
    for table, frame in (("plans", plans), ("traces", rows)):
        Writer(client).write(table, frame)

    months = pl.DataFrame(client.query_arrow("SELECT * EXCEPT (tenant) FROM plan_months"))

    said = months.with_columns(pl.col("month").cast(pl.String)).sort("month").to_dicts()
    fee = {"plan": "club", "flat_fee_usd": Decimal(100), "included_conversations": 2}
    assert said == [
        {
            **fee,
            "month": "2026-11-01",
            "conversations": 5,
            "conversations_revenue_usd": Decimal(2),
            "flat_fee_conversations": 4,
            "overage_conversations": 2,
            "overage_usd": Decimal("0.5"),
            "revenue_usd": Decimal("102.5"),
            "cost_usd": Decimal(5),
            "unpriced_conversations": 0,
            "margin_usd": Decimal("97.5"),
        },
        {
            **fee,
            "month": "2026-12-01",
            "conversations": 1,
            "conversations_revenue_usd": Decimal(0),
            "flat_fee_conversations": 1,
            "overage_conversations": 0,
            "overage_usd": Decimal(0),
            "revenue_usd": Decimal(100),
            "cost_usd": Decimal(0),
            "unpriced_conversations": 1,
            "margin_usd": Decimal(100),
        },
    ]


def test_a_plan_without_a_fee_earns_what_its_conversations_do(
    client: Client, tiers: Rows, traces: Rows
) -> None:
    Writer(client).write("plans", tiers({"position": 0, "tier": "all", "price_usd": Decimal(9)}))
    Writer(client).write("traces", traces(a_trace(1, "0.5"), a_trace(2, "0.25")))

    [month] = pl.DataFrame(client.query_arrow("SELECT * FROM plan_months")).to_dicts()

    wanted = ("plan", "revenue_usd", "overage_usd", "cost_usd", "margin_usd")
    assert [month[name] for name in wanted] == [
        "default",
        Decimal(18),
        Decimal(0),
        Decimal("0.75"),
        Decimal("17.25"),
    ]
