"""Calls and their emitters in, what each call leaves open and what it can never show out."""

from collections.abc import Mapping
from functools import lru_cache, reduce
from operator import and_, or_
from typing import Final

import polars as pl

from farebox_processor.dialect_model import BLINDNESSES, NOBODY_SHOWS, Loss
from farebox_processor.dialects import Dialects
from farebox_processor.usage_calls import was_refused
from farebox_processor.usage_cells import Wide
from farebox_processor.usage_columns import SHAPES, Given
from farebox_processor.usage_reported import evidence_column, unit_column
from farebox_processor.verdicts import Uncertainty

__all__ = ["name_doubts"]

_OF_CALLS: Final = (Uncertainty.USAGE_MISSING, Uncertainty.CALLS_UNREPORTED)
"""Codes of whole calls that are missing: of tools and agents they tell where no usage is."""

_SEARCHES: Final = unit_column("web_search")


def name_doubts(calls: pl.DataFrame, wide: Wide, dialects: Dialects) -> pl.DataFrame:
    """Return `calls` with `uncertainty` and `blind_to`, lists of codes, null where there are none.

    Wants `emitter`, the number of the emitter. A span is uncertain of what it alone leaves open
    and of what its emitter is known to lose.
    """
    emitters = tuple(sorted(calls["emitter"].unique().to_list()))
    asked = _asked(dialects, emitters) & wide.held.texts
    held = calls.hstack([wide.cells[key].alias(_asked_column(key)) for key in sorted(asked)])
    flags = _flags(dialects, emitters, frozenset(held.columns))
    masks = held.select(doubts=flags[0], blindnesses=flags[1])
    return calls.with_columns(
        uncertainty=_listed(masks["doubts"], tuple(Uncertainty)),
        blind_to=_listed(masks["blindnesses"], BLINDNESSES),
    )


@lru_cache(maxsize=SHAPES)
def _asked(dialects: Dialects, emitters: tuple[int, ...]) -> frozenset[str]:
    """Return the attributes that the losses of these emitters depend on."""
    return frozenset(
        key
        for number in emitters
        for loss in dialects.emitters[number][1].losses
        for key in loss.asked
    )


@lru_cache(maxsize=SHAPES)
def _flags(
    dialects: Dialects, emitters: tuple[int, ...], columns: frozenset[str]
) -> tuple[pl.Expr, pl.Expr]:
    """Return the doubts of a span, and what it is blind to, each as one bit per name."""
    given = Given(columns)
    doubts = {code: [condition] for code, condition in _known(given).items()}
    for number in emitters:
        for loss in dialects.emitters[number][1].losses:
            if all(_asked_column(key) in given for key, _ in loss.where):
                condition = (pl.col("emitter") == number) & _condition(loss, given)
                doubts.setdefault(Uncertainty(loss.code), []).append(condition)
    doubted = {code.value: reduce(or_, found) for code, found in doubts.items()}
    return _mask(doubted, tuple(Uncertainty)), _mask(_blind(dialects, emitters, given), BLINDNESSES)


def _known(given: Given) -> dict[Uncertainty, pl.Expr]:
    """Return, per code, whether a span shows it itself."""
    kind, has_usage = pl.col("call_kind"), pl.col("has_usage")
    is_lost = (
        pl.col("is_usage_lost").fill_null(False) if "is_usage_lost" in given else pl.lit(False)
    )
    is_silent = ~has_usage & pl.col("units").is_null() & ~was_refused() & ~is_lost
    if "supplied_cost_usd" in given:
        # Counts of 0 that stand for "not known" must not be priced, whatever cost is beside them.
        is_stated = pl.col("input").is_not_null() | pl.col("output").is_not_null()
        is_silent = is_silent & (pl.col("supplied_cost_usd").is_null() | is_stated)
    is_told_twice = (
        pl.col("is_told_twice").fill_null(False) if "is_told_twice" in given else pl.lit(False)
    )
    is_half = pl.col("input").is_null() | pl.col("output").is_null()
    known = {
        Uncertainty.USAGE_MISSING: kind.is_in(["inference", "embeddings"]) & is_silent,
        Uncertainty.USAGE_INCOMPLETE: (kind == "inference") & has_usage & is_half,
        Uncertainty.USAGE_INVALID: is_lost,
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED: (pl.col("vendor") == "anthropic")
        & (pl.col("untimed_writes") > 0),
        # xAI counts reasoning beside the output of a chat, and in that of a response.
        Uncertainty.REASONING_UNREPORTED: (pl.col("provider") == "x_ai")
        & (pl.col("reasoning") > 0)
        & given.number("total").is_null(),
        Uncertainty.AGGREGATE: (kind == "agent") & has_usage,
        Uncertainty.UNITS_UNREPORTED: pl.col("is_least_units") | _is_uncounted(given),
        Uncertainty.USAGE_ESTIMATED: pl.col("is_estimated"),
        Uncertainty.USAGE_CONTRADICTORY: pl.col("is_contradictory") | is_told_twice,
    }
    return {code: condition & ~pl.col("is_no_call") for code, condition in known.items()}


