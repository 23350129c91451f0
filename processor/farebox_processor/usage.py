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
from farebox_processor.usage_columns import Given, Step
from farebox_processor.usage_dimensions import read_dimensions
from farebox_processor.usage_emitters import assign_emitters
from farebox_processor.usage_reported import read_reported
from farebox_processor.usage_terms import accepted_cost
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
    calls = describe_calls(_read_in_dialects(wide, emitters, dialects), dialects.common)
    readings = pl.Series([emitter.reading for _, emitter in dialects.emitters], dtype=pl.String)
    calls = split_tokens(calls.with_columns(emitter=emitters, scope_reading=readings[emitters]))
    calls = calls.with_columns(**accepted_cost(Given(frozenset(calls.columns))))
    calls = list_units(calls, read_own_units(decoded.span_attributes, spans.height, dialects))
    calls = name_doubts(calls, wide, dialects)
    calls = calls.with_columns(**_candidates(Given(frozenset(calls.columns))))
    dimensions = read_dimensions(
        wide, decoded.resource_attributes, spans["resource_row"], dialects.common
    )
    return _assembled(_of_tenants(spans, dimensions["tenant_id"]), dimensions, calls)


def _of_tenants(spans: pl.DataFrame, named: pl.Series) -> pl.DataFrame:
    """Take the tenant that a span names where no credential has said whose it is."""
    return spans.with_columns(
        tenant=pl.when(pl.col("tenant") == "").then(named).otherwise("tenant")
    )


def _read_in_dialects(wide: Wide, emitters: pl.Series, dialects: Dialects) -> pl.DataFrame:
    """Return what the spans report, each read in its own dialect, in the order of the spans."""
    numbers = [dialects.dialects.index(dialect) for dialect, _ in dialects.emitters]
    spoken = pl.Series(numbers, dtype=pl.UInt16)[emitters]
    distinct = spoken.unique().to_list() or [0]
    if len(distinct) == 1:
        return read_reported(wide, dialects.dialects[distinct[0]], dialects.common)
    rows = pl.arange(len(emitters), eager=True)
    parts, places = [], []
    for number in distinct:
        mine = spoken == number
        parts.append(read_reported(wide.part(mine), dialects.dialects[number], dialects.common))
        places.append(rows.filter(mine))
    return pl.concat(parts, how="diagonal")[pl.concat(places).arg_sort()]


def _candidates(given: Given) -> Step:
    """Return what may carry money; a span of no kind and no money has no dialect either."""
    may_cost = [
        pl.col("has_usage"),
        pl.col("call_kind").is_in(_CALLS),
        *(
            pl.col(name).is_not_null()
            for name in ("supplied_cost_usd", "units", "price_rule", "uncertainty")
            if name in given
        ),
    ]
    candidate = pl.any_horizontal(may_cost).fill_null(False) & ~pl.col("is_no_call")
    is_known = candidate | pl.col("is_no_call") | pl.col("call_kind").is_not_null()
    return {"candidate": candidate, "dialect": pl.when(is_known).then("dialect")}


def _assembled(*frames: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of SPANS and USAGE from the first frame that has each; else nulls."""
    held = {column.name: column for frame in reversed(frames) for column in frame.get_columns()}
    height = frames[0].height
    for name in (SPANS | USAGE).keys() - held.keys():
        held[name] = pl.Series(name, [None]).new_from_index(0, height)
    held["invalid_usage"] = held["invalid_usage"].fill_null(0)
    return pl.DataFrame(
        [
            held[name] if held[name].dtype == dtype else held[name].cast(dtype)
            for name, dtype in (SPANS | USAGE).items()
        ]
    )
