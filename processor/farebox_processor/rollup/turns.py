"""Spans and calls in, the turn of each call out.

A turn is one exchange, from what the user asked to what they were answered. Within a trace the
outermost agent or workflow spans are one each; calls outside of them are chained, a call that ends
in a tool call being continued by the next, and each chain is one. Failed attempts make no turns.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor.rollup.tree import Index, Tree

__all__ = ["number_turns"]


def number_turns(calls: pl.DataFrame, facts: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `calls` with `turn`: its number within the trace, null for calls outside of any.

    The calls of a trace lie together, in the order of their start.
    """
    kind = pl.col("call_kind")
    marked = facts.select((kind == "agent").fill_null(False)).to_series().to_numpy()
    agent = tree.outermost(marked)[calls["row"].to_numpy().astype(np.int64)]
    judged = calls.select(
        counts=pl.col("rejected_as").is_null() & ~pl.col("is_failed"),
        is_inference=(kind == "inference").fill_null(False),
    )
    counts, is_inference = (column.to_numpy() for column in judged)

    # Each agent is a part by its row; the chains are numbered -1, -2, ...; 0 is none.
    part = np.where(counts & (agent >= 0), agent + 1, 0)
    chained, chain = _chains(calls, counts & (agent < 0) & is_inference)
    part[chained] = -chain
    place = np.flatnonzero(part)
    trace, started = (
        calls[name].to_physical().to_numpy()[place] for name in ("trace", "started_at")
    )
    turns = np.zeros(calls.height, dtype=np.uint32)
    turns[place] = _in_order_of_start(part[place], trace, started)
    return calls.with_columns(turn=pl.Series(pa.array(turns, mask=turns == 0)))


def _chains(calls: pl.DataFrame, chained: npt.NDArray[np.bool_]) -> tuple[Index, Index]:
    """Return the places of the calls that are chained, and the number of the chain of each."""
    in_order = (
        calls.select(
            *("trace", "started_at", "span_id", "ends_in_tool_call"),
            place=pl.int_range(pl.len()),
        )
        .filter(pl.Series(chained))
        .sort("trace", "started_at", "span_id")
    )
    begins = (pl.col("trace") != pl.col("trace").shift()) | ~pl.col("ends_in_tool_call").shift()
    number = in_order.select(begins.fill_null(True).cum_sum().cast(pl.Int64)).to_series()
    return in_order["place"].to_numpy(), number.to_numpy()


def _in_order_of_start(part: Index, trace: Index, started: Index) -> Index:
    """Number the parts within their traces by when they start, and return the number of each."""
    parts, first, which = np.unique(part, return_index=True, return_inverse=True)
    order = np.lexsort((parts, started[first], trace[first]))
    trace = trace[first][order]
    place = np.arange(len(order))
    is_first = np.append(True, trace[1:] != trace[:-1])[: len(order)]
    number = np.empty(len(order), dtype=np.int64)
    number[order] = place - np.maximum.accumulate(np.where(is_first, place, 0)) + 1
    return number[which]