def _is_uncounted(given: Given) -> pl.Expr:
    """Return whether a span shows that it used a paid tool, and not how often."""
    prefix = evidence_column("")
    uncounted = [
        pl.col(evidence) & given.number(unit_column(evidence.removeprefix(prefix))).is_null()
        for evidence in sorted(given.names)
        if evidence.startswith(prefix)
    ]
    return reduce(or_, uncounted, pl.lit(False))


def _condition(loss: Loss, given: Given) -> pl.Expr:
    is_silent = ~pl.col("has_usage")
    conditions = [
        pl.col("call_kind").is_in(loss.kinds),
        is_silent if loss.code in _OF_CALLS and "inference" not in loss.kinds else ~is_silent,
    ]
    if loss.unless is not None:
        conditions.append(~(given.number(loss.unless) > 0).fill_null(False))
    if loss.vendors:
        conditions.append(pl.col("vendor").is_in(loss.vendors))
    if loss.streaming:
        conditions.append(pl.col("is_streamed"))
    conditions += [pl.col(_asked_column(key)).str.contains(text) for key, text in loss.where]
    conditions += [
        ~given.text(_asked_column(key)).str.contains(text).fill_null(False)
        for key, text in loss.where_not
    ]
    conditions += [given.text(_asked_column(key)).is_null() for key in loss.absent]
    return reduce(and_, conditions)


def _asked_column(key: str) -> str:
    return f"asked:{key}"


def _blind(dialects: Dialects, emitters: tuple[int, ...], given: Given) -> dict[str, pl.Expr]:
    """Return, per name, whether the emitter can never show it; what a span shows is not blind."""
    hidden = {
        "cache_ttl": pl.col("vendor") == "anthropic",
        # Azure adds 10 % for a zone or a region, and has one endpoint and one answer for all.
        "data_zone": pl.col("provider").str.starts_with("azure") & pl.col("region").is_null(),
        "service_tier": pl.col("service_tier").is_null(),
        "web_search": given.number(_SEARCHES).is_null(),
    }
    blind = {}
    for name in BLINDNESSES:
        mine = [number for number in emitters if name in dialects.emitters[number][1].blind_to]
        is_all = name in NOBODY_SHOWS or len(mine) == len(emitters)
        is_mine = pl.lit(True) if is_all else pl.col("emitter").is_in(mine)
        blind[name] = (pl.col("call_kind") == "inference") & is_mine & hidden[name]
    return blind


def _mask(flags: Mapping[str, pl.Expr], names: tuple[str, ...]) -> pl.Expr:
    """Return the flags as one number: bit n is set where the flag of the n-th name is."""
    bits = [
        pl.when(flag).then(pl.lit(1 << names.index(name), dtype=pl.UInt32)).otherwise(0)
        for name, flag in flags.items()
    ]
    return reduce(or_, bits)


def _listed(masks: pl.Series, names: tuple[str, ...]) -> pl.Series:
    """Return the names of the bits that are set, per row.

    Few combinations occur among many rows: each is listed once and then looked up.
    """
    distinct = masks.unique().sort()
    lists = [
        [name for bit, name in enumerate(names) if mask >> bit & 1] or None for mask in distinct
    ]
    return pl.Series(lists, dtype=pl.List(pl.String)).gather(distinct.search_sorted(masks))
