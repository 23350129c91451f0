"""The chain against the bare parse of the same bytes, and small requests against large ones."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.table import Table

from benchmarks.measuring import Timing, in_turns
from benchmarks.payloads import requests
from farebox_processor.dialects import load_dialects
from farebox_processor.otlp import decode
from farebox_processor.pipeline import Rules, cost_requests, roll_up_set
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book

__all__ = ["chain", "rules"]

_SPANS: Final = 16_384
_REQUEST_SIZES: Final = (64, 512, 8_192)


def rules() -> Rules:
    """Return the rules that are shipped."""
    return Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())


def chain(rounds: int) -> list[Table]:
    """Measure one micro-batch of the same number of spans, in requests of three sizes."""
    table = Table("spans a request", "what", "times bare parse", "in CPU time", "spans/s")
    shipped = rules()
    whole: dict[int, Timing] = {}
    for size in _REQUEST_SIZES:
        timings = in_turns(
            _stages(requests(_SPANS, spans_per_request=size), shipped), rounds=rounds
        )
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
        whole[size] = timings["decode, usage, price, roll up"]
    table.title = f"One micro-batch of {_SPANS:,} spans"
    table.caption = "512 against 8 192 spans a request: " + f"{whole[512].times(whole[8_192]):.2f}"
    return [table]


def _stages(bodies: Sequence[bytes], shipped: Rules) -> dict:
    tenants = [""] * len(bodies)
    return {
        "bare parse": lambda: [ExportTraceServiceRequest.FromString(body) for body in bodies],
        "decode": lambda: decode(bodies, tenants),
        "decode, usage, price": lambda: cost_requests(bodies, tenants, shipped),
        "decode, usage, price, roll up": lambda: roll_up_set(
            cost_requests(bodies, tenants, shipped).priced, shipped
        ),
    }
