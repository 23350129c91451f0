"""Positions in trees of any shape."""

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from farebox_processor.rollup.tree import build_tree


def spans_of(parents: list[int | None]) -> pl.DataFrame:
    """Build spans numbered by place, each with the number of its parent."""
    return pl.DataFrame(
        {
            "trace": [0] * len(parents),
            "span_id": [str(number) for number in range(len(parents))],
            "parent_span_id": [None if p is None else str(p) for p in parents],
        },
        schema_overrides={"parent_span_id": pl.String, "span_id": pl.String},
    )


def ancestors(parents: list[int | None], number: int) -> list[int]:
    """Climb one by one; a line that never ends or leads nowhere has no ancestors."""
    found: list[int] = []
    parent = parents[number]
    while parent is not None and parent < len(parents):
        if len(found) > len(parents):
            return []
        found.append(parent)
        parent = parents[parent]
    return found


any_parents = st.integers(0, 12).flatmap(
    lambda count: st.lists(st.none() | st.integers(0, count + 1), min_size=count, max_size=count)
)


@given(parents=any_parents)
def test_the_tree_says_of_any_two_spans_whether_one_is_below_the_other(
    parents: list[int | None],
) -> None:
    tree = build_tree(spans_of(parents))

    for a in range(len(parents)):
        assert tree.depth[a] == len(ancestors(parents, a))
        below_a = (tree.enter > tree.enter[a]) & (tree.leave < tree.leave[a])
        assert below_a.tolist() == [a in ancestors(parents, b) for b in range(len(parents))]


@given(parents=any_parents, seed=st.data())
def test_the_outermost_marked_span_is_the_last_on_the_way_to_the_root(
    parents: list[int | None], seed: Any
) -> None:
    marked = seed.draw(st.lists(st.booleans(), min_size=len(parents), max_size=len(parents)))

    outermost = build_tree(spans_of(parents)).outermost(np.array(marked, dtype=bool))

    for number in range(len(parents)):
        line = [a for a in [number, *ancestors(parents, number)] if marked[a]]
        assert outermost[number] == (line[-1] if line else -1)


@given(parents=any_parents)
def test_the_first_span_below_is_the_first_of_the_walk(parents: list[int | None]) -> None:
    tree = build_tree(spans_of(parents))
    everyone = np.arange(len(parents), dtype=np.int64)

    first = tree.first_below(everyone, everyone)

    for number in range(len(parents)):
        below = [b for b in range(len(parents)) if number in ancestors(parents, b)]
        expected = min(below, key=lambda b: tree.enter[b], default=-1)
        assert first[number] == expected
