"""Calls and their emitters in, what each call leaves open and what it can never show out."""

from functools import reduce
from operator import and_, or_
from typing import Final

import polars as pl

from farebox_processor.dialect_model import BLINDNESSES, Loss
from farebox_processor.dialects import Dialects
from farebox_processor.usage_cells import Wide
from farebox_processor.usage_reported import evidence_column, unit_column
from farebox_processor.verdicts import Uncertainty

__all__ = ["name_doubts"]

_STREAMED: Final = ("true", "1")
_UNSOUND: Final = (Uncertainty.USAGE_MISSING, Uncertainty.CALLS_UNREPORTED)
"""Codes of whole calls that are missing: they say something of a span without any usage."""


def name_doubts(calls: pl.DataFrame, wide: Wide, dialects: Dialects) -> pl.DataFrame:
    """Return `calls` with `uncertainty` and `blind_to`, lists of codes, null where there are none.

    Wants `emitter`, the number of the emitter. A span is uncertain of what it alone leaves open
    and of what its emitter is known to lose.
    """
    doubts = [_known(calls), _lost(calls, wide, dialects)]
    uncertain = {
        code: reduce(or_, (found[code] for found in doubts if code in found))
        for code in Uncertainty
        if any(code in found for found in doubts)
    }
    return calls.with_columns(
        uncertainty=_listed(uncertain, calls.height),
        blind_to=_listed(_blind(calls, dialects), calls.height),
    )


def _known(calls: pl.DataFrame) -> dict[str, pl.Series]:
    """Return, per code, the spans that show it themselves."""
    kind, has_usage = pl.col("call_kind"), pl.col("has_usage")
    is_silent = (
        ~has_usage
        & pl.col("supplied_cost_usd").is_null()
        & pl.col("units").is_null()
        & ~pl.col("is_error")
        & ~pl.col("is_usage_lost")
    )
    is_half = pl.col("input").is_null() | pl.col("output").is_null()
    conditions = {
        Uncertainty.USAGE_MISSING: kind.is_in(["inference", "embeddings"]) & is_silent,
        Uncertainty.USAGE_INCOMPLETE: (kind == "inference") & has_usage & is_half,
        Uncertainty.USAGE_INVALID: pl.col("is_usage_lost"),
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED: (pl.col("vendor") == "anthropic")
        & (pl.col("untimed_writes") > 0),
        Uncertainty.AGGREGATE: (kind == "agent") & has_usage,
        Uncertainty.UNITS_UNREPORTED: pl.col("is_least_units") | _is_uncounted(calls),
        Uncertainty.USAGE_ESTIMATED: pl.col("estimated").str.to_lowercase() == "true",
        Uncertainty.USAGE_CONTRADICTORY: pl.col("is_contradictory"),
    }
    is_call = ~pl.col("is_no_call")
    return calls.select(
        (condition & is_call).fill_null(False).alias(code) for code, condition in conditions.items()
    ).to_dict()


def _is_uncounted(calls: pl.DataFrame) -> pl.Expr:
    """Return whether a span shows that it used a paid tool, and not how often."""
    prefix = evidence_column("")
    uncounted = []
    for evidence in calls.columns:
        if evidence.startswith(prefix):
            count = unit_column(evidence.removeprefix(prefix))
            is_counted = pl.col(count).is_not_null() if count in calls.columns else pl.lit(False)
            uncounted.append(pl.col(evidence) & ~is_counted)
    return reduce(or_, uncounted, pl.lit(False))


def _lost(calls: pl.DataFrame, wide: Wide, dialects: Dialects) -> dict[str, pl.Series]:
    """Return, per code, the spans whose emitter is known to lose it on spans like them."""
    losses: dict[str, list[pl.Expr]] = {}
    asked: set[str] = set()
    for number in sorted(calls["emitter"].unique()):
        for loss in dialects.emitters[number][1].losses:
            if all(key in wide.texts for key, _ in loss.where):
                condition = (pl.col("emitter") == number) & _condition(loss)
                losses.setdefault(loss.code, []).append(condition)
                asked.update(key for key, _ in loss.where)
    held = calls.with_columns(wide.cells[key].alias(_where_column(key)) for key in sorted(asked))
    return held.select(
        pl.any_horizontal(conditions).fill_null(False).alias(code)
        for code, conditions in losses.items()
    ).to_dict()


def _condition(loss: Loss) -> pl.Expr:
    is_silent = ~pl.col("has_usage")
    conditions = [
        pl.col("call_kind").is_in(loss.kinds),
        is_silent if loss.code in _UNSOUND else ~is_silent,
    ]
    if loss.unless is not None:
        conditions.append(~(pl.col(loss.unless) > 0).fill_null(False))
    if loss.vendors:
        conditions.append(pl.col("vendor").is_in(loss.vendors))
    if loss.streaming:
        conditions.append(pl.col("streaming").str.to_lowercase().is_in(_STREAMED))
    conditions += [pl.col(_where_column(key)).str.contains(text) for key, text in loss.where]
    return reduce(and_, conditions)


def _where_column(key: str) -> str:
    return f"where:{key}"


def _blind(calls: pl.DataFrame, dialects: Dialects) -> dict[str, pl.Series]:
    """Return, per name, the calls whose emitter can never show it; what is shown is not blind."""
    is_call = calls["call_kind"].is_in(["inference"]).fill_null(False)
    searches = unit_column("web_search")
    shown = {
        "cache_ttl": (calls["vendor"] != "anthropic").fill_null(True),
        "service_tier": calls["service_tier"].is_not_null(),
        "web_search": calls[searches].is_not_null() if searches in calls.columns else ~is_call,
    }
    blind = {}
    for name in BLINDNESSES:
        numbers = [
            number
            for number, (_, emitter) in enumerate(dialects.emitters)
            if name in emitter.blind_to
        ]
        blind[name] = is_call & calls["emitter"].is_in(numbers) & ~shown[name]
    return blind


def _listed(flags: dict[str, pl.Series], height: int) -> pl.Series:
    """Return the names of the flags that are set, per row.

    Few combinations occur among many rows: each is listed once and then looked up.
    """
    if not flags:
        return pl.Series([None], dtype=pl.List(pl.String())).new_from_index(0, height)
    names = list(flags)
    masks = reduce(
        or_, (flag.cast(pl.UInt32) * (1 << bit) for bit, flag in enumerate(flags.values()))
    )
    distinct = masks.unique().sort()
    lists = [
        [name for bit, name in enumerate(names) if mask >> bit & 1] or None for mask in distinct
    ]
    return pl.Series(lists, dtype=pl.List(pl.String())).gather(distinct.search_sorted(masks))
