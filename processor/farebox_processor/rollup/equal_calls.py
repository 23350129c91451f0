"""Calls that tell the same of themselves in, pairs of those that are one call out.

Where no response id says so, one call is known by this: two scopes of one service report the same
totals for the same model, and one span stands below the other or, where neither does, lies within
it in time.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from operator import itemgetter
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from farebox_processor.rollup.facts import EQUAL_CALL, ranks_of
from farebox_processor.rollup.tree import Index, Tree

__all__ = ["equal_calls", "pairs_below", "pairs_within"]

_SLACK: Final = 10
"""One part in so many may stick out: who hears first of the end of a stream is left to chance."""
_MOMENT_NS: Final = 20_000_000
"""So much may stick out of a short call, up to half of it: a busy machine is late by that."""

# `place`: tools tell no totals, so equal ones are one call only within a trace.
_EQUAL_CALL: Final = [*EQUAL_CALL, "input_total", "output_total", "place"]

_Pair: TypeAlias = tuple[int, int]
_Kind: TypeAlias = tuple[frozenset[str], bool]
"""The scopes that recorded a call, and whether one of them told its response id."""


def equal_calls(candidates: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return the candidates that equal one of another scope; those that are equal share a `key`.

    `is_innermost`: no call for the same model stands below. Wants `index` and the columns of
    facts.facts_of, in the order of their rows.
    """
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
        *("index", "row", *EQUAL_CALL, "scope_name"),
        pl.col("input_total", "output_total").fill_null(-1),
        place=pl.when(pl.col("call_kind") == "tool")
        .then(pl.col("trace").cast(pl.Int64))
        .otherwise(-1),
        has_id=pl.col("response_id").is_not_null(),
        began=pl.col("started_at").to_physical(),
        ended=pl.max_horizontal("started_at", "ended_at").to_physical(),
    )
    several = told.filter(pl.col("scope_name").n_unique().over(_EQUAL_CALL) > 1)
    key = pl.struct(_EQUAL_CALL).rank("dense").cast(pl.Int64)
    equal = several.select("index", "row", "scope_name", "has_id", "began", "ended", key=key)
    return equal.with_columns(is_innermost=_are_innermost(equal, candidates, tree))


def _are_innermost(equal: pl.DataFrame, candidates: pl.DataFrame, tree: Tree) -> pl.Series:
    if equal.is_empty():
        return pl.Series(dtype=pl.Boolean)
    every, rows = (frame["row"].to_numpy().astype(np.int64) for frame in (candidates, equal))
    subjects = ranks_of(candidates["subject"])
    groups = (subjects[np.searchsorted(every, rows)], subjects)
    return pl.Series(tree.count_below(rows, every, groups=groups) == 0)


def pairs_below(equal: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Pair calls, `left`, with an equal one of another scope that they stand below, `right`.

    One to one: a call around several of one scope is the first of them, and of several calls of
    one scope around a call the innermost is it.
    """
    row, key = (equal[name].to_numpy().astype(np.int64) for name in ("row", "key"))
    scope, has_id = ranks_of(equal["scope_name"]), equal["has_id"].to_numpy()
    found: list[tuple[Index, Index]] = [(row[:0], row[:0])]
    for outer_scope in np.unique(scope):
        is_outer = scope == outer_scope
        # Two response ids are two calls.
        for is_told, may_be_inner in ((False, ~is_outer), (True, ~is_outer & ~has_id)):
            outer = np.flatnonzero(is_outer & (has_id == is_told))
            inner = np.flatnonzero(may_be_inner)
            below = tree.first_below(row[outer], row[inner], groups=(key[outer], key[inner]))
            found.append((np.searchsorted(row, below[below >= 0]), outer[below >= 0]))
    left, right = (np.concatenate(places) for places in zip(*found, strict=True))
    order = np.lexsort((tree.enter[row[right]], scope[right], left))
    left, right = left[order], right[order]
    is_next = (left[1:] != left[:-1]) | (scope[right[1:]] != scope[right[:-1]])
    innermost = np.append(is_next, True)[: len(left)]
    index = equal["index"].to_numpy().astype(np.int64)
    return pl.DataFrame({"left": index[left[innermost]], "right": index[right[innermost]]})


def pairs_within(equal: pl.DataFrame) -> pl.DataFrame:
    """Pair calls, `left`, with an equal one of other scopes that they lie within, `right`.

    Wants `call`, a number that spans share which are known to be one call. As many calls are paired
    as can be; no scope has two spans in one call, and what stands around other calls for the same
    model is no call around one elsewhere.
    """
    in_order = ["began", "until", "index", "is_innermost"]
    spans = equal.with_columns(until=-pl.col("ended")).sort("key", "call", *in_order)
    calls = spans.group_by("key", "call", maintain_order=True).agg(
        pl.col("scope_name").unique().alias("scopes"),
        pl.col("has_id").any(),
        outermost=pl.struct(in_order).first(),
        innermost=pl.struct(in_order).last(),
    )
    every = pl.col("scopes").explode().n_unique().over("key")
    open_calls = calls.filter(pl.col("scopes").list.len() < every)
    # A call looks for one around it by its outermost span, and is around others by its innermost.
    events = (
        pl.concat(
            open_calls.select("key", "call", "scopes", "has_id", end, is_around=is_around).unnest(
                end
            )
            for end, is_around in (("outermost", pl.lit(False)), ("innermost", pl.lit(True)))
        )
        .filter(~pl.col("is_around") | pl.col("is_innermost"))
        .drop("is_innermost")
        .sort("key", "began", "until", "index", "is_around")
    )
    pairs = np.array(_matched(events), dtype=np.int64).reshape(-1, 2)
    return pl.DataFrame({"left": pairs[:, 0], "right": pairs[:, 1]})


def _matched(events: pl.DataFrame) -> list[_Pair]:
    """Go through equal calls by their starts; each takes, of those around it, what ends first.

    Call by call: which are left for the next ones depends on what was taken before. Nearly all
    calls are paired already, or equal no other.
    """
    pairs: list[_Pair] = []
    current = None
    for key, call, scopes, has_id, began, until, index, is_around in events.rows():
        if key != current:
            current, ends_of = key, defaultdict[_Kind, list[tuple[int, int]]](list)
            kinds: dict[int, _Kind] = {}
        kind, ended = kinds.get(call, (frozenset(scopes), has_id)), -until
        if is_around:
            insort(ends_of[kind], (ended, index))
            continue
        lasted = ended - began
        enough = (ended - max(lasted // _SLACK, min(_MOMENT_NS, lasted // 2)), 0)
        found = [
            (ends[place], place, other)
            for other, ends in ends_of.items()
            if not other[0] & kind[0]
            # Two response ids are two calls.
            and not (other[1] and kind[1])
            and (place := bisect_left(ends, enough)) < len(ends)
        ]
        if found:
            (_, outer), place, other = min(found, key=itemgetter(0))
            del ends_of[other][place]
            pairs.append((index, outer))
            kinds[call] = (other[0] | kind[0], other[1] or kind[1])
    return pairs
