"""Spans and calls in, the turn of each call out.

A turn is one exchange, from what the user asked to what they were answered. Within a trace the
outermost agent or workflow spans are one each; calls outside of them are chained, a call that ends
in a tool call being continued by the next, and each chain is one. Failed attempts make no turns.
"""

import numpy as np
import polars as pl

from farebox_processor.rollup.tree import Tree

__all__ = ["number_turns"]


def number_turns(calls: pl.DataFrame, facts: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `calls` with `turn`: its number within the trace, null for calls outside of any."""
    marked = (facts["call_kind"] == "agent").fill_null(False).to_numpy()
    agent = tree.outermost(marked)[calls["row"].to_numpy().astype(np.int64)]
    answered = (
        calls.lazy()
        .select(
            "row",
            "trace",
            "call_kind",
            "started_at",
            "span_id",
            "ends_in_tool_call",
            part=pl.Series(agent, dtype=pl.Int64),
            counts=pl.col("rejected_as").is_null() & ~pl.col("is_failed"),
        )
        .filter("counts")
    )
    parts = pl.concat(
        [
            answered.filter(pl.col("part") >= 0),
            _chains(answered.filter((pl.col("part") < 0) & (pl.col("call_kind") == "inference"))),
        ]
    )
    turns = _in_order_of_start(parts)
    numbered = parts.join(turns, on=["trace", "part"]).select("row", "turn")
    return (
        calls.lazy()
        .join(numbered, on="row", how="left", maintain_order="left")
        .collect(engine="in-memory")
    )


def _chains(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Number the chains of calls -1, -2, ...: agents are parts by their row."""
    begins = (pl.col("trace") != pl.col("trace").shift()) | ~pl.col("ends_in_tool_call").shift()
    return calls.sort("trace", "started_at", "span_id").with_columns(
        part=-begins.fill_null(True).cum_sum().cast(pl.Int64)
    )


def _in_order_of_start(parts: pl.LazyFrame) -> pl.LazyFrame:
    place = pl.int_range(pl.len())
    is_first = (pl.col("trace") != pl.col("trace").shift()).fill_null(True)
    return (
        parts.group_by("trace", "part")
        .agg(pl.col("started_at").min())
        .sort("trace", "started_at", "part")
        .select(
            "trace",
            "part",
            turn=(place - pl.when(is_first).then(place).forward_fill() + 1).cast(pl.UInt32),
        )
    )
