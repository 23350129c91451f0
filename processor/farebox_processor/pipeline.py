"""The chain, written out: OTLP bytes in, priced spans, calls, traces and conversations out.

Each stage is one module with one function, frames in, frames out; it does no I/O and reads no
clock. The server, files, replay, repricing and the tests all call this chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from farebox_processor.conversations import summarise
from farebox_processor.dialects import Dialects
from farebox_processor.otlp import Decoded, decode
from farebox_processor.plans import Plans
from farebox_processor.price_book import PriceBook
from farebox_processor.pricing import price_spans
from farebox_processor.rollup import RolledUp, roll_up
from farebox_processor.usage import read_usage

__all__ = [
    "LONGEST_TEXT",
    "Costed",
    "Rules",
    "conversations_of",
    "cost_requests",
    "cost_spans",
    "roll_up_set",
]

LONGEST_TEXT: Final = 1024
"""Characters of a model, a user, an id of a response that are kept of a span."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the chain goes by, all of it data: change the rules and rate again."""

    dialects: Dialects
    book: PriceBook
    plans: Plans


@dataclass(frozen=True, slots=True)
class Costed:
    """A batch of export requests after the first half of the chain."""

    decoded: Decoded
    priced: pl.DataFrame
    """frames.PRICED_SPANS, one row per accepted span, as stored in `spans`."""


def cost_requests(bodies: Sequence[bytes], tenants: Sequence[str], rules: Rules) -> Costed:
    """Decode and price export requests, one tenant each: all that a span says on its own."""
    decoded = decode(bodies, tenants)
    priced = cost_spans(decoded, rules)
    # Whole columns: what is one value everywhere is written out here, once for all who look at it.
    return Costed(decoded=decoded, priced=pl.DataFrame(map(_short, priced.get_columns())))


def _short(column: pl.Series) -> pl.Series:
    """Cut texts that nobody would group by: live traces hold them, and are bounded by spans."""
    if column.dtype != pl.String or not (column.str.len_bytes() > LONGEST_TEXT).any():
        return column
    # Written anew: what is cut off would stay in memory as long as what is left.
    cut = column.str.head(LONGEST_TEXT).to_arrow(compat_level=pl.CompatLevel.oldest())
    return pl.Series(column.name, cut)


def cost_spans(decoded: Decoded, rules: Rules) -> pl.DataFrame:
    """Read and price the usage of decoded spans."""
    return price_spans(read_usage(decoded, rules.dialects), rules.book)


def roll_up_set(priced: pl.DataFrame, rules: Rules, worn: pl.DataFrame | None = None) -> RolledUp:
    """Roll up whole sets of traces: all that depends on other spans."""
    return roll_up(priced, rules.book, worn)


def conversations_of(rolled_up: RolledUp, rules: Rules) -> pl.DataFrame:
    """Sum the traces up to conversations, with tier, price and margin."""
    return summarise(rolled_up.traces, rules.plans)
