"""A large batch in, the same in parts out, one per processor: every span is costed alone.

An operation on a column of some ten thousand rows runs on one processor. Several of them at a time
take the others.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from farebox_processor.otlp import Decoded

__all__ = ["in_parts"]

_SMALLEST: Final = 16_384
"""Spans of a part: below, what a part costs whatever its size is more than it saves."""


def in_parts(decoded: Decoded, cost: Callable[[Decoded], pl.DataFrame]) -> pl.DataFrame:
    """Return what `cost` makes of the spans, a row for each; it may look at one span at a time."""
    height = decoded.spans.height
    parts = max(1, min(os.cpu_count() or 1, height // _SMALLEST))
    if parts == 1:
        return cost(decoded)
    bounds = np.linspace(0, height, parts + 1, dtype=int).tolist()
    with ThreadPoolExecutor(parts, "farebox-cost") as threads:
        costed = threads.map(lambda part: cost(_part(decoded, *part)), pairwise(bounds))
        # In one piece: to pick rows from several, as the roll up does, takes longer.
        return pl.concat(costed, rechunk=True)


def _part(decoded: Decoded, start: int, stop: int) -> Decoded:
    """Return the spans in between, and their attributes."""
    attributes = decoded.span_attributes
    first, last = np.searchsorted(attributes.rows, [start, stop])
    mine = replace(
        attributes,
        rows=attributes.rows[first:last] - np.uint32(start),
        which=attributes.which[first:last],
    )
    return replace(decoded, spans=decoded.spans[start:stop], span_attributes=mine)
