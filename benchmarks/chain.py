"""The chain against the bare parse of the same bytes, and small requests against large ones."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.table import Table

from benchmarks.measuring import Timing, in_turns
from benchmarks.payloads import requests
from benchmarks.sink import DATABASE, running_sink
from farebox_processor.dialects import load_dialects
from farebox_processor.live_traces import LiveTraces
from farebox_processor.otlp import decode
from farebox_processor.pipeline import Rules, cost_requests, roll_up_set
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.store.connect import open_client
from farebox_processor.store.writer import Writer

__all__ = ["chain", "rules"]

_SPANS: Final = 49_152
"""About 32 MiB: as much as one flush takes by default."""
_REQUEST_SIZES: Final = (64, 512, 8_192)
_CHAIN: Final = "decode, usage, price, roll up"


def rules() -> Rules:
    """Return the rules that are shipped."""
    return Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())


def chain(rounds: int) -> list[Table]:
    """Measure one micro-batch of the same number of spans, in requests of three sizes."""
    table = Table("spans a request", "what", "times bare parse", "in CPU time", "spans/s")
    shipped = rules()
    whole: dict[int, Timing] = {}
    with running_sink() as sink, closing(open_client(sink.dsn, database=DATABASE)) as client:
        writer = Writer(client)
        for size in _REQUEST_SIZES:
            bodies = requests(_SPANS, spans_per_request=size)
            timings = in_turns(_stages(bodies, shipped, writer), rounds=rounds)
            _add_rows(table, size, timings)
            whole[size] = timings[_CHAIN]
    table.title = f"One micro-batch of {_SPANS:,} spans"
    table.caption = (
        "the chain, a span in requests of 512 against one in requests of 8 192: "
        f"{whole[512].times(whole[8_192]):.2f}"
    )
    return [table]


def _add_rows(table: Table, size: int, timings: Mapping[str, Timing]) -> None:
    bare = timings["bare parse"]
    for name, timing in timings.items():
        table.add_row(
            f"{size:,}",
            name,
            f"{timing.times(bare):.2f}",
            f"{timing.cpu_times(bare):.2f}",
            f"{timing.per_second(_SPANS):,.0f}",
        )
    table.add_section()


def _stages(
    bodies: Sequence[bytes], shipped: Rules, writer: Writer
) -> dict[str, Callable[[], Any]]:
    tenants = [""] * len(bodies)

    def flush() -> None:
        live = LiveTraces(max_spans=2 * _SPANS)
        ingest = Ingest(writer, shipped, live, Metrics(), evidence="genai")
        ingest.flush(bodies, tenants)
        ingest.follow_up()

    return {
        "bare parse": lambda: [ExportTraceServiceRequest.FromString(body) for body in bodies],
        "decode": lambda: decode(bodies, tenants),
        "decode, usage, price": lambda: cost_requests(bodies, tenants, shipped),
        _CHAIN: lambda: roll_up_set(cost_requests(bodies, tenants, shipped).priced, shipped),
        "whole flush, into a sink": flush,
    }
