"""A set of priced spans in, its call rows and trace rows out.

A pure function of the *set*: order, batching and repetition of spans change nothing. What depends
on other spans is decided here and nowhere else: duplicates, wrappers, aggregates, attempts, turns,
and the conversation of a trace.
"""

from dataclasses import dataclass

import polars as pl

from farebox_processor.price_book import PriceBook
from farebox_processor.rollup.attempts import link_attempts
from farebox_processor.rollup.different import list_different
from farebox_processor.rollup.facts import facts_of
from farebox_processor.rollup.identity import identify_traces
from farebox_processor.rollup.kin import (
    group_kin,
    is_worn,
    kin_calls,
    response_number,
    worn_responses,
)
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


def roll_up(priced: pl.DataFrame, book: PriceBook, worn: pl.DataFrame | None = None) -> RolledUp:
    """Roll up `priced` (frames.PRICED_SPANS), which must hold whole sets of traces.

    The book is for calls that two instrumentations recorded and neither knew all of. `worn` are
    response ids (tenant, response_id) that are shown by more traces than are given here.
    """
    facts = facts_of(priced)
    tree = build_tree(facts)
    facts = facts.with_columns(depth=pl.Series(tree.depth, dtype=pl.Int64))

    candidates = facts.filter("candidate")
    count = facts["trace"].n_unique()
    calls_told = kin_calls(candidates)
    worn_numbers = _worn(calls_told, worn)
    kin = group_kin(calls_told, count, worn_numbers)
    candidates = candidates.with_columns(is_worn=is_worn(worn_numbers))
    candidates = choose_winners(candidates.with_columns(twins=group_twins(candidates, tree)))
    completed = complete_winners(candidates, priced, book)
    candidates = reject_covered(candidates, tree)
    candidates = link_attempts(candidates, facts, tree)
    candidates = number_turns(candidates, facts, tree)

    shown = candidates.filter("is_worn")
    worn_ids = list_different(count, shown["trace"], shown["response_id"])
    traces = identify_traces(facts, group_traces(candidates, facts), kin, worn_ids)
    calls = call_rows(candidates, traces, priced, completed)
    return RolledUp(calls=calls.drop("trace"), traces=trace_rows(facts, traces, calls))


def _worn(calls: pl.DataFrame, known: pl.DataFrame | None) -> pl.Series:
    """Return the numbers of the response ids that tie nothing."""
    found = worn_responses(calls)
    if known is None:
        return found
    return pl.concat([found, known.select(response_number()).to_series()]).unique()
