"""A folded frame says what the same columns in one frame say, whatever is worked out on it."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from farebox_processor.folded import Folded, combine, concat

WORDS = {"scope": pl.String(), "asks": pl.Boolean()}
SPANS = st.lists(
    st.tuples(
        st.sampled_from(["openai", "anthropic", None]),
        st.sampled_from([True, False, None]),
        st.integers(0, 9) | st.none(),
    ),
    max_size=12,
)
STEPS = {
    "named": pl.coalesce("scope", pl.lit("nobody")),
    "doubled": pl.col("tokens") * 2,
    "told": pl.when("asks").then("tokens"),
    "always": pl.lit(1),
    "scope": pl.col("scope").str.to_uppercase(),
    "tokens": pl.col("tokens").fill_null(0),
}


def plain(spans: list[tuple[str | None, bool | None, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(spans, schema=WORDS | {"tokens": pl.Int64()}, orient="row")


def folded(frame: pl.DataFrame) -> Folded:
    """Fold the words of a frame."""
    codes = [(frame[name].cast(pl.String).rank("dense").fill_null(0), 9) for name in WORDS]
    group, first = combine([(code.to_numpy(), size) for code, size in codes], frame.height)
    return Folded.of(frame.select("tokens"), frame.select(list(WORDS))[first], group)


def assert_same(one: Folded, other: pl.DataFrame) -> None:
    assert sorted(one.columns) == sorted(other.columns)
    assert_frame_equal(one.unfold(), other, check_column_order=False)


@given(SPANS, st.lists(st.sampled_from(sorted(STEPS)), max_size=4))
def test_columns_are_those_of_a_frame_in_whatever_order_they_are_made(spans, names):
    frame = plain(spans)
    made = folded(frame)

    for name in names:
        frame = frame.with_columns(**{name: STEPS[name]})
        made = made.with_columns(**{name: STEPS[name]})

    assert_same(made, frame)


@given(SPANS)
def test_columns_that_are_made_at_once_see_those_from_before(spans):
    frame = plain(spans)

    assert_same(folded(frame).with_columns(**STEPS), frame.with_columns(**STEPS))


@given(SPANS, st.sets(st.sampled_from(sorted(STEPS)), min_size=1))
def test_selected_columns_are_those_of_a_frame(spans, names):
    frame = plain(spans)
    steps = {name: STEPS[name] for name in names}
    # Of literals alone a frame makes one row.
    expected = frame.with_columns(**steps).select(list(steps))

    assert_same(folded(frame).select(**steps), expected)


@given(SPANS, st.sets(st.sampled_from(["scope", "asks", "tokens"]), max_size=2))
def test_what_is_left_after_columns_are_dropped_keeps_its_rows(spans, names):
    frame = plain(spans)

    assert_same(folded(frame).drop(names), frame.drop(names))


@given(SPANS, st.data())
def test_marked_rows_are_those_of_a_frame(spans, data):
    frame = plain(spans)
    mask = pl.Series(
        data.draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans))),
        dtype=pl.Boolean,
    )

    made = folded(frame).filter(mask)

    assert_same(made, frame.filter(mask))
    assert made.words.height <= made.rows.height


@given(SPANS, SPANS)
def test_parts_are_put_together_in_their_places(ours, theirs):
    whole = plain([*ours, *theirs]).with_columns(doubled=pl.col("tokens") * 2)
    parts = [folded(plain(ours)), folded(plain(theirs)).with_columns(doubled=pl.col("tokens") * 2)]
    places = [
        pl.Series(range(len(ours)), dtype=pl.Int64),
        pl.Series(range(len(ours), whole.height), dtype=pl.Int64),
    ]

    made = concat(parts, places)

    is_ours = pl.int_range(pl.len()) < len(ours)
    expected = whole.with_columns(doubled=pl.when(~is_ours).then("doubled"))
    assert_same(made, expected)


def test_parts_are_put_together_by_their_places_and_not_by_their_order():
    parts = [folded(plain([("a", True, 1), ("b", None, 3)])), folded(plain([("a", False, 2)]))]

    made = concat(parts, [pl.Series([0, 2]), pl.Series([1])])

    assert_same(made, plain([("a", True, 1), ("a", False, 2), ("b", None, 3)]))


def test_an_expression_over_words_is_worked_out_once_per_combination():
    seen = []

    def look(words: pl.Series) -> pl.Series:
        seen.append(len(words))
        return words

    frame = folded(plain([("openai", True, number) for number in range(100)]))
    frame.with_columns(looked=pl.col("scope").map_batches(look, return_dtype=pl.String))

    assert seen == [1]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2**40 - 1), st.integers(0, 2**40 - 1)),
        max_size=20,
    )
)
def test_rows_are_of_one_group_exactly_if_all_their_codes_are_equal(rows):
    codes = pl.DataFrame(rows, schema=["a", "b", "c"], orient="row", infer_schema_length=None).cast(
        pl.Int64
    )
    sizes = (3, 2**40, 2**40)

    group, first = combine(
        [(codes[name].to_numpy(), size) for name, size in zip("abc", sizes, strict=True)], len(rows)
    )

    assert [rows[first[number]] for number in group] == rows
    assert sorted(group.unique()) == list(range(len(set(rows))))


@pytest.mark.parametrize("names", [set(), {"scope"}, {"scope", "asks", "tokens"}])
def test_a_column_by_row_says_what_it_said_as_a_word(names):
    frame = plain([("openai", True, 1), ("openai", None, None)])

    assert_same(folded(frame).spread_out(names), frame)
