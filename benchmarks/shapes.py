"""One conversation of many spans, one trace of many: what a span costs against a tenth of them."""

import sys
import time
from typing import Final

import polars as pl

from benchmarks.chain import rules
from benchmarks.payloads import requests
from farebox_processor.frames import PRICED_SPANS
from farebox_processor.pipeline import Rules, conversations_of, cost_requests, roll_up_set

__all__ = ["main"]

_BATCH_SPANS: Final = 16_384
_SPANS_OF_A_TRACE: Final = 50_000
_ROUNDS: Final = 3


def main(spans: int = 1_000_000) -> None:
    """Roll up a conversation of `spans` spans and a trace of 50 000; print time and ratios."""
    shipped = rules()
    for what, shape, count in (
        ("one conversation of traces of 8", _one_conversation, spans),
        ("one trace, flat", _flat_trace, _SPANS_OF_A_TRACE),
        ("one trace, a chain", _chain, _SPANS_OF_A_TRACE),
    ):
        all_of_it = shape(_priced(count, shipped))
        tenth = shape(_priced(count // 10, shipped))
        seconds, seconds_of_tenth = _seconds(all_of_it, shipped), _seconds(tenth, shipped)
        ratio = (seconds / all_of_it.height) / (seconds_of_tenth / tenth.height)
        print(
            f"{what}, {all_of_it.height:,} spans: {seconds:,.2f} s;"
            f" a span takes {ratio:.2f} times what one of a tenth does"
        )


def _priced(spans: int, shipped: Rules) -> pl.DataFrame:
    bodies = requests(_BATCH_SPANS, spans_per_request=2_048)
    priced = cost_requests(bodies, [""] * len(bodies), shipped).priced.select(*PRICED_SPANS)
    copies = [
        priced.with_columns(
            trace_id=pl.format("{}{}", pl.col("trace_id").str.slice(0, 24), 10_000_000 + copy),
            response_id=pl.format("{}-{}", "response_id", pl.lit(copy)),
        )
        for copy in range(-(-spans // priced.height))
    ]
    return pl.concat(copies).head(spans)


def _one_conversation(priced: pl.DataFrame) -> pl.DataFrame:
    return priced.with_columns(conversation_id=pl.lit("one"))


def _flat_trace(priced: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len()).cast(pl.String)
    return priced.with_columns(
        trace_id=pl.lit("one"), span_id=number, parent_span_id=pl.lit(None, pl.String)
    )


def _chain(priced: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len())
    above = pl.when(number > 0).then(number - 1).cast(pl.String)
    return _flat_trace(priced).with_columns(parent_span_id=above)


def _seconds(priced: pl.DataFrame, shipped: Rules) -> float:
    took = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        conversations_of(roll_up_set(priced, shipped), shipped)
        took.append(time.perf_counter() - begin)
    return min(took)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
