"""Decoded spans in, the usage of each span out: who called what, how much of it, how surely.

Every span is read alone, in the dialect of its emitter; nothing depends on the other spans of the
batch. Which dialect says what is data (farebox_schemas/dialects); the steps here are the same for
all of them.
"""

from typing import Final

import polars as pl

from farebox_processor.dialects import Dialects
from farebox_processor.folded import Folded, concat
from farebox_processor.frames import ALIKE, SPANS, TERMS, USAGE
from farebox_processor.otlp import Decoded
from farebox_processor.usage_calls import describe_calls
from farebox_processor.usage_cells import EMITTER, Wide, widen
from farebox_processor.usage_columns import Given, Step
from farebox_processor.usage_dimensions import read_dimensions
from farebox_processor.usage_emitters import assign_emitters, emitters_of_scopes
from farebox_processor.usage_reported import read_reported
from farebox_processor.usage_terms import accepted_cost
from farebox_processor.usage_tokens import split_tokens
from farebox_processor.usage_uncertainty import name_doubts
from farebox_processor.usage_units import list_units, read_own_units

__all__ = ["CALLS", "read_usage"]

CALLS: Final = ("inference", "embeddings", "rerank")
"""Kinds that cost money even where no usage is stated."""


def read_usage(decoded: Decoded, dialects: Dialects) -> pl.DataFrame:
    """Return one row per span, in the same order, with the columns of SPANS and of USAGE."""
    spans = decoded.spans
    scopes = emitters_of_scopes(spans, dialects)
    wide = assign_emitters(widen(spans, decoded.span_attributes, scopes, dialects), dialects)
    described = describe_calls(_read_in_dialects(wide, dialects), dialects.common)
    calls = split_tokens(described.with_columns(scope_reading=_scope_reading(dialects)).unfold())
    if set(TERMS) <= set(described.words.columns):
        calls = calls.with_columns(described.group.alias(ALIKE))
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


def _read_in_dialects(wide: Wide, dialects: Dialects) -> Folded:
    """Return what the spans report, each read in its own dialect, in the order of the spans."""
    numbers = [dialects.dialects.index(dialect) for dialect, _ in dialects.emitters]
    spoken = pl.Series(numbers, dtype=pl.UInt16)
    distinct = spoken.gather(wide.cells.distinct(EMITTER)).unique().to_list() or [0]
    if len(distinct) == 1:
        return read_reported(wide, dialects.dialects[distinct[0]], dialects.common)
    of_span = spoken.gather(wide.cells[EMITTER])
    rows = pl.arange(len(of_span), eager=True)
    parts, places = [], []
    for number in distinct:
        mine = of_span == number
        parts.append(read_reported(wide.part(mine), dialects.dialects[number], dialects.common))
        places.append(rows.filter(mine))
    return concat(parts, places)


def _scope_reading(dialects: Dialects) -> pl.Expr:
    """Return what the scope of a span is known to say about its input."""
    readings = {
        number: emitter.reading
        for number, (_, emitter) in enumerate(dialects.emitters)
        if emitter.reading
    }
    return pl.col(EMITTER).replace_strict(readings, default=None, return_dtype=pl.String)


def _candidates(given: Given) -> Step:
    """Return what may carry money; a span of no kind and no money has no dialect either."""
    may_cost = [
        pl.col("has_usage"),
        pl.col("call_kind").is_in(CALLS),
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
    schema = SPANS | USAGE
    held: set[str] = set()
    parts = []
    for frame in frames:
        mine = [name for name in frame.columns if name not in held]
        held.update(mine)
        parts.append(frame.select(mine))
    # As frames, not as series: a column of one value stays a value.
    whole = pl.concat(parts, how="horizontal")
    other = {name: pl.lit(None, dtype) for name, dtype in schema.items() if name not in held}
    other |= {
        name: pl.col(name).cast(schema[name])
        for name, dtype in whole.schema.items()
        if name in schema and dtype != schema[name]
    }
    whole = whole.with_columns(**other).with_columns(pl.col("invalid_usage").fill_null(0))
    return whole[[*schema, *held.intersection([ALIKE])]]
