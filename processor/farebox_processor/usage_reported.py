"""A part of a batch in one dialect in, what its spans report out, in the words of all dialects.

Nothing is worked out here. The columns: one per quantity of dialect_model.QUANTITIES (they may
overlap), one per text of TEXTS, one per counted unit, and what the dialect makes of the span.
"""

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
from farebox_processor.frames import MONEY
from farebox_processor.usage_cells import IS_FAILED, SPAN_NAME, Wide, invalid_column
from farebox_processor.usage_sources import NO_NUMBER, NO_TEXT, is_nonsense, money, number, text

__all__ = ["evidence_column", "read_reported", "unit_column"]

_NEEDED: Final = ("input", "output", "cache_read", "cache_write")
"""Quantities without which a call cannot be priced if the span tries to state them."""

_NOT_KNOWN: Final = pl.lit(False)


def unit_column(unit: str) -> str:
    """Return the column that holds how many of `unit` a span reports."""
    return f"unit:{unit}"


def evidence_column(unit: str) -> str:
    """Return the column that says whether a span shows that some of `unit` was used."""
    return f"evidence:{unit}"


def read_reported(wide: Wide, dialect: Dialect, common: Common) -> pl.DataFrame:
    """Return what spans report.

    Columns: QUANTITIES (Int64), TEXTS (String), unit:* (Int64), evidence:* (Boolean), kind,
    layout_reading, supplied_cost_usd, supplied_cost_source, invalid_usage, is_usage_lost.
    """
    texts = {
        name: text((*common.texts.get(name, ()), *dialect.texts.get(name, ())), wide)
        for name in TEXTS
    }
    units = {unit_column(unit): number(found, wide) for unit, found in dialect.units.items()}
    evidence = {
        evidence_column(unit): text(found, wide) for unit, found in dialect.evidence.items()
    }
    columns = {
        **_quantities(dialect, common, wide),
        **{name: NO_TEXT if read is None else read for name, read in texts.items()},
        **{name: read for name, read in units.items() if read is not None},
        **{name: read.is_not_null() for name, read in evidence.items() if read is not None},
        **_supplied_cost((*common.supplied_cost, *dialect.supplied_cost), wide),
        **_nonsense(dialect, wide),
        "kind": _kind(dialect, wide),
        "is_failed": pl.col(IS_FAILED),
        "dialect": pl.lit(dialect.name),
    }
    return wide.cells.with_columns(**columns).select(*columns)


def _quantities(dialect: Dialect, common: Common, wide: Wide) -> dict[str, pl.Expr]:
    """Return every quantity as the first layout that is on the span states it, and its reading."""
    stated = [layout for layout in (_stated(each, wide) for each in dialect.layouts) if layout]
    columns = dict.fromkeys((*QUANTITIES, "layout_reading"), NO_NUMBER)
    columns["layout_reading"] = NO_TEXT
    for layout, is_there in reversed(stated):
        mine = {"layout_reading": None if layout.reading is None else pl.lit(layout.reading)}
        for name in QUANTITIES:
            sources = (*common.quantities.get(name, ()), *layout.quantities.get(name, ()))
            mine[name] = number(sources, wide)
        columns = {name: _if(is_there, mine[name], other) for name, other in columns.items()}
    return columns


def _if(is_there: pl.Expr, mine: pl.Expr | None, other: pl.Expr) -> pl.Expr:
    """Return `mine` where the layout is there, else `other`, without work where both are null."""
    if mine is None and (other is NO_NUMBER or other is NO_TEXT):
        return other
    return pl.when(is_there).then(pl.lit(None) if mine is None else mine).otherwise(other)


def _stated(layout: Layout, wide: Wide) -> tuple[Layout, pl.Expr] | None:
    """Return `layout` with whether it is on a span; None if it is on none of the batch."""
    main = [number(layout.quantities.get(name, ()), wide) for name in ("input", "output", "total")]
    given = [read.is_not_null() for read in main if read is not None]
    if not given:
        return None
    is_there = pl.any_horizontal(given)
    if layout.requires is not None:
        required = text([layout.requires], wide)
        if required is None:
            return None
        is_there = is_there & required.is_not_null()
    return layout, is_there


def _kind(dialect: Dialect, wide: Wide) -> pl.Expr:
    rules = [read for rule in dialect.kinds if (read := _by_rule(rule, wide)) is not None]
    return pl.coalesce(rules) if rules else NO_TEXT


def _by_rule(rule: KindRule, wide: Wide) -> pl.Expr | None:
    if rule.span_name is not None:
        return pl.when(pl.col(SPAN_NAME).str.contains(rule.span_name)).then(pl.lit(rule.kind))
    found = None if rule.source is None else text([rule.source], wide)
    if found is None:
        return None
    values = {value: kind for value, kind in rule.values.items() if value != "*"}
    if values:
        kind = found.str.to_lowercase().replace_strict(values, default=None, return_dtype=pl.String)
    else:
        kind = pl.when(found.is_not_null()).then(pl.lit(rule.values["*"]))
    for key in rule.absent:
        if key in wide.texts:
            kind = pl.when(pl.col(key).is_null()).then(kind)
    return pl.when(~pl.col(IS_FAILED)).then(kind) if rule.unless_failed else kind


def _supplied_cost(sources: tuple[Source, ...], wide: Wide) -> dict[str, pl.Expr]:
    amount, origin = pl.lit(None, dtype=MONEY), NO_TEXT
    for source in reversed(sources):
        read = money(source, wide)
        if read is not None:
            amount = pl.coalesce(read, amount)
            origin = pl.when(read.is_not_null()).then(pl.lit(source.attribute)).otherwise(origin)
    return {"supplied_cost_usd": amount, "supplied_cost_source": origin}


def _nonsense(dialect: Dialect, wide: Wide) -> dict[str, pl.Expr]:
    """Return how many counts were nonsense, and whether one was that is needed and lost."""
    if not wide.invalid:
        return {"invalid_usage": pl.lit(0, dtype=pl.UInt16), "is_usage_lost": _NOT_KNOWN}
    lost = []
    keys = set()
    for name in QUANTITIES:
        sources = [
            source for layout in dialect.layouts for source in layout.quantities.get(name, ())
        ]
        keys.update(source.attribute for source in sources if not source.inside)
        wrong = is_nonsense(sources, wide)
        if wrong is not None and name in _NEEDED:
            read = number(sources, wide)
            lost.append(wrong if read is None else wrong & read.is_null())
    counted = [pl.col(invalid_column(key)) for key in sorted(keys & wide.invalid)]
    total = pl.sum_horizontal(counted).cast(pl.UInt16) if counted else pl.lit(0, dtype=pl.UInt16)
    return {
        "invalid_usage": total,
        "is_usage_lost": pl.any_horizontal(lost) if lost else _NOT_KNOWN,
    }
