"""A shared cost and what conversations used in, what each of them bears out, to the last digit."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final

import polars as pl

from farebox_processor.allocation_files import SharedCost
from farebox_processor.extra_dimensions import in_map
from farebox_processor.frames import ALLOCATIONS, MONEY, TOKENS

__all__ = ["allocate", "spread"]

_DIGITS: Final = 18
_EXACT: Final = 100
"""Digits of working precision: a sum of money times a number of tokens never comes near."""
_KEYS: Final = ["tenant", "conversation_id"]


def allocate(cost: SharedCost, used: pl.DataFrame) -> pl.DataFrame:
    """Cut `cost` into rows of frames.ALLOCATIONS, which sum to it exactly.

    `used` says what was used within the period of the cost, in any number of rows a conversation:
    tenant, conversation_id, model, DIMENSIONS, dimensions, TOKENS and cost_usd. The last row is
    what is allocated to nobody.
    """
    counted = used.filter(*(_value(used, name) == value for name, value in cost.where))
    *parts, _ = spread(cost.amount_usd, [*(share for _, share in cost.shares), _rest(cost)])
    pieces = [
        _piece(_having(counted, cost.dimension, value), part, cost)
        for (value, _), part in zip(cost.shares, parts, strict=True)
    ]
    rows = pl.concat(pieces).group_by(_KEYS).agg(pl.col("amount_usd").sum()).sort(_KEYS)
    allocated = sum(rows["amount_usd"], Decimal(0))
    nobody = {"tenant": "", "conversation_id": "", "amount_usd": cost.amount_usd - allocated}
    return (
        pl.concat([rows, pl.DataFrame([nobody], schema=rows.schema)])
        .with_columns(
            allocation_id=pl.lit(cost.id),
            is_unallocated=pl.int_range(pl.len()) == rows.height,
            period_from=pl.lit(cost.starts),
            period_until=pl.lit(cost.ends),
            allocated_by=pl.lit(cost.by),
            origin_usd=pl.lit(cost.amount_usd),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in ALLOCATIONS.items())
    )


def spread(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Cut `amount` into parts in proportion to `weights`, each ≥ 0, which sum to it exactly.

    Every part is rounded down to eighteen digits; what that leaves goes, a last digit each, to
    those that lost most, the earlier first. Weights that are all 0 get nothing.
    """
    with localcontext(prec=_EXACT):
        whole = int(amount.scaleb(_DIGITS))
        scaled = [int(weight.scaleb(_DIGITS)) for weight in weights]
        total = sum(scaled)
        if not total:
            return [Decimal(0)] * len(scaled)
        units = [whole * weight // total for weight in scaled]
        losses = [whole * weight % total for weight in scaled]
        most = sorted(range(len(units)), key=lambda place: (-losses[place], place))
        for place in most[: whole - sum(units)]:
            units[place] += 1
        return [Decimal(unit).scaleb(-_DIGITS) for unit in units]


def _rest(cost: SharedCost) -> Decimal:
    return 1 - sum((share for _, share in cost.shares), Decimal(0))


def _having(counted: pl.DataFrame, dimension: str | None, value: str | None) -> pl.DataFrame:
    return counted if dimension is None else counted.filter(_value(counted, dimension) == value)


def _value(used: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column by its name, or else a configured dimension."""
    return pl.col(name) if name in used.columns else in_map(name)


def _piece(counted: pl.DataFrame, part: Decimal, cost: SharedCost) -> pl.DataFrame:
    """Return what each conversation bears of `part`: tenant, conversation_id, amount_usd."""
    weighed = (
        counted.group_by(_KEYS)
        .agg(weight=_weight(cost.by))
        .with_columns(pl.col("weight").cast(MONEY))
        .filter(pl.col("weight") > 0)
        .sort(_KEYS)
    )
    unused = max(Decimal(0), (cost.capacity or 0) - sum(weighed["weight"], Decimal(0)))
    *amounts, _ = spread(part, [*weighed["weight"], unused])
    return weighed.select(*_KEYS, amount_usd=pl.Series(amounts, dtype=MONEY))


def _weight(by: str) -> pl.Expr:
    if by == "conversations":
        return pl.lit(1)
    if by == "total_tokens":
        tokens = (pl.col(name).sum() for name in TOKENS if name != "reasoning_tokens")
        return pl.sum_horizontal(tokens)
    return pl.col(by).sum()
