"""Spans and their attributes in, the number of each span's emitter out."""

from dataclasses import replace
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from farebox_processor.dialect_model import DEFAULT, Dialect
from farebox_processor.dialects import Dialects
from farebox_processor.usage_cells import EMITTER, SCOPE_EMITTER, SPAN_NAME, Held, Wide

__all__ = ["assign_emitters", "emitters_of_scopes"]


def assign_emitters(wide: Wide, dialects: Dialects) -> Wide:
    """Return the spans with `emitter`, its number in `dialects.emitters`: UInt16.

    The instrumentation scope decides. Where it is nobody's known, an attribute or a span name that
    only one dialect has; where there is none, the conventions of OpenTelemetry.
    """
    found = [pl.col(SCOPE_EMITTER)]
    if wide.cells.words[SCOPE_EMITTER].null_count():
        found += [
            pl.when(mark).then(pl.lit(dialects.fallback_of(dialect), dtype=pl.UInt16))
            for dialect in dialects.dialects
            if (mark := _mark(dialect, wide.held)) is not None
        ]
        default = next(dialect for dialect in dialects.dialects if dialect.name == DEFAULT)
        found.append(pl.lit(dialects.fallback_of(default), dtype=pl.UInt16))
    return replace(wide, cells=wide.cells.with_columns(**{EMITTER: pl.coalesce(found)}))


def emitters_of_scopes(spans: pl.DataFrame, dialects: Dialects) -> pl.Series:
    """Return the number of the emitter that the scope of each span decides on, null if none."""
    rows = spans["scope_row"].to_numpy()
    any_span = np.zeros(int(rows.max()) + 1 if len(rows) else 0, dtype=np.int64)
    any_span[rows] = np.arange(spans.height)
    scopes = spans.select(pl.col("scope_name", "scope_version").gather(any_span))
    known = {scope: dialects.emitter_of(*scope) for scope in set(scopes.iter_rows())}
    numbers = pl.Series("emitter", map(known.get, scopes.iter_rows()), dtype=pl.UInt16)
    return numbers.gather(spans["scope_row"])


def _mark(dialect: Dialect, held: Held) -> pl.Expr | None:
    """Return whether a span shows a mark of `dialect`; None if no span of the batch can."""
    marks = [pl.col(mark).is_not_null() for mark in dialect.marks if mark in held.texts]
    if dialect.span_names is not None:
        marks.append(pl.col(SPAN_NAME).str.contains(dialect.span_names))
    return reduce(or_, marks) if marks else None
