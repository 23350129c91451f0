"""Spans and calls in, the turn of each call out.

A turn is one exchange, from what the user asked to what they were answered. Within a trace the
outermost agent or workflow spans are one each; calls outside of them are chained, a call that ends
in a tool call being continued by the next, and each chain is one. Failed attempts make no turns.
"""

import numpy as np
import polars as pl

from farebox_processor.rollup.tree import Tree

__all__ = ["number_turns"]

_TRACE = ["tenant", "trace_id"]


def number_turns(calls: pl.DataFrame, spans: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `calls` with `turn`: its number within the trace, null for calls outside of any."""
    marked = (spans["call_kind"] == "agent").fill_null(False).to_numpy()
    agent = tree.outermost(marked)[calls["row"].to_numpy().astype(np.int64)]
    answered = calls.with_columns(agent=pl.Series(agent, dtype=pl.Int64)).filter(
        pl.col("rejected_as").is_null() & ~pl.col("is_failed")
    )
    by_agent = answered.filter(pl.col("agent") >= 0).with_columns(
        part=pl.format("agent {}", "agent")
    )
    chained = (
        answered.filter((pl.col("agent") < 0) & (pl.col("call_kind") == "inference"))
        .sort("started_at", "span_id")
        .with_columns(
            part=pl.format(
                "chain {}",
                (~pl.col("ends_in_tool_call").fill_null(False).shift(1, fill_value=False))
                .cum_sum()
                .over(_TRACE),
            )
        )
    )
    numbered = (
        pl.concat([by_agent, chained])
        .with_columns(first=pl.col("started_at").min().over(*_TRACE, "part"))
        .select(
            "row", turn=pl.struct("first", "part").rank("dense").over(_TRACE).cast(pl.UInt32)
        )
    )
    return calls.join(numbered, on="row", how="left", maintain_order="left")
