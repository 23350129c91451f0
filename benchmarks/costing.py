"""Costing after decoding: prices against genai-prices' own call, and roll up."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import polars as pl
from genai_prices import Usage, calc_price
from rich.table import Table

from benchmarks.chain import rules
from benchmarks.measuring import in_turns
from benchmarks.payloads import calls, requests
from farebox_processor.otlp import decode
from farebox_processor.pipeline import cost_requests, cost_spans, roll_up_set
from farebox_processor.pricing import price_spans
from farebox_processor.usage import read_usage

__all__ = ["costing"]

_SPANS: Final = 32_768
_CALLS: Final = {"49,152 at once": 49_152, "131,072 at once": 131_072}
"""What a batch costs whatever its size is shared by its calls."""
_CALLS_ONE_BY_ONE: Final = 2_000
_PEER: Final = "genai_prices.calc_price, one by one"


def costing(rounds: int) -> list[Table]:
    """Measure what is done with spans once they are columns."""
    shipped = rules()
    bodies = requests(_SPANS, spans_per_request=8_192)
    priced = cost_requests(bodies, [""] * len(bodies), shipped).priced
    counts = {_PEER: _CALLS_ONE_BY_ONE, "roll_up": priced.height}
    work: dict[str, Callable[[], Any]] = {"roll_up": lambda: roll_up_set(priced, shipped)}
    for size, count in _CALLS.items():
        bodies = calls(count, spans_per_request=8_192)
        decoded = decode(bodies, [""] * len(bodies))
        usage = read_usage(decoded, shipped.dialects)
        work[f"usage and price, {size}"] = partial(cost_spans, decoded, shipped)
        work[f"price_spans, {size}"] = partial(price_spans, usage, shipped.book)
        counts |= dict.fromkeys((f"usage and price, {size}", f"price_spans, {size}"), count)
    peer = _one_by_one(usage.head(_CALLS_ONE_BY_ONE))
    timings = in_turns({_PEER: peer} | work, rounds=rounds)
    table = Table("what", "per second", "times the first", "in CPU time", title="Costing")
    one_by_one = timings[_PEER]
    for name, timing in timings.items():
        count = counts[name]
        per_second, per_cpu_second = timing.per_second(count), timing.per_cpu_second(count)
        table.add_row(
            name,
            f"{per_second:,.0f}",
            f"{per_second / one_by_one.per_second(_CALLS_ONE_BY_ONE):.0f}",
            f"{per_cpu_second / one_by_one.per_cpu_second(_CALLS_ONE_BY_ONE):.0f}",
        )
    return [table]


def _one_by_one(usage: pl.DataFrame) -> Callable[[], Any]:
    asked = [
        (
            model,
            provider,
            Usage(
                input_tokens=fresh + (cached or 0),
                cache_read_tokens=cached,
                output_tokens=output,
            ),
        )
        for model, provider, fresh, cached, output in usage.select(
            "model", "provider", "input_tokens", "cache_read_tokens", "output_tokens"
        ).iter_rows()
    ]
    return lambda: [
        calc_price(usage, model, provider_id=provider) for model, provider, usage in asked
    ]
