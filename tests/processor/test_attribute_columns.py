"""One column per key out of the attributes of a batch."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farebox_processor.attribute_columns import Attributes, Cells, gather, texts
from farebox_processor.frames import ATTRIBUTES

KINDS = {str: (1, "text"), bool: (2, "boolean"), int: (3, "integer"), float: (4, "double")}


def attributes(*cells: tuple[int, str, Any]) -> Attributes:
    """Attributes from (row, key, value); bytes stand for the protobuf of an array."""
    ids: dict[str, int] = {}
    different: dict[str, dict[str, Any]] = {}
    which = []
    for _, key, value in cells:
        kind, column = KINDS.get(type(value), (0, "text") if value is None else (5, "raw"))
        one = {"kind": kind, column: value, "key_id": ids.setdefault(key, len(ids))}
        different.setdefault(repr(one), one)
        which.append(list(different).index(repr(one)))
    return Attributes(
        rows=np.array([row for row, _, _ in cells], dtype=np.uint32),
        which=np.array(which, dtype=np.uint32),
        different=pl.DataFrame(list(different.values()), schema=ATTRIBUTES),
        keys=pl.Series(list(ids), dtype=pl.String),
    )


SENT = attributes(
    (0, "model", "gpt-4o"),
    (0, "tokens", 12),
    (0, "finish", b"\x0a\x06\x0a\x04stop"),
    (1, "tokens", "13"),
    (1, "empty", None),
    (2, "empty", ""),
    (3, "tokens", 14.0),
    (3, "stream", True),
    (3, "finish", b"\x0a\x06\x0a\x04stop"),
)


def cells(*keys: str) -> Cells:
    return gather(SENT, 4, keys)


def test_texts_render_every_kind_and_are_null_where_absent_or_empty() -> None:
    keys = ["tokens", "model", "finish", "stream", "empty", "unheard of"]

    assert texts(SENT, 4, keys).to_dict(as_series=False) == {
        "tokens": ["12", "13", None, "14"],
        "model": ["gpt-4o", None, None, None],
        "finish": ['["stop"]', None, None, '["stop"]'],
        "stream": [None, None, None, "true"],
        "empty": [None] * 4,
        "unheard of": [None] * 4,
    }


def test_only_keys_that_occur_are_present_and_are_read_by_default() -> None:
    found = cells("unheard of", "tokens", "model", "tokens")

    assert found.present == ("tokens", "model")
    assert found.texts().columns == ["tokens", "model"]
    assert found.texts(["model"]).columns == ["model"]


def test_an_empty_value_is_not_given_and_nonsense_is() -> None:
    sent = attributes((0, "tokens", "twelve"), (1, "tokens", None), (3, "tokens", 14))

    assert gather(sent, 4, ["tokens", "unheard of"]).are_given(
        ["tokens"]
    ).to_series().to_list() == [
        True,
        False,
        False,
        True,
    ]


def test_of_a_key_that_a_span_carries_twice_the_last_value_counts() -> None:
    sent = attributes((0, "a", "first"), (0, "b", "x"), (0, "a", 2), (1, "a", "y"), (1, "a", None))

    assert texts(sent, 2, ["a"]).rows() == [("2",), (None,)]


def test_some_of_the_attributes_are_read_as_if_there_were_no_others() -> None:
    some = SENT.where(SENT.rows != 0)

    assert len(some) == 6
    assert texts(some, 4, ["model", "tokens"]).rows() == [
        (None, None),
        (None, "13"),
        (None, None),
        (None, "14"),
    ]


def test_the_rows_with_some_keys_are_each_told_once() -> None:
    assert SENT.rows_with(["finish", "tokens", "unheard of"]).tolist() == [0, 1, 3]
    assert SENT.rows_with(["unheard of"]).tolist() == []


def test_no_attributes_at_all_are_nulls() -> None:
    nothing = gather(attributes(), 3, ["a"])

    assert nothing.present == ()
    for read in (nothing.texts, nothing.integers, nothing.doubles, nothing.booleans):
        assert read(["a"]).rows() == [(None,)] * 3


@pytest.mark.parametrize(
    ("value", "integer", "double", "boolean"),
    [
        (12, 12, 12.0, None),
        (2**63 - 1, 2**63 - 1, 2.0**63, None),
        (-1, -1, -1.0, None),
        (12.0, 12, 12.0, None),
        (12.5, None, 12.5, None),
        (2.0**53, 2**53, 2.0**53, None),
        (2.0**54, None, 2.0**54, None),
        (float("inf"), None, float("inf"), None),
        ("12", 12, 12.0, None),
        ("12.0", 12, 12.0, None),
        ("1e3", 1000, 1000.0, None),
        ("12.5", None, 12.5, None),
        ("9007199254740993", 9007199254740993, 9007199254740992.0, None),
        ("9223372036854775808", None, 9223372036854775808.0, None),
        ("twelve", None, None, None),
        ("", None, None, None),
        (True, None, None, True),
        ("TRUE", None, None, True),
        ("false", None, None, False),
        (None, None, None, None),
        (b"\x0a\x02\x18\x05", None, None, None),
    ],
)
def test_numbers_and_truth_values_are_read_from_what_means_one(
    value: Any, integer: int | None, double: float | None, boolean: bool | None
) -> None:
    found = gather(attributes((0, "a", value), (1, "b", 1)), 2, ["a"])

    assert found.integers().item(0, 0) == integer
    assert found.doubles().item(0, 0) == double
    assert found.booleans().item(0, 0) == boolean


def test_nan_is_a_double_and_no_integer() -> None:
    found = gather(attributes((0, "a", float("nan")), (0, "b", "NaN")), 1, ["a", "b"])

    assert found.integers().row(0) == (None, None)
    assert found.doubles().select(pl.all().is_nan()).row(0) == (True, True)
    assert found.texts().row(0) == ("NaN", "NaN")


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from("abcdef"), st.text(max_size=3)), max_size=30
    ),
    st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_columns_hold_what_a_dictionary_per_row_would(
    sent: list[tuple[int, str, str]], keys: list[str]
) -> None:
    sent.sort(key=lambda one: one[0])
    expected: list[dict[str, str]] = [{} for _ in range(6)]
    for row, key, value in sent:
        expected[row][key] = value

    found = texts(attributes(*sent), 6, keys)

    told = [tuple(row.get(key) or None for key in keys) for row in expected]
    assert found.rows() == (told if keys else [])
