"""A set of priced spans in, its call rows and trace rows out.

A pure function of the *set*: order, batching and repetition of spans change nothing. What depends
on other spans is decided here and nowhere else: duplicates, wrappers, aggregates, attempts, turns,
and the conversation of a trace.
"""

from dataclasses import dataclass

import polars as pl

from farebox_processor.price_book import PriceBook
from farebox_processor.rollup.attempts import link_attempts
from farebox_processor.rollup.facts import facts_of
from farebox_processor.rollup.identity import identify_traces
from farebox_processor.rollup.kin import group_kin
from farebox_processor.rollup.rejection import choose_winners, reject_covered
from farebox_processor.rollup.ties import group_traces, group_twins
from farebox_processor.rollup.totals import call_rows, trace_rows
from farebox_processor.rollup.tree import build_tree
from farebox_processor.rollup.turns import number_turns
from farebox_processor.rollup.twins import complete_winners

__all__ = ["RolledUp", "roll_up"]


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
    facts = facts_of(priced)
    tree = build_tree(facts)
    facts = facts.with_columns(depth=pl.Series(tree.depth, dtype=pl.Int64))

    candidates = facts.filter("candidate")
    kin = group_kin(candidates, facts["trace"].n_unique())
    candidates = choose_winners(candidates.with_columns(twins=group_twins(candidates, tree)))
    completed = complete_winners(candidates, priced, book)
    candidates = reject_covered(candidates, tree)
    candidates = link_attempts(candidates, facts, tree)
    candidates = number_turns(candidates, facts, tree)

    traces = identify_traces(facts, group_traces(candidates, facts), kin)
    calls = call_rows(candidates, traces, priced, completed)
    return RolledUp(calls=calls.drop("trace"), traces=trace_rows(facts, traces, calls))
