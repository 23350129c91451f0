"""Candidates in, the same candidates out with what is billed and what was rejected for it.

Of twins the one with the best verdict is billed, then the richest, then the deepest. An inference
span around another one for the same model is a wrapper; an aggregate counts only if nothing below
it does. A rejected candidate names the span that was billed instead.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor.rollup.facts import ranks_of
from farebox_processor.rollup.tree import Index, Tree

__all__ = ["choose_winners", "reject_covered"]

_Mask = npt.NDArray[np.bool_]

_BEST: Final = ("has_usage", "trust", "quantities_told", "depth", "started_at")
_BILLED, _WRAPPER, _AGGREGATE, _DUPLICATE = range(4)
_REJECTIONS: Final = pl.Series([None, "wrapper", "aggregate", "duplicate"])


def choose_winners(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return `candidates` with the row of the `winner` of each group of `twins`."""
    if candidates["twins"].n_unique() == candidates.height:
        return candidates.with_columns(winner="row")
    winners = (
        candidates.filter(pl.col("twins").is_duplicated())
        .sort(*_BEST, "trace_id", "span_id", descending=[True] * len(_BEST) + [False, False])
        .unique("twins", keep="first", maintain_order=True)
        .select("twins", winner="row")
    )
    return candidates.join(winners, on="twins", how="left", maintain_order="left").with_columns(
        winner=pl.coalesce("winner", "row")
    )


@dataclass(frozen=True, slots=True)
class _Calls:
    """What the candidates are, by their places: arrays of the same length."""

    row: Index
    """In the tree, ascending."""
    twins: Index
    winner: Index
    subject: Index
    """A number per subject, -1 for none."""
    is_inference: _Mask
    is_embedding: _Mask
    is_aggregate: _Mask
    is_short: _Mask
    """Stands for calls of which one has no span of its own."""
    is_telling: _Mask
    """Tells its usage."""
    is_failed: _Mask
    is_replayed: _Mask
    """Answered by a cache of the service."""
    emitter: pl.DataFrame
    """service_name and scope_name."""
    started: Index
    """In nanoseconds."""
    ended: Index

    def places_of(self, rows: Index) -> Index:
        """Return where candidates of these rows are."""
        return np.searchsorted(self.row, rows)

    def below(self, tree: Tree, outer: Index, inner: Index, *, same_subject: bool) -> Index:
        """Return the place of the first `inner` call below each `outer` one, -1 if none is."""
        groups = (self.subject[outer], self.subject[inner]) if same_subject else None
        rows = tree.first_below(self.row[outer], self.row[inner], groups=groups)
        return np.where(rows >= 0, self.places_of(rows), -1)


@dataclass(frozen=True, slots=True)
class _Covers:
    """Pairs of calls of which one is no call of its own because of the other."""

    covered: Index
    by: Index
    reason: int


def reject_covered(candidates: pl.DataFrame, tree: Tree) -> pl.DataFrame:
    """Return `candidates` with rejected_as and instead (the row billed instead), null if billed.

    Wants `twins` and `winner`; rows are those of the tree.
    """
    calls = _calls_of(candidates)
    covers = [*_wrappers(calls, tree), *_aggregates(calls, tree)]
    covers.append(_silent_inside(calls, covers, tree))
    reason, by = _of_groups(calls, covers)
    is_duplicate = calls.row != calls.winner
    rejected = np.where(reason == _BILLED, np.where(is_duplicate, _DUPLICATE, _BILLED), reason)
    instead = _finally_billed(
        rejected, np.where(reason == _BILLED, calls.places_of(calls.winner), by)
    )
    return candidates.with_columns(
        rejected_as=_REJECTIONS[pl.Series(rejected)],
        instead=pl.Series(pa.array(calls.row[instead], mask=rejected == _BILLED)),
    )


