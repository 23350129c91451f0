"""A set of priced spans in, its call rows and trace rows out.

A pure function of the *set*: order, batching and repetition of spans change nothing. What depends
on other spans is decided here and nowhere else: duplicates, wrappers, aggregates, attempts, turns,
and the conversation of a trace.
"""

from dataclasses import dataclass

import polars as pl

from farebox_processor.frames import CALLS
from farebox_processor.price_book import PriceBook
from farebox_processor.rollup.attempts import link_attempts
from farebox_processor.rollup.identity import identify_traces
from farebox_processor.rollup.rejection import candidates_of, choose_winners, reject_covered
from farebox_processor.rollup.ties import group_traces, group_twins
from farebox_processor.rollup.totals import call_rows, trace_rows
from farebox_processor.rollup.tree import Tree, build_tree
from farebox_processor.rollup.turns import number_turns
from farebox_processor.rollup.twins import complete_winners

__all__ = ["RolledUp", "distinct_spans", "roll_up"]

_IDENTITY = ["tenant", "trace_id", "span_id"]
_FACTS = [
    "row",
    "trace",
    "twins",
    "winner",
    "span_id",
    "call_kind",
    "subject",
    "subject_code",
    "request_model",
    "started_at",
    "ended_at",
    "has_usage",
    "is_error",
    "is_failed",
    "ends_in_tool_call",
]


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What a set of spans comes to."""

    calls: pl.DataFrame
    """frames.CALLS, one row per candidate."""
    traces: pl.DataFrame
    """frames.TRACES, one row per trace."""


def roll_up(priced: pl.DataFrame, book: PriceBook) -> RolledUp:
    """Roll up `priced` (frames.PRICED_SPANS), which must hold whole sets of traces.

    The book is for calls that two instrumentations recorded and neither knew all of.
    """
    spans = distinct_spans(priced)
    tree = build_tree(spans)
    traces = spans.select("tenant", "trace_id").unique(maintain_order=True).with_row_index("trace")
    spans = spans.join(traces, on=["tenant", "trace_id"], how="left", maintain_order="left")
    spans = spans.with_columns(depth=pl.Series(tree.depth, dtype=pl.Int64))

    candidates = candidates_of(spans)
    candidates = candidates.with_columns(twins=group_twins(candidates))
    candidates = complete_winners(choose_winners(candidates), book)
    calls = _decide(candidates, spans, tree)

    traces = _with_versions(identify_traces(spans, group_traces(traces, calls)), spans)
    calls = call_rows(calls, traces)
    return RolledUp(calls=calls.select(*CALLS), traces=trace_rows(spans, traces, calls))


def distinct_spans(priced: pl.DataFrame) -> pl.DataFrame:
    """Return one row per span in an order of their content: of conflicting ones the latest version.

    The version is that of the table `spans`: rating revision, end time, content.
    """
    version = ["rating_revision", "end_unix_nano", "content_hash"]
    rows = (
        priced.lazy()
        .select(*_IDENTITY, *version, "started_at", row=pl.int_range(pl.len(), dtype=pl.UInt32))
        .sort(*version)
        .unique(_IDENTITY, keep="last", maintain_order=True)
        .sort("tenant", "trace_id", "started_at", "span_id")
        .select("row")
        .collect()
    )
    return priced.select(pl.all().gather(rows["row"]))


def _decide(candidates: pl.DataFrame, spans: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Add what is decided of each candidate, looking at a few columns of the many."""
    facts = reject_covered(candidates.select(_FACTS), tree)
    facts = link_attempts(facts, spans, tree)
    facts = number_turns(facts, spans, tree)
    return candidates.with_columns(*facts.drop(_FACTS))


def _with_versions(traces: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Add the version of every trace's rows: it counts the spans of the whole set."""
    of_trace = (
        spans.lazy()
        .group_by("trace")
        .agg(counted=pl.len().cast(pl.UInt64), revision=pl.col("rating_revision").max())
    )
    return (
        traces.lazy()
        .join(of_trace, on="trace", how="left")
        .with_columns(
            spans_in_set=pl.col("counted").sum().over("set"),
            version_revision=pl.col("revision").max().over("set"),
        )
        .collect()
    )
