"""Spans and their attributes in, the number of each span's emitter out."""

from functools import reduce
from operator import or_

import polars as pl

from farebox_processor.dialect_model import DEFAULT, Dialect
from farebox_processor.dialects import Dialects
from farebox_processor.usage_cells import SPAN_NAME, Held, Wide

__all__ = ["assign_emitters"]


def assign_emitters(spans: pl.DataFrame, wide: Wide, dialects: Dialects) -> pl.Series:
    """Return the number of the emitter of each span in `dialects.emitters`: UInt16.

    The instrumentation scope decides. Where it is nobody's known, an attribute or a span name that
    only one dialect has; where there is none, the conventions of OpenTelemetry.
    """
    by_scope = _by_scope(spans, dialects)
    if by_scope.null_count() == 0:
        return by_scope
    by_mark = [
        pl.when(mark).then(pl.lit(dialects.fallback_of(dialect), dtype=pl.UInt16))
        for dialect in dialects.dialects
        if (mark := _mark(dialect, wide.held)) is not None
    ]
    default = next(dialect for dialect in dialects.dialects if dialect.name == DEFAULT)
    rest = pl.lit(dialects.fallback_of(default), dtype=pl.UInt16)
    return wide.cells.select(pl.coalesce(by_scope, *by_mark, rest).alias("emitter")).to_series()


def _by_scope(spans: pl.DataFrame, dialects: Dialects) -> pl.Series:
    scope = ["scope_name", "scope_version"]
    scopes = spans.select(scope).unique()
    numbers = [dialects.emitter_of(name, version) for name, version in scopes.iter_rows()]
    if len(numbers) == 1:
        return pl.Series("emitter", numbers, dtype=pl.UInt16).new_from_index(0, spans.height)
    known = scopes.with_columns(emitter=pl.Series(numbers, dtype=pl.UInt16))
    return spans.select(scope).join(
        known, on=scope, how="left", nulls_equal=True, maintain_order="left"
    )["emitter"]


def _mark(dialect: Dialect, held: Held) -> pl.Expr | None:
    """Return whether a span shows a mark of `dialect`; None if no span of the batch can."""
    marks = [pl.col(mark).is_not_null() for mark in dialect.marks if mark in held.texts]
    if dialect.span_names is not None:
        marks.append(pl.col(SPAN_NAME).str.contains(dialect.span_names))
    return reduce(or_, marks) if marks else None
