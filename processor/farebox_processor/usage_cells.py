"""Spans and long attributes in, one wide frame out: what any dialect asks a span for, cleaned.

A text attribute is a column of its own name. A count is a column `#name` of whole numbers from 0 to
2^40; what is none of those is null there and true in a column `!name`, which exists only if a batch
holds such nonsense. SPAN_NAME and IS_FAILED come from the span itself.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from farebox_processor.attribute_columns import Attributes, gather
from farebox_processor.dialects import Dialects

__all__ = [
    "IS_FAILED",
    "LARGEST_COUNT",
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
    """The attributes of a batch of spans, one row per span."""

    cells: pl.DataFrame
    held: Held

    def part(self, rows: pl.Series) -> "Wide":
        """Return the rows that are marked, with what there is on them."""
        cells = self.cells.filter(rows)
        nulls = cells.null_count().row(0, named=True)
        empty = {name for name, count in nulls.items() if count == cells.height}
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


def widen(spans: pl.DataFrame, attributes: Attributes, dialects: Dialects) -> Wide:
    """Gather what the dialects ask for from the attributes of `spans`."""
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
    return Wide(
        cells=pl.DataFrame([*own, *numbers, *cells.texts(text_keys), *nonsense.values()]),
        held=Held(frozenset(number_keys), frozenset(text_keys), frozenset(nonsense)),
    )


def _nonsense(numbers: pl.DataFrame, given: pl.DataFrame) -> dict[str, pl.Series]:
    """Return by its key where an attribute is given and no count, of those that are that at all."""
    return {
        key: (is_given & numbers[number_column(key)].is_null()).alias(invalid_column(key))
        for key, is_given in given.to_dict().items()
        if is_given.sum() > numbers[number_column(key)].count()
    }
