"""A part of a batch in one dialect in, what its spans report out, in the words of all dialects.

Nothing is worked out here. The columns, each only if a span of the batch has it: one per quantity
of dialect_model.QUANTITIES (they may overlap), one per text of TEXTS, one per counted unit and per
evidence of one; and what the dialect makes of the span.
"""

from functools import lru_cache
from typing import Final

import polars as pl

from farebox_processor.dialect_model import (
    QUANTITIES,
    TEXTS,
    Common,
    Dialect,
    KindRule,
    Layout,
    Source,
)
from farebox_processor.folded import Folded
from farebox_processor.usage_cells import EMITTER, IS_FAILED, SPAN_NAME, Held, Wide, invalid_column
from farebox_processor.usage_columns import NO_TEXT, SHAPES
from farebox_processor.usage_sources import is_nonsense, money, number, searches, text

__all__ = ["evidence_column", "read_reported", "unit_column"]

_MAIN: Final = ("input", "output", "total")
"""Quantities of which a layout states one, wherever it is on a span."""

_NEEDED: Final = ("input", "output", "cache_read", "cache_write")
"""Quantities without which a call cannot be priced if the span tries to state them."""


def unit_column(unit: str) -> str:
    """Return the column that holds how many of `unit` a span reports."""
    return f"unit:{unit}"


def evidence_column(unit: str) -> str:
    """Return the column that says whether a span shows that some of `unit` was used."""
    return f"evidence:{unit}"


def read_reported(wide: Wide, dialect: Dialect, common: Common) -> Folded:
    """Return what spans report.

    Columns: of QUANTITIES (Int64), of TEXTS (String), unit:* (Int64), evidence:* (Boolean),
    layout_reading, is_told_twice, supplied_cost_usd and supplied_cost_source, invalid_usage and
    is_usage_lost; always kind, is_failed, emitter and dialect.
    """
    held = wide.held
    found, flags = _layout_flags(dialect, held)
    cells = wide.cells.with_columns(**found).with_columns(**flags)
    stated = tuple(name for name in flags if cells.distinct(name).any())
    cells = cells.with_columns(**_searches(dialect, common, held, stated))
    return cells.select(**_columns(dialect, common, held, stated))


@lru_cache(maxsize=SHAPES)
def _layout_flags(dialect: Dialect, held: Held) -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
    """Return the columns to search for, and per layout of the batch whether it is on a span."""
    found: dict[str, pl.Expr] = {}
    flags: dict[str, pl.Expr] = {}
    for layout in dialect.layouts:
        main = [layout.quantities.get(name, ()) for name in _MAIN]
        given = [read.is_not_null() for one in main if (read := number(one, held)) is not None]
        required = [text([source], held) for source in layout.requires]
        if not given or any(read is None for read in required):
            continue
        there = [read.is_not_null() for read in required if read is not None]
        flags[_flag(layout)] = pl.all_horizontal(pl.any_horizontal(given), *there)
        for sources in main:
            found |= searches(sources, held)
    return found, flags


def _flag(layout: Layout) -> str:
    return f"?{layout.name}"


@lru_cache(maxsize=SHAPES)
def _searches(
    dialect: Dialect, common: Common, held: Held, stated: tuple[str, ...]
) -> dict[str, pl.Expr]:
    """Return what else to search for: the other quantities of those layouts, and the units."""
    layouts = [layout for layout in dialect.layouts if _flag(layout) in stated]
    groups = [
        sources
        for layout in layouts
        for name, sources in layout.quantities.items()
        if name not in _MAIN
    ]
    groups += [*dialect.units.values(), *common.quantities.values()]
    found: dict[str, pl.Expr] = {}
    for sources in groups:
        found |= searches(sources, held)
    return found


@lru_cache(maxsize=SHAPES)
def _columns(
    dialect: Dialect, common: Common, held: Held, stated: tuple[str, ...]
) -> dict[str, pl.Expr]:
    texts = {
        name: text((*common.texts.get(name, ()), *dialect.texts.get(name, ())), held)
        for name in TEXTS
    }
    units = {unit_column(unit): number(found, held) for unit, found in dialect.units.items()}
    evidence = {
        evidence_column(unit): text(found, held) for unit, found in dialect.evidence.items()
    }
    columns = {
        **_quantities(dialect, common, held, stated),
        **texts,
        **units,
        **{name: None if read is None else read.is_not_null() for name, read in evidence.items()},
        **_supplied_cost((*common.supplied_cost, *dialect.supplied_cost), held),
        **_nonsense(dialect, held),
        "kind": _kind(dialect, held),
        "is_failed": pl.col(IS_FAILED),
        EMITTER: pl.col(EMITTER),
        "dialect": pl.lit(dialect.name),
    }
    return {name: read for name, read in columns.items() if read is not None}


