"""Spans and long attributes in, one wide frame out: what any dialect asks a span for, cleaned.

A text attribute is a column of its own name, kept once per combination of words if it is one. A
count is a column `#name` of whole numbers from 0 to 2^40; what is none of those is null there and
true in a column `!name`, which exists only if a batch holds such nonsense. SPAN_NAME, IS_FAILED and
SCOPE_EMITTER come from the span itself.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from farebox_processor.attribute_columns import Attributes, gather
from farebox_processor.dialects import Dialects
from farebox_processor.folded import Folded, combine

__all__ = [
    "EMITTER",
    "IS_FAILED",
    "LARGEST_COUNT",
    "SCOPE_EMITTER",
    "SPAN_NAME",
    "Held",
    "Wide",
    "invalid_column",
    "number_column",
    "widen",
]

LARGEST_COUNT: Final = 2**40
"""No call uses a trillion tokens; sums of what is left stay far below 2^63."""

SPAN_NAME: Final = "@span_name"
IS_FAILED: Final = "@is_failed"
SCOPE_EMITTER: Final = "@scope_emitter"
EMITTER: Final = "emitter"

_MOST_VALUES: Final = 64
"""An attribute with more different values in a batch is no word: ids, and what people write."""
_MOST_COMBINATIONS: Final = 1_000
"""Beyond, and where most spans have one of their own, words do not repeat enough to be worth it."""

_ERROR: Final = 2  # status code of OTLP


@dataclass(frozen=True, slots=True)
class Held:
    """The attributes that a batch has at all."""

    numbers: frozenset[str]
    texts: frozenset[str]
    invalid: frozenset[str]
    """Attributes that hold nonsense on some span, where a count was expected."""


@dataclass(frozen=True, slots=True)
class Wide:
    """The attributes of a batch of spans."""

    cells: Folded
    held: Held

    def part(self, rows: pl.Series) -> "Wide":
        """Return the rows that are marked, with what there is on them."""
        cells = self.cells.filter(rows)
        empty = {
            name
            for half in (cells.rows, cells.words)
            for name, count in half.null_count().row(0, named=True).items()
            if count == half.height
        }
        held = Held(
            numbers=frozenset(key for key in self.held.numbers if number_column(key) not in empty),
            texts=self.held.texts - empty,
            invalid=self.held.invalid,
        )
        return Wide(cells, held)


def number_column(key: str) -> str:
    """Return the column that holds the attribute `key` as a count."""
    return f"#{key}"


def invalid_column(key: str) -> str:
    """Return the column that says where the attribute `key` is no count."""
    return f"!{key}"


def widen(
    spans: pl.DataFrame, attributes: Attributes, scopes: pl.Series, dialects: Dialects
) -> Wide:
    """Gather what the dialects ask for from the attributes of `spans`.

    `scopes` is the number of the emitter that the scope of each span decides on, null if none.
    """
    own = spans.select(
        pl.col("span_name").alias(SPAN_NAME),
        (pl.col("status_code") == _ERROR).fill_null(False).alias(IS_FAILED),
    )
    cells = gather(attributes, spans.height, dialects.keys)
    number_keys = [key for key in cells.present if key in dialects.number_keys]
    text_keys = [key for key in cells.present if key in dialects.text_keys]
    numbers = cells.integers(number_keys).select(
        pl.when(pl.col(key).is_between(0, LARGEST_COUNT))
        .then(pl.col(key))
        .alias(number_column(key))
        for key in number_keys
    )
    nonsense = _nonsense(numbers, cells.are_given(number_keys))
    codes = cells.codes(text_keys, _MOST_VALUES)
    own_codes = [
        (own[IS_FAILED].to_numpy(), 2),
        ((scopes.cast(pl.Int64) + 1).fill_null(0).to_numpy(), len(dialects.emitters) + 1),
    ]
    group, first = combine([*codes.values(), *own_codes], spans.height)
    if len(first) > max(_MOST_COMBINATIONS, spans.height // 2):
        codes = {}
        group, first = combine(own_codes, spans.height)
    names = [key for key in text_keys if key not in codes]
    return Wide(
        cells=Folded.of(
            rows=pl.DataFrame([own[SPAN_NAME], *numbers, *cells.texts(names), *nonsense.values()]),
            words=pl.DataFrame(
                [
                    own[IS_FAILED].gather(first),
                    scopes.gather(first).alias(SCOPE_EMITTER),
                    *cells.at(first).texts(list(codes)),
                ]
            ),
            group=group,
        ),
        held=Held(frozenset(number_keys), frozenset(text_keys), frozenset(nonsense)),
    )


def _nonsense(numbers: pl.DataFrame, given: pl.DataFrame) -> dict[str, pl.Series]:
    """Return by its key where an attribute is given and no count, of those that are that at all."""
    return {
        key: (is_given & numbers[number_column(key)].is_null()).alias(invalid_column(key))
        for key, is_given in given.to_dict().items()
        if is_given.sum() > numbers[number_column(key)].count()
    }
