"""Pairs in, groups out: which candidates are one call, and which traces have to be seen together.

Two candidates of one tenant are one call if they carry the same provider response id, in whatever
trace (see same_response.py), or if they tell the same where an id is missing (see equal_calls.py).
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor.rollup.equal_calls import equal_calls, pairs_below, pairs_within
from farebox_processor.rollup.facts import ranks_of
from farebox_processor.rollup.same_response import same_response
from farebox_processor.rollup.tree import Tree

__all__ = ["connect", "group_traces", "group_twins"]

Index = npt.NDArray[np.int64]


def group_twins(candidates: pl.DataFrame, tree: Tree) -> pl.Series:
    """Return the number of the twin group of each candidate: those that are one call share it.

    Wants the columns of facts.facts_of; aggregates have no twins.
    """
    numbered = candidates.with_row_index("index").filter(pl.col("call_kind") != "agent")
    pairs, equal = same_response(numbered), equal_calls(numbered, tree)
    if equal.height:
        pairs = pl.concat([pairs, pairs_below(equal, tree)])
        known = connect(candidates.height, pairs)
        equal = equal.with_columns(call=pl.Series(known[equal["index"].to_numpy()]))
        pairs = pl.concat([pairs, pairs_within(equal)])
    twins = connect(candidates.height, pairs)
    alone = np.arange(candidates.height) + candidates.height
    around = _around_several(candidates.with_columns(twins=pl.Series(twins)), tree)
    return pl.Series("twins", np.where(around, alone, twins))


def _around_several(candidates: pl.DataFrame, tree: Tree) -> npt.NDArray[np.bool_]:
    """Tell which candidates stand around a twin and other calls for the same model as well.

    Their usage happens to be that of one of the calls below them, often of the last. They are
    wrappers of all of those and twins of none.
    """
    rows = candidates["row"].to_numpy().astype(np.int64)
    if not candidates["twins"].is_duplicated().any():
        return np.zeros(len(rows), dtype=bool)
    is_call = (candidates["call_kind"] == "inference").fill_null(False)
    subjects = ranks_of(candidates["subject"])
    twins = candidates["twins"].to_numpy()
    calls = np.flatnonzero(is_call.to_numpy())
    of_subject = tree.count_below(rows, rows[calls], groups=(subjects, subjects[calls]))
    of_twins = tree.count_below(rows, rows[calls], groups=(twins, twins[calls]))
    return (of_twins > 0) & (of_subject > of_twins)


def group_traces(candidates: pl.DataFrame, facts: pl.DataFrame) -> pl.Series:
    """Return the set of each trace, by its number: traces that share a call share the set.

    Wants `trace` on both and `twins` on the candidates.
    """
    pairs = (
        candidates.filter(pl.col("twins").is_duplicated())
        .select(left=pl.col("trace"), right=pl.col("trace").first().over("twins"))
        .filter(pl.col("left") != pl.col("right"))
    )
    traces = facts["trace"].n_unique()
    return pl.Series("set", connect(traces, pairs), dtype=pl.UInt32)


def connect(count: int, pairs: pl.DataFrame) -> Index:
    """Return for each of `count` nodes the smallest one it is connected with by `pairs`."""
    label = np.arange(count, dtype=np.int64)
    left = pairs["left"].to_numpy().astype(np.int64)
    right = pairs["right"].to_numpy().astype(np.int64)
    while len(left):
        lowest = np.minimum(label[left], label[right])
        before = label.copy()
        # Hook the labels themselves, not only the nodes: long chains then take few rounds.
        np.minimum.at(label, before[left], lowest)
        np.minimum.at(label, before[right], lowest)
        np.minimum.at(label, left, lowest)
        np.minimum.at(label, right, lowest)
        label = label[label]
        if np.array_equal(label, before):
            break
    return label
