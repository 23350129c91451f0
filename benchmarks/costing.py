"""Costing after decoding: prices against genai-prices' own call, and roll up."""

from collections.abc import Callable
from typing import Any, Final

import polars as pl
from genai_prices import Usage, calc_price
from rich.table import Table

from benchmarks.chain import rules
from benchmarks.measuring import in_turns
from benchmarks.payloads import requests
from farebox_processor.otlp import decode
from farebox_processor.pipeline import roll_up_set
from farebox_processor.pricing import price_spans
from farebox_processor.usage import read_usage

__all__ = ["costing"]

_SPANS: Final = 32_768
_CALLS_ONE_BY_ONE: Final = 2_000


def costing(rounds: int) -> list[Table]:
    """Measure what is done with spans once they are columns."""
    shipped = rules()
    bodies = requests(_SPANS, spans_per_request=8_192)
    usage = read_usage(decode(bodies, [""] * len(bodies)), shipped.dialects)
    priced = price_spans(usage, shipped.book)
    calls = usage.filter("has_usage")
    timings = in_turns(
        {
            "genai_prices.calc_price, one by one": _one_by_one(calls.head(_CALLS_ONE_BY_ONE)),
            "price_spans": lambda: price_spans(calls, shipped.book),
            "roll_up": lambda: roll_up_set(priced, shipped),
        },
        rounds=rounds,
    )
    counts = (_CALLS_ONE_BY_ONE, calls.height, priced.height)
    table = Table("what", "per second", title="Costing")
    for (name, timing), count in zip(timings.items(), counts, strict=True):
        table.add_row(name, f"{timing.per_second(count):,.0f}")
    return [table]


def _one_by_one(calls: pl.DataFrame) -> Callable[[], Any]:
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
        for model, provider, fresh, cached, output in calls.select(
            "model", "provider", "input_tokens", "cache_read_tokens", "output_tokens"
        ).iter_rows()
    ]
    return lambda: [
        calc_price(usage, model, provider_id=provider) for model, provider, usage in asked
    ]