def _quantities(
    dialect: Dialect, common: Common, held: Held, stated: tuple[str, ...]
) -> dict[str, pl.Expr | None]:
    """Return every quantity as the first layout that is on the span states it, and its reading.

    `is_told_twice` says whether two spellings of one count disagree.
    """
    names = (*QUANTITIES, "layout_reading", "is_told_twice")
    columns: dict[str, pl.Expr | None] = dict.fromkeys(names)
    for layout in reversed(dialect.layouts):
        if _flag(layout) not in stated:
            continue
        mine = {
            name: number((*common.quantities.get(name, ()), *layout.quantities.get(name, ())), held)
            for name in QUANTITIES
        }
        mine["layout_reading"] = None if layout.reading is None else pl.lit(layout.reading)
        mine["is_told_twice"] = _told_twice(layout, held)
        is_there = pl.col(_flag(layout))
        columns = {name: _if(is_there, mine[name], other) for name, other in columns.items()}
    return columns


def _told_twice(layout: Layout, held: Held) -> pl.Expr | None:
    """Return whether attributes that mean the same count disagree; None if there are none."""
    disagreeing = []
    for name in _NEEDED:
        spelt = [
            each
            for source in layout.quantities.get(name, ())
            if not source.inside and (each := number([source], held)) is not None
        ]
        if len(spelt) > 1:
            disagreeing.append(pl.min_horizontal(spelt) < pl.max_horizontal(spelt))
    return pl.any_horizontal(disagreeing) if disagreeing else None


def _if(is_there: pl.Expr, mine: pl.Expr | None, other: pl.Expr | None) -> pl.Expr | None:
    """Return `mine` where the layout is there, else `other`."""
    if mine is None:
        return None if other is None else pl.when(~is_there).then(other)
    return pl.when(is_there).then(mine).otherwise(other)


def _kind(dialect: Dialect, held: Held) -> pl.Expr:
    rules = [read for rule in dialect.kinds if (read := _by_rule(rule, held)) is not None]
    return pl.coalesce(rules) if rules else NO_TEXT


def _by_rule(rule: KindRule, held: Held) -> pl.Expr | None:
    if rule.span_name is not None:
        return pl.when(pl.col(SPAN_NAME).str.contains(rule.span_name)).then(pl.lit(rule.kind))
    found = None if rule.source is None else text([rule.source], held)
    if found is None:
        return None
    values = {value: kind for value, kind in rule.values.items() if value != "*"}
    if values:
        kind = found.str.to_lowercase().replace_strict(values, default=None, return_dtype=pl.String)
    else:
        kind = pl.when(found.is_not_null()).then(pl.lit(rule.values["*"]))
    for key in rule.absent:
        if key in held.texts:
            kind = pl.when(pl.col(key).is_null()).then(kind)
    return pl.when(~pl.col(IS_FAILED)).then(kind) if rule.unless_failed else kind


def _supplied_cost(sources: tuple[Source, ...], held: Held) -> dict[str, pl.Expr]:
    read = [(amount, source) for source in sources if (amount := money(source, held)) is not None]
    if not read:
        return {}
    origin = NO_TEXT
    for amount, source in reversed(read):
        origin = pl.when(amount.is_not_null()).then(pl.lit(source.attribute)).otherwise(origin)
    return {
        "supplied_cost_usd": pl.coalesce(amount for amount, _ in read),
        "supplied_cost_source": origin,
    }


def _nonsense(dialect: Dialect, held: Held) -> dict[str, pl.Expr]:
    """Return how many counts were nonsense, and whether one was that is needed and lost."""
    lost, keys = [], set[str]()
    for name in QUANTITIES if held.invalid else ():
        sources = [
            source for layout in dialect.layouts for source in layout.quantities.get(name, ())
        ]
        keys.update(source.attribute for source in sources if not source.inside)
        wrong = is_nonsense(sources, held)
        if wrong is not None and name in _NEEDED:
            read = number([source for source in sources if not source.inside], held)
            lost.append(wrong if read is None else wrong & read.is_null())
    counted = [pl.col(invalid_column(key)).cast(pl.UInt16) for key in sorted(keys & held.invalid)]
    columns = {"invalid_usage": pl.sum_horizontal(counted)} if counted else {}
    return columns | ({"is_usage_lost": pl.any_horizontal(lost)} if lost else {})