def _calls_of(candidates: pl.DataFrame) -> _Calls:
    kind = pl.col("call_kind")
    is_kind = candidates.select(
        inference=(kind == "inference").fill_null(False),
        embedding=(kind == "embeddings").fill_null(False),
        aggregate=(kind == "agent").fill_null(False),
    )
    row, twins, winner = (
        candidates[name].to_numpy().astype(np.int64) for name in ("row", "twins", "winner")
    )
    return _Calls(
        row=row,
        twins=twins,
        winner=winner,
        subject=ranks_of(candidates["subject"]),
        is_inference=is_kind["inference"].to_numpy(),
        is_embedding=is_kind["embedding"].to_numpy(),
        is_aggregate=is_kind["aggregate"].to_numpy(),
        is_short=candidates["is_short"].to_numpy(),
        is_telling=candidates["has_usage"].to_numpy(),
        is_failed=candidates["is_failed"].to_numpy(),
        is_replayed=candidates["is_replayed"].to_numpy(),
        emitter=candidates.select("service_name", "scope_name"),
        started=candidates["started_at"].to_physical().to_numpy(),
        ended=candidates["ended_at"].to_physical().to_numpy(),
    )


def _wrappers(calls: _Calls, tree: Tree) -> list[_Covers]:
    """Find inference spans with another call for the same model below that tells as much.

    Embeddings too, where the outer span tells nothing: one that does is a sum of several requests.
    """
    every, embeddings = np.flatnonzero(calls.is_inference), np.flatnonzero(calls.is_embedding)
    telling = every[calls.is_telling[every]]
    silent = every[~calls.is_telling[every]]
    return [
        *_same_subject(calls, every, telling, tree),
        *_same_subject(calls, silent, silent, tree),
        *_same_subject(calls, embeddings[~calls.is_telling[embeddings]], embeddings, tree),
    ]


def _same_subject(calls: _Calls, outer: Index, inner: Index, tree: Tree) -> list[_Covers]:
    """Pair outer spans with one below about the same model; no model matches every model."""
    named_outer, named_inner = (some[calls.subject[some] >= 0] for some in (outer, inner))
    pairs = (
        (named_outer, named_inner, True),
        (outer[calls.subject[outer] < 0], inner, False),
        (outer, inner[calls.subject[inner] < 0], False),
    )
    covers = [
        _cover(above, calls.below(tree, above, below, same_subject=same), _WRAPPER)
        for above, below, same in pairs
        if len(above) and len(below)
    ]
    return [_without_sequels(calls, each) for each in covers]


def _aggregates(calls: _Calls, tree: Tree) -> list[_Covers]:
    """Find aggregates with a call, or an aggregate that tells something, below them.

    One that is short of a call adds that to those that tell their usage; a call that tells nothing
    may be the one. And who tells nothing adds nothing to a call that does not either.
    """
    silent = ~calls.is_telling
    pairs = (
        (calls.is_aggregate & ~calls.is_short, calls.is_telling),
        (
            calls.is_aggregate & silent,
            (calls.is_inference | calls.is_embedding) & silent & ~calls.is_failed,
        ),
    )
    return [
        _cover(above, calls.below(tree, above, below, same_subject=False), _AGGREGATE)
        for above, below in (map(np.flatnonzero, pair) for pair in pairs)
    ]


def _silent_inside(calls: _Calls, covers: list[_Covers], tree: Tree) -> _Covers:
    """Find calls without usage inside of a billed span that tells their usage."""
    silent = np.flatnonzero(~calls.is_telling & ~calls.is_failed & calls.is_inference)
    is_around = calls.is_telling & (calls.is_inference | calls.is_aggregate)
    for each in covers:
        is_around[each.covered] = False
    marked = np.zeros(len(tree.enter), dtype=bool)
    marked[calls.row[is_around]] = True
    around = tree.outermost(marked)[calls.row[silent]] if len(silent) else silent
    silent, by = silent[around >= 0], calls.places_of(around[around >= 0])
    told = calls.is_aggregate[by] | (calls.subject[by] == calls.subject[silent])
    return _without_sequels(calls, _Covers(silent[told], by[told], _DUPLICATE))


