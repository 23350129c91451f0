"""Parent links in, positions in the tree out: who is below whom, and how deep, for any shape.

Everything here is pointer doubling over whole arrays, so that a chain of 50 000 spans costs a few
more rounds than a flat trace and nothing else. Cycles, self-parents and parents that never came
are no errors: such a span simply is a root.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Tree", "build_tree"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tree:
    """Positions of every span in its tree, by row of the frame it was built from.

    Row b lies below row a exactly if enter[a] < enter[b] and leave[b] < leave[a].
    """

    parent: Index
    """Row of the parent, -1 for a root."""
    depth: Index
    """Number of ancestors."""
    enter: Index
    """Place in the walk at which the span is entered; siblings are walked in row order."""
    leave: Index
    """Place in the walk at which its last descendant has been left."""

    def outermost(self, marked: npt.NDArray[np.bool_]) -> Index:
        """Return for each row its outermost marked ancestor or itself, -1 where there is none."""
        rows = np.flatnonzero(marked)
        rows = rows[np.argsort(self.enter[rows])]
        # In the order of entry a marked span is outermost if no marked one before it is still open.
        open_until = np.maximum.accumulate(self.leave[rows]) if len(rows) else rows
        is_outermost = np.ones(len(rows), dtype=bool)
        is_outermost[1:] = self.leave[rows[1:]] > open_until[:-1]
        outer = rows[is_outermost]
        if not len(outer):
            return np.full(len(self.enter), -1, dtype=np.int64)
        last = np.searchsorted(self.enter[outer], self.enter, side="right") - 1
        candidate = outer[np.maximum(last, 0)]
        inside = (last >= 0) & (self.leave <= self.leave[candidate])
        return np.where(inside, candidate, -1)

    def topmost(self, marked: npt.NDArray[np.bool_]) -> Index:
        """Return for each row where an unbroken line of marked parents above it ends, or itself."""
        parent = np.maximum(self.parent, 0)
        return _ends(np.where((self.parent >= 0) & marked[parent], parent, np.arange(len(parent))))

    def first_below(
        self, rows: Index, others: Index, *, groups: tuple[Index, Index] | None = None
    ) -> Index:
        """Return for each of `rows` the first of `others` that lies below it, -1 if none does.

        With `groups`, a number for each row and for each other, only equal numbers are matched.
        """
        row_group, other_group = groups or (np.zeros_like(rows), np.zeros_like(others))
        if not len(others):
            return np.full(len(rows), -1, dtype=np.int64)
        stride = 2 * len(self.enter) + 1
        keys = other_group * stride + self.enter[others]
        order = np.argsort(keys)
        place = np.searchsorted(keys[order], row_group * stride + self.enter[rows], side="right")
        nearest = order[np.minimum(place, len(others) - 1)]
        found = others[nearest]
        below = (
            (place < len(others))
            & (other_group[nearest] == row_group)
            & (self.leave[found] < self.leave[rows])
        )
        return np.where(below, found, -1)

    def count_below(self, rows: Index, others: Index, *, groups: tuple[Index, Index]) -> Index:
        """Return for each of `rows` how many of `others` of the same group lie below it."""
        stride = 2 * len(self.enter) + 1
        keys = np.sort((groups[1] + 1) * stride + self.enter[others])
        first = (groups[0] + 1) * stride
        until = np.searchsorted(keys, first + self.leave[rows])
        return until - np.searchsorted(keys, first + self.enter[rows], side="right")


def build_tree(spans: pl.DataFrame) -> Tree:
    """Build the tree of `spans`: trace, span_id, parent_span_id, one row per span."""
    parent = _without_cycles(_parent_rows(spans))
    enter, leave = _walk(parent)
    return Tree(parent=parent, depth=_depths(parent), enter=enter, leave=leave)


def _parent_rows(spans: pl.DataFrame) -> Index:
    keys = spans.select("trace", "span_id").with_row_index("parent_row")
    found = spans.select("trace", "parent_span_id").join(
        keys,
        left_on=["trace", "parent_span_id"],
        right_on=["trace", "span_id"],
        how="left",
        maintain_order="left",
    )
    return found["parent_row"].cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)


def _rounds(count: int) -> int:
    """Return how many doublings reach across `count` links."""
    return max(1, int(count).bit_length() + 1)


def _ends(hop: Index) -> Index:
    """Follow links until they lead to themselves; those that go round and round end anywhere."""
    for _ in range(_rounds(len(hop))):
        further = hop[hop]
        if np.array_equal(further, hop):
            break
        hop = further
    return hop


def _without_cycles(parent: Index) -> Index:
    """Make a root of every span whose line of ancestors never ends."""
    count = len(parent)
    end = count  # one more slot, its own parent, that every root leads to
    ends = _ends(np.append(np.where(parent < 0, end, parent), end))
    return np.where(ends[:count] == end, parent, -1)


def _depths(parent: Index) -> Index:
    count = len(parent)
    hop = np.append(np.where(parent < 0, count, parent), count)
    depth = np.append((parent >= 0).astype(np.int64), 0)
    for _ in range(_rounds(count)):
        if (hop == count).all():
            break
        depth = depth + depth[hop]
        hop = hop[hop]
    return depth[:count]


def _walk(parent: Index) -> tuple[Index, Index]:
    """Number the steps of a depth-first walk: entering span i is edge i, leaving it edge n + i."""
    count = len(parent)
    if not count:
        return parent, parent
    by_parent = np.argsort(parent, kind="stable")
    same_parent = parent[by_parent[1:]] == parent[by_parent[:-1]]
    next_sibling = np.full(count, -1, dtype=np.int64)
    next_sibling[by_parent[:-1][same_parent]] = by_parent[1:][same_parent]
    first_child = np.full(count, -1, dtype=np.int64)
    is_first = np.append(True, ~same_parent)
    firsts = by_parent[is_first]
    first_child[parent[firsts[parent[firsts] >= 0]]] = firsts[parent[firsts] >= 0]

    rows = np.arange(count, dtype=np.int64)
    after_enter = np.where(first_child >= 0, first_child, rows + count)
    after_leave = np.where(next_sibling >= 0, next_sibling, parent + count)
    # The walk of a tree ends where its root is left: that leads to itself.
    after_leave = np.where(parent >= 0, after_leave, rows + count)
    last, steps_left = _distances(np.concatenate([after_enter, after_leave]))
    roots = np.flatnonzero(parent < 0)
    ends_at = np.zeros(count, dtype=np.int64)
    ends_at[roots] = np.cumsum(steps_left[roots] + 1) - 1
    place = ends_at[last - count] - steps_left
    return place[:count], place[count:]


def _distances(following: Index) -> tuple[Index, Index]:
    """Return where each line of links ends, and how many links away that is."""
    steps_left = (following != np.arange(len(following))).astype(np.int64)
    for _ in range(_rounds(len(following))):
        further = following[following]
        if np.array_equal(further, following):
            break
        steps_left = steps_left + steps_left[following]
        following = further
    return following, steps_left
