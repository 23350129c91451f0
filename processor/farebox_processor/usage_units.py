"""Counted units of calls in, one list per span out: web searches, rerank units, seconds."""

from typing import Final

import polars as pl

from farebox.attributes import USAGE_ESTIMATED, USAGE_PREFIX
from farebox_processor.attribute_columns import Attributes, gather
from farebox_processor.dialects import Dialects
from farebox_processor.frames import UNITS
from farebox_processor.usage_cells import LARGEST_COUNT
from farebox_processor.usage_reported import evidence_column, unit_column

__all__ = ["RERANK_SEARCH", "list_units", "read_own_units"]

RERANK_SEARCH: Final = "rerank_search"

_QUANTITY: Final = pl.Decimal(38, 9)


def read_own_units(attributes: Attributes, height: int, dialects: Dialects) -> pl.DataFrame:
    """Return the units that our own instrumentation counts: a column unit:* per unit, Decimal.

    Any attribute farebox.usage.<unit> counts; it may be a fraction (seconds). What is negative,
    no number or above LARGEST_COUNT is no quantity, but shows that something was used: evidence:*
    says where.
    """
    names = [name for name in attributes.keys if _is_own_unit(name, dialects)]
    if not names:
        return pl.DataFrame()
    cells = gather(attributes, height, sorted(names))
    units = {name: name.removeprefix(USAGE_PREFIX) for name in cells.present}
    counts = cells.texts().select(
        _amount(pl.col(name)).alias(unit_column(unit)) for name, unit in units.items()
    )
    given = cells.are_given()
    return counts.with_columns(
        (given[name] & counts[unit_column(unit)].is_null()).alias(evidence_column(unit))
        for name, unit in units.items()
    )


def _is_own_unit(name: str, dialects: Dialects) -> bool:
    is_other = name == USAGE_ESTIMATED or name in dialects.number_keys
    return name.startswith(USAGE_PREFIX) and not is_other


def list_units(calls: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with `units`, null where there are none, each unit:*, and `is_least_units`.

    Our own counts win over the emitter's. A rerank that states neither tokens nor units is one
    search or more: it is given one, and marked in `is_least_units`.
    """
    prefix, searches = unit_column(""), unit_column(RERANK_SEARCH)
    counted = [name for name in calls.columns if name.startswith(prefix)]
    counts = {name: pl.col(name).cast(_QUANTITY) for name in counted}
    for name in own.columns:
        if not name.startswith(prefix):
            known = pl.col(name).fill_null(False) if name in calls.columns else pl.lit(False)
            counts[name] = known | own[name]
        elif name in counts:
            counts[name] = pl.coalesce(own[name], counts[name])
        else:
            counts[name] = pl.lit(own[name])
    is_least = (pl.col("call_kind") == "rerank") & ~pl.col("has_usage") & ~pl.col("is_error")
    if searches in counts:
        is_least = is_least & counts[searches].is_null()
    calls = calls.with_columns(is_least_units=is_least.fill_null(False), **counts)
    if calls["is_least_units"].any():
        least = pl.when("is_least_units").then(pl.lit(1, dtype=_QUANTITY))
        stated = pl.col(searches) if searches in counts else pl.lit(None, dtype=_QUANTITY)
        calls = calls.with_columns(pl.coalesce(stated, least).alias(searches))
    listed = [name for name in calls.columns if name.startswith(prefix)]
    return calls.with_columns(units=_listed(calls, sorted(listed)))


def _listed(counts: pl.DataFrame, names: list[str]) -> pl.Series:
    """Return the counts above 0 as one list per row, null where there is none."""
    present = [name for name in names if counts[name].null_count() < counts.height]
    rows = pl.arange(counts.height, eager=True).alias("row")
    found = [
        pl.DataFrame([rows, counts[name].alias("quantity")])
        .filter(pl.col("quantity") > 0)
        .with_columns(unit=pl.lit(name.removeprefix(unit_column(""))))
        for name in present
    ]
    if sum(frame.height for frame in found) == 0:
        return pl.Series([None], dtype=UNITS).new_from_index(0, counts.height)
    listed = (
        pl.concat(found)
        .group_by("row", maintain_order=True)
        .agg(units=pl.struct("unit", "quantity"))
    )
    return rows.to_frame().join(listed, on="row", how="left", maintain_order="left")["units"]


def _amount(text: pl.Expr) -> pl.Expr:
    amount = text.cast(_QUANTITY, strict=False)
    return pl.when(amount.is_between(0, LARGEST_COUNT)).then(amount)
