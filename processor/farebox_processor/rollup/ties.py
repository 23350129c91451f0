"""Pairs in, groups out: which candidates are one call, and which traces have to be seen together.

Two candidates of one tenant are one call if they carry the same provider response id, in whatever
trace (see same_response.py); or, where an id is missing, if two scopes of one service report the
same totals for the same model and one of them lies within the other in time.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor.rollup.facts import EQUAL_CALL, ranks_of
from farebox_processor.rollup.same_response import same_response
from farebox_processor.rollup.tree import Tree

__all__ = ["connect", "group_traces", "group_twins"]

Index = npt.NDArray[np.int64]

_SLACK = 0.1
"""Which part of a call may stick out: who hears first of the end of a stream is left to chance."""

# `place`: tools tell no totals, so equal ones are one call only within a trace.
_EQUAL_CALL = [*EQUAL_CALL, "input_total", "output_total", "place"]


def group_twins(candidates: pl.DataFrame, tree: Tree) -> pl.Series:
    """Return the number of the twin group of each candidate: those that are one call share it.

    Wants the columns of facts.facts_of; aggregates have no twins.
    """
    numbered = candidates.with_row_index("index").filter(pl.col("call_kind") != "agent")
    pairs = pl.concat([same_response(numbered), _nested_equals(numbered)])
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


def _nested_equals(candidates: pl.DataFrame) -> pl.DataFrame:
    """Pair every candidate with the latest one of another scope that was open around it."""
    told = candidates.filter(
        pl.col("subject").is_not_null()
        # A cache's answer equals the provider's that filled it, and is another call.
        & ~pl.col("is_replayed")
        & (
            pl.col("output_total").is_not_null()
            # Embeddings put nothing out.
            | (pl.col("input_total").is_not_null() & (pl.col("call_kind") == "embeddings"))
            | (pl.col("call_kind") == "tool")
        )
    ).select(
        *("index", *EQUAL_CALL, "scope_name", "response_id", "started_at", "ended_at"),
        pl.col("input_total", "output_total").fill_null(-1),
        place=pl.when(pl.col("call_kind") == "tool")
        .then(pl.col("trace").cast(pl.Int64))
        .otherwise(-1),
    )
    crowd = told.filter(pl.col("scope_name").n_unique().over(_EQUAL_CALL) > 1).sort("started_at")
    found = [_open_around(crowd, scope) for scope in crowd["scope_name"].unique().sort()]
    return pl.concat([pl.DataFrame(schema={"left": pl.Int64, "right": pl.Int64}), *found]).unique(
        maintain_order=True
    )


def _open_around(crowd: pl.DataFrame, scope: str) -> pl.DataFrame:
    """Pair candidates of other scopes with the one of `scope` that started last before them."""
    outer = crowd.filter(scope_name=scope).select(
        *_EQUAL_CALL,
        "started_at",
        outer_ended_at="ended_at",
        outer_response_id="response_id",
        right="index",
    )
    return (
        crowd.filter(pl.col("scope_name") != scope)
        .join_asof(outer, on="started_at", by=_EQUAL_CALL, check_sortedness=False)
        .filter(
            pl.col("right").is_not_null(),
            pl.col("ended_at") - pl.col("outer_ended_at")
            <= _SLACK * (pl.col("ended_at") - pl.col("started_at")),
            pl.col("response_id").is_null() | pl.col("outer_response_id").is_null(),
        )
        # One to one: a span that stands around two calls is not both of them.
        .unique(["right", "scope_name"], keep="first", maintain_order=True)
        .select(left=pl.col("index").cast(pl.Int64), right=pl.col("right").cast(pl.Int64))
    )
