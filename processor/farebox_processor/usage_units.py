"""Counted units of calls in, one list per span out: web searches, rerank units, seconds."""

from typing import Final

import polars as pl

from farebox.attributes import USAGE_ESTIMATED, USAGE_PREFIX
from farebox_processor.attribute_columns import gather, key_names, with_key_ids
from farebox_processor.dialects import Dialects
from farebox_processor.frames import UNITS
from farebox_processor.usage_reported import unit_column

__all__ = ["RERANK_SEARCH", "list_units", "read_own_units"]

RERANK_SEARCH: Final = "rerank_search"

_QUANTITY: Final = pl.Decimal(38, 9)


def read_own_units(attributes: pl.DataFrame, height: int, dialects: Dialects) -> pl.DataFrame:
    """Return the units that our own instrumentation counts: a column unit:* per unit, Decimal.

    Any attribute farebox.usage.<unit> counts; it may be a fraction (seconds). What is negative or
    no number is no quantity.
    """
    attributes = with_key_ids(attributes)
    names = [
        name
        for name in key_names(attributes)
        if name is not None
        and name.startswith(USAGE_PREFIX)
        and name != USAGE_ESTIMATED
        and name not in dialects.number_keys
    ]
    texts = gather(attributes, height, sorted(names)).texts()
    return texts.select(
        _amount(pl.col(name)).alias(unit_column(name.removeprefix(USAGE_PREFIX)))
        for name in texts.columns
    )


def list_units(calls: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with `units`, null where there are none, each unit:*, and `is_least_units`.

    Our own counts win over the emitter's. A rerank that states neither tokens nor units is one
    search or more: it is given one, and marked in `is_least_units`.
    """
    found = {name: calls[name].cast(_QUANTITY) for name in calls.columns if _is_unit(name)}
    for name in own.columns:
        other = found.get(name)
        found[name] = own[name] if other is None else _either(own[name], other)
    is_rerank = (calls["call_kind"] == "rerank").fill_null(False)
    is_least = is_rerank & ~calls["has_usage"] & ~calls["is_error"]
    searches = unit_column(RERANK_SEARCH)
    if searches in found:
        is_least &= found[searches].is_null()
    if is_least.any():
        one = pl.select(pl.when(is_least).then(pl.lit(1, dtype=_QUANTITY))).to_series()
        found[searches] = _either(found[searches], one) if searches in found else one
    counts = [count.alias(name) for name, count in found.items()]
    return calls.with_columns(counts, units=_listed(found, calls.height), is_least_units=is_least)


def _listed(found: dict[str, pl.Series], height: int) -> pl.Series:
    rows = pl.DataFrame({"row": pl.arange(height, eager=True)})
    counted = [
        rows.with_columns(quantity=quantity)
        .filter(pl.col("quantity") > 0)
        .with_columns(unit=pl.lit(name.removeprefix(unit_column(""))))
        for name, quantity in sorted(found.items())
    ]
    if sum(frame.height for frame in counted) == 0:
        return pl.Series([None], dtype=UNITS).new_from_index(0, height)
    listed = (
        pl.concat(counted)
        .group_by("row", maintain_order=True)
        .agg(units=pl.struct("unit", "quantity"))
    )
    return rows.join(listed, on="row", how="left", maintain_order="left")["units"]


def _is_unit(name: str) -> bool:
    return name.startswith(unit_column(""))


def _amount(text: pl.Expr) -> pl.Expr:
    amount = text.cast(_QUANTITY, strict=False)
    return pl.when(amount >= 0).then(amount)


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(one, other)).to_series()
