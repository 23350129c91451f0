"""Decoded spans in, the usage of each span out: who called what, how much of it, how surely.

Every span is read alone, in the dialect of its emitter; nothing depends on the other spans of the
batch. Which dialect says what is data (farebox_schemas/dialects); the steps here are the same for
all of them.
"""

from typing import Final

import polars as pl

from farebox_processor.dialects import Dialects
from farebox_processor.frames import SPANS, USAGE
from farebox_processor.otlp import Decoded
from farebox_processor.usage_calls import describe_calls
from farebox_processor.usage_cells import Wide, widen
from farebox_processor.usage_dimensions import read_dimensions
from farebox_processor.usage_emitters import assign_emitters
from farebox_processor.usage_reported import read_reported
from farebox_processor.usage_terms import read_terms
from farebox_processor.usage_tokens import split_tokens
from farebox_processor.usage_uncertainty import name_doubts
from farebox_processor.usage_units import list_units, read_own_units

__all__ = ["read_usage"]

_CALLS: Final = ("inference", "embeddings", "rerank")
"""Kinds that cost money even where no usage is stated."""


def read_usage(decoded: Decoded, dialects: Dialects) -> pl.DataFrame:
    """Return one row per span, in the same order, with the columns of SPANS and of USAGE."""
    spans = decoded.spans
    wide = widen(spans, decoded.span_attributes, dialects)
    emitters = assign_emitters(spans, wide, dialects)
    reported = _read_in_dialects(wide, emitters, dialects)
    readings = [emitter.reading for _, emitter in dialects.emitters]
    calls = describe_calls(reported, dialects.common).with_columns(
        emitter=emitters, scope_reading=pl.Series(readings, dtype=pl.String).gather(emitters)
    )
    own_units = read_own_units(decoded.span_attributes, spans.height, dialects)
    calls = list_units(split_tokens(calls), own_units)
    calls = name_doubts(read_terms(calls), wide, dialects)
    dimensions = read_dimensions(
        wide, decoded.resource_attributes, spans["resource_row"], dialects.common
    )
    columns = pl.concat(
        [
            spans.select(*SPANS),
            dimensions,
            _candidates(calls).drop(dimensions.columns, strict=False),
        ],
        how="horizontal",
    )
    return columns.select(pl.col(name).cast(dtype) for name, dtype in (SPANS | USAGE).items())


def _read_in_dialects(wide: Wide, emitters: pl.Series, dialects: Dialects) -> pl.DataFrame:
    """Return what the spans report, each read in its own dialect, in the order of the spans."""
    numbers = [dialects.dialects.index(dialect) for dialect, _ in dialects.emitters]
    spoken = pl.Series(numbers, dtype=pl.UInt16).gather(emitters)
    rows = pl.arange(len(emitters), eager=True)
    parts, places = [], []
    for number in spoken.unique().sort().to_list() or [0]:
        mine = spoken == number
        parts.append(read_reported(wide.part(mine), dialects.dialects[number], dialects.common))
        places.append(rows.filter(mine))
    reported = pl.concat(parts, how="diagonal_relaxed")
    return reported if len(parts) == 1 else reported[pl.concat(places).arg_sort()]


def _candidates(calls: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with what may carry money; a span of no kind and no money has no dialect."""
    may_cost = (
        pl.col("has_usage")
        | pl.col("call_kind").is_in(_CALLS)
        | pl.col("supplied_cost_usd").is_not_null()
        | pl.col("units").is_not_null()
        | pl.col("price_rule").is_not_null()
        | pl.col("uncertainty").is_not_null()
    )
    candidate = may_cost.fill_null(False) & ~pl.col("is_no_call")
    is_known = candidate | pl.col("kind").is_not_null()
    return calls.with_columns(candidate=candidate, dialect=pl.when(is_known).then("dialect"))
