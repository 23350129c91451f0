"""The chain, written out: OTLP bytes in, priced spans, calls, traces and conversations out.

Each stage is one module with one function, frames in, frames out; it does no I/O and reads no
clock. The server, files, replay, repricing and the tests all call this chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from farebox_processor.conversations import summarise
from farebox_processor.dialects import Dialects
from farebox_processor.otlp import Decoded, decode
from farebox_processor.plans import Plans
from farebox_processor.price_book import PriceBook
from farebox_processor.pricing import price_spans
from farebox_processor.rollup import RolledUp, roll_up
from farebox_processor.short_texts import cut_texts
from farebox_processor.usage import read_usage

__all__ = ["Costed", "Rules", "conversations_of", "cost_requests", "cost_spans", "roll_up_set"]


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
    cut: int
    """Texts of which only the beginning is in `priced`."""


def cost_requests(bodies: Sequence[bytes], tenants: Sequence[str], rules: Rules) -> Costed:
    """Decode and price export requests, one tenant each: all that a span says on its own."""
    decoded = decode(bodies, tenants)
    # Whole columns: what is one value everywhere is written out here, once for all who look at it.
    priced, cut = cut_texts(cost_spans(decoded, rules))
    return Costed(decoded=decoded, priced=priced, cut=cut)


def cost_spans(decoded: Decoded, rules: Rules) -> pl.DataFrame:
    """Read and price the usage of decoded spans."""
    return price_spans(read_usage(decoded, rules.dialects), rules.book)


def roll_up_set(priced: pl.DataFrame, rules: Rules, worn: pl.DataFrame | None = None) -> RolledUp:
    """Roll up whole sets of traces: all that depends on other spans."""
    return roll_up(priced, rules.book, worn)


def conversations_of(rolled_up: RolledUp, rules: Rules) -> pl.DataFrame:
    """Sum the traces up to conversations, with tier, price and margin."""
    return summarise(rolled_up.traces, rules.plans)
