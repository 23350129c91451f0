"""Repair after everything derived was lost: how long, and how many rows, for so many spans."""

import sys
import tempfile
import time
from contextlib import closing
from typing import Final

from benchmarks.chain import rules
from benchmarks.payloads import requests
from farebox_processor.pipeline import cost_requests
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store.connect import open_client
from farebox_processor.store.migrations import migrate
from farebox_processor.store.writer import Writer

__all__ = ["main"]

_BATCH_SPANS: Final = 32_768


def main(spans: int = 1_000_000) -> None:
    """Store `spans` spans without their rows, repair, and print what it took; then once more."""
    shipped = rules()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_client(f"embedded:{folder}")) as client,
    ):
        migrate(client, "farebox")
        for seed in range(-(-spans // _BATCH_SPANS)):
            bodies = requests(_BATCH_SPANS, spans_per_request=2_048, seed=seed)
            priced = cost_requests(bodies, [""] * len(bodies), shipped).priced
            Writer(client).write("spans", priced)
        for what in ("after the loss of every row", "with nothing to repair"):
            begin = time.perf_counter()
            rows = Repair(client, shipped, Metrics()).run()
            print(f"{what}: {rows:,} rows in {time.perf_counter() - begin:,.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