def _without_sequels(calls: _Calls, covers: _Covers) -> _Covers:
    """Leave out calls that one emitter placed below another call, but made after its end.

    OpenLLMetry's spans of LangChain stayed current when they had ended, so that each call stands
    below the one before it. Two emitters may have clocks that differ.
    """
    covered, by = covers.covered, covers.by
    is_sequel = np.maximum(calls.started[covered], calls.started[by]) > np.minimum(
        calls.ended[covered], calls.ended[by]
    )
    at = np.flatnonzero(is_sequel)
    if len(at):
        is_same = calls.emitter[covered[at]] == calls.emitter[by[at]]
        is_sequel[at] = is_same.select(pl.all_horizontal(pl.all())).to_series().to_numpy()
    return _Covers(covered[~is_sequel], by[~is_sequel], covers.reason)


def _cover(outer: Index, below: Index, reason: int) -> _Covers:
    return _Covers(outer[below >= 0], below[below >= 0], reason)


def _of_groups(calls: _Calls, covers: list[_Covers]) -> tuple[Index, Index]:
    """Turn coverings of spans into coverings of calls; twins do not cover each other.

    Return the reason for each call, and the place of what is billed instead.
    """
    covered = np.concatenate([each.covered for each in covers])
    by = np.concatenate([each.by for each in covers])
    reasons = np.repeat([each.reason for each in covers], [len(each.by) for each in covers])
    apart = np.flatnonzero(calls.twins[covered] != calls.twins[by])
    apart = apart[~_of_a_replay(calls, covered[apart], by[apart])]
    order = apart[np.lexsort((by[apart], covered[apart]))]
    groups, first = np.unique(calls.twins[covered[order]], return_index=True)
    # Twins are numbered by place, and those that stand around several above that.
    numbers = 2 * len(calls.row)
    in_line = ~_closes_a_circle(groups, calls.twins[by[order[first]]], numbers)
    groups, cover = groups[in_line], order[first[in_line]]
    reason_of, by_of = np.zeros((2, numbers), dtype=np.int64)
    reason_of[groups] = reasons[cover]
    by_of[groups] = calls.places_of(calls.winner[by[cover]])
    return reason_of[calls.twins], by_of[calls.twins]


def _closes_a_circle(groups: Index, onto: Index, numbers: int) -> _Mask:
    """Tell of which groups, covered by others, covers lead back to them: of a circle the first.

    Calls of two traces may be twins crosswise. Of calls that all cover each other one is billed.
    """
    hop = np.arange(numbers)
    hop[groups] = onto
    is_covered = hop != np.arange(numbers)
    lowest = hop
    for _ in range(len(groups).bit_length() + 1):
        if not is_covered[hop[groups]].any():
            return np.zeros(len(groups), dtype=bool)
        lowest, hop = np.minimum(lowest, lowest[hop]), hop[hop]
    is_first: _Mask = lowest[hop[groups]] == groups
    return is_first


def _of_a_replay(calls: _Calls, covered: Index, by: Index) -> _Mask:
    """Find coverings by a cache's answer of twins of the provider's call that filled the cache.

    The span around the cache may tell the id of that call, which must still be billed.
    """
    if not calls.is_replayed[by].any():
        return np.zeros(len(by), dtype=bool)
    replayed = np.zeros(len(calls.row), dtype=bool)
    replayed[covered[calls.is_replayed[by]]] = True
    asked = calls.twins[~replayed]
    return calls.is_replayed[by] & np.isin(calls.twins[covered], asked)


def _finally_billed(rejected: Index, instead: Index) -> Index:
    """Follow "billed instead" until a span that is billed."""
    end = np.where(rejected == _BILLED, np.arange(len(rejected)), instead)
    for _ in range(len(end).bit_length() + 1):
        end = end[end]
    return end
