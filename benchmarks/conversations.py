"""Questions to the view `conversations` over many traces, and how long each takes."""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any, Final

import polars as pl
from clickhouse_connect.driver.client import Client

from benchmarks.chain import rules
from benchmarks.payloads import requests
from farebox_processor.frames import TRACES
from farebox_processor.pipeline import cost_requests, roll_up_set
from farebox_processor.store import queries
from farebox_processor.store.connect import open_client
from farebox_processor.store.loads import store_load
from farebox_processor.store.migrations import migrate
from farebox_processor.store.writer import Writer

__all__ = ["main"]

_BATCH_SPANS: Final = 131_072
_TRACES_OF_ONE: Final = 5
"""Traces of a conversation."""
_DAYS: Final = 30
_ROUNDS: Final = 3


def main(traces: int = 1_000_000) -> None:
    """Store the rows of `traces` traces over thirty days and print how long questions take."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_client(f"embedded:{folder}")) as client,
    ):
        migrate(client, "farebox")
        last = _fill(client, traces)
        day = queries.ConversationFilter(since=last - timedelta(days=1), until=last)
        one = queries.ConversationFilter(conversation_id=f"conversation {traces // 7}")
        asked: dict[str, Callable[[], Any]] = {
            "the 50 costliest": lambda: queries.conversations(client, limit=50),
            "the 50 costliest of a day": lambda: queries.conversations(client, day, limit=50),
            "one conversation": lambda: queries.conversations(client, one),
            "its calls": lambda: queries.calls_of_conversation(
                client, "", str(one.conversation_id)
            ),
            "the totals of a day by tier": lambda: queries.totals(client, "tier", day),
        }
        for what, ask in asked.items():
            print(f"{what}: {_quickest(ask) * 1000:,.0f} ms")


def _fill(client: Client, traces: int) -> Any:
    """Store rows of traces, each under other ids at another time, and return the last time."""
    shipped = rules()
    store_load(client, "plans", shipped.plans.tiers)
    bodies = requests(_BATCH_SPANS, spans_per_request=2_048)
    priced = cost_requests(bodies, [""] * len(bodies), shipped).priced
    rows = roll_up_set(priced, shipped).traces
    begin = rows["started_at"].min()
    apart_ns = timedelta(days=_DAYS) // timedelta(microseconds=1) * 1_000 // traces
    for start in range(0, traces, rows.height):
        number = pl.int_range(start, start + pl.len(), dtype=pl.Int64)
        later = pl.duration(nanoseconds=number * apart_ns)
        moved = rows.with_columns(
            trace_id=pl.format("{}{}", pl.col("trace_id").str.slice(0, 24), number + 10_000_000),
            conversation_id=pl.format("conversation {}", number // _TRACES_OF_ONE),
            conversation_id_source=pl.lit("span"),
            started_at=pl.lit(begin) + later,
            ended_at=pl.lit(begin) + later + pl.duration(seconds=5),
        )
        Writer(client).write(
            "traces", moved.select(pl.col(name).cast(kind) for name, kind in TRACES.items())
        )
    return moved["ended_at"].max()


def _quickest(ask: Callable[[], Any]) -> float:
    took = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        ask()
        took.append(time.perf_counter() - begin)
    return min(took)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
