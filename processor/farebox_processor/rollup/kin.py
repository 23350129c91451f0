"""Calls in, out: which traces have to be rolled up together, because one may bear on another.

Wider than ties.py, which says which calls are one: there, a new span may come between two that were
paired before. Calls are kin that carry one response id; and, where an id is missing, equal calls of
several scopes whose times overlap, one by one or in a chain. Kinship grows as spans arrive, until
an id is worn: shown by so many traces, it is no id of a call, and makes no kin any more.
"""

from typing import Final

import polars as pl

from farebox_processor.rollup.facts import EQUAL_CALL, what_is_called
from farebox_processor.rollup.ties import connect

__all__ = [
    "MOST_TRACES",
    "NONE_WORN",
    "group_kin",
    "is_worn",
    "kin_calls",
    "kin_links",
    "overlap_links",
    "response_links",
    "response_number",
    "sets_of",
    "trace_number",
    "worn_responses",
]

MOST_TRACES: Final = 256
"""A response id that more traces show is worn. Real calls are recorded in two or three."""

NONE_WORN: Final = pl.Series(dtype=pl.UInt64)


def trace_number() -> pl.Expr:
    """Return a number for the trace of a tenant."""
    return pl.struct("tenant", "trace_id").hash()


def response_number() -> pl.Expr:
    """Return a number for the response id of a tenant; null without one."""
    is_told = pl.col("response_id").is_not_null()
    return pl.when(is_told).then(pl.struct("tenant", "response_id").hash())


def is_worn(worn: pl.Series) -> pl.Expr:
    """Tell whether a call shows a response id with one of these numbers."""
    if worn.is_empty():
        return pl.lit(False)
    is_shown = response_number().is_in(worn.implode()) & (pl.col("call_kind") != "agent")
    return is_shown.fill_null(False)


def kin_calls(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return what kinship is decided by, one narrow row per call, with its `trace` as given.

    Wants the columns of facts.EQUAL_CALL, call_kind, response_id, scope_name and the times.
    """
    # Whatever ties.py compares: what it does not is kin for nothing, which costs no money.
    told = pl.col("subject").is_not_null() & (
        pl.any_horizontal(pl.col("input_total", "output_total").is_not_null())
        | (pl.col("call_kind") == "tool")
    )
    ended = pl.max_horizontal("started_at", "ended_at")
    return candidates.filter(pl.col("call_kind") != "agent").select(
        "trace",
        response=response_number(),
        equal=pl.when(told).then(
            pl.struct(
                pl.col(EQUAL_CALL).fill_null(pl.lit("")),
                pl.col("input_total", "output_total").fill_null(-1),
                # Tools tell no totals: equal ones of two traces are two.
                place=pl.when(pl.col("call_kind") == "tool").then("trace"),
            ).hash()
        ),
        scope=pl.col("scope_name").hash(),
        # An end before its start: the time lies between them all the same.
        began=pl.min_horizontal("started_at", "ended_at").to_physical(),
        ended=ended.to_physical(),
    )


def kin_links(calls: pl.DataFrame, worn: pl.Series = NONE_WORN) -> pl.DataFrame:
    """Return pairs of traces, `left` and `right`, that connect all kin among `calls`.

    `worn` are those of their `response`s that tie nothing.
    """
    tying = calls.filter(~pl.col("response").is_in(worn.implode()).fill_null(False))
    return pl.concat([response_links(tying), overlap_links(calls)])


def worn_responses(calls: pl.DataFrame) -> pl.Series:
    """Return each `response` that more than MOST_TRACES traces show."""
    if calls["trace"].n_unique() <= MOST_TRACES:
        return NONE_WORN
    shown = calls.drop_nulls("response").group_by("response").agg(pl.col("trace").n_unique())
    return shown.filter(pl.col("trace") > MOST_TRACES)["response"]


def response_links(calls: pl.DataFrame) -> pl.DataFrame:
    """Return those of the pairs that a response id makes, and by which `response`."""
    told = calls.filter(pl.col("response").is_not_null())
    if told["response"].n_unique() == told.height:
        return _no_links(calls)
    return _links(told, pl.col("trace").first().over("response"), pl.col("response"))


def overlap_links(calls: pl.DataFrame) -> pl.DataFrame:
    """Return those of the pairs that equal calls of several scopes make, where an id is missing."""
    several = (pl.col("scope").min() != pl.col("scope").max()) & (
        pl.col("response").null_count() > 0
    )
    # Nearly all calls are equal only to others of their scope: they are left out first.
    keys = calls.group_by("equal").agg(several=several).filter("several").drop_nulls("equal")
    if keys.is_empty():
        return _no_links(calls)
    crowds = (
        calls.join(keys, on="equal", how="semi")
        .sort("equal", "began")
        .with_columns(open_until=pl.col("ended").cum_max().shift().over("equal"))
        .with_columns(crowd=(pl.col("began") > pl.col("open_until")).fill_null(True).cum_sum())
        .filter(several.over("crowd"))
    )
    return _links(crowds, pl.col("trace").first().over("crowd"), pl.lit(None, pl.UInt64))


def group_kin(calls: pl.DataFrame, traces: int, worn: pl.Series = NONE_WORN) -> pl.Series:
    """Return the kin of each of so many numbered traces: the smallest number among them."""
    return pl.Series("kin", connect(traces, kin_links(calls, worn)), dtype=pl.UInt32)


def sets_of(priced: pl.DataFrame) -> pl.Series:
    """Number for each span of `priced` the set of traces that it is rolled up with."""
    trace = trace_number().rank("dense") - 1
    numbered = priced.with_columns(trace=trace.cast(pl.UInt32))
    calls = numbered.filter("candidate").with_columns(*what_is_called())
    return group_kin(kin_calls(calls), numbered["trace"].n_unique()).gather(numbered["trace"])


def _no_links(calls: pl.DataFrame) -> pl.DataFrame:
    trace = calls.schema["trace"]
    return pl.DataFrame(schema={"left": trace, "right": trace, "response": pl.UInt64})


def _links(calls: pl.DataFrame, first: pl.Expr, response: pl.Expr) -> pl.DataFrame:
    pairs = calls.select(left=pl.col("trace"), right=first, response=response)
    return pairs.filter(pl.col("left") != pl.col("right")).unique(maintain_order=True)
