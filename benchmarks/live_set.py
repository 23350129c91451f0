"""The set of live traces: how many bytes a span takes, and how long the next spans take to add."""

import gc
import os
import sys
import time
from typing import Final

import psutil

from benchmarks.chain import rules
from benchmarks.payloads import requests
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules, cost_requests

__all__ = ["main"]

_REQUEST_SPANS: Final = 1_024
_BATCH_SPANS: Final = 16_384


def main(spans: int = 1_000_000) -> None:
    """Fill a live set with `spans` spans and print what they take."""
    shipped = rules()
    live = LiveTraces(max_spans=2 * spans)
    _add(live, shipped, seed=0)  # what the first batch brings into memory is no span's
    before = _resident()
    added_s = 0.0
    for seed in range(1, spans // _BATCH_SPANS + 1):
        added_s += _add(live, shipped, seed=seed)
    taken = _resident() - before
    print(f"{len(live):,} spans of {live.traces:,} traces live")
    print(f"{taken / len(live):,.0f} bytes a live span")
    print(f"{len(live) / added_s:,.0f} spans a second are added and read back")
    print(f"{_add(live, shipped, seed=-1) * 1000:,.0f} ms for the last {_BATCH_SPANS:,}")


def _add(live: LiveTraces, shipped: Rules, *, seed: int) -> float:
    bodies = requests(_BATCH_SPANS, spans_per_request=_REQUEST_SPANS, seed=seed)
    priced = cost_requests(bodies, [""] * len(bodies), shipped).priced
    begin = time.perf_counter()
    live.add(priced)
    live.dirty_sets()
    live.settle()
    return time.perf_counter() - begin


def _resident() -> int:
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
