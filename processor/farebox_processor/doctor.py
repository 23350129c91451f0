"""Priced spans and their calls in, a diagnosis per emitter out: what it drops and what it costs.

An emitter is an instrumentation scope with its version. A finding says what is wrong with some of
its calls, how many dollars hang on that, and what to change in the set-up.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl

from farebox_processor.doctor_advice import advise
from farebox_processor.doctor_findings import find, open_calls, repeated_calls
from farebox_processor.frames import MONEY, Schema
from farebox_processor.verdicts import Uncertainty

__all__ = ["EMITTERS", "Diagnosis", "examine"]

_COUNTED: Final = pl.List(pl.Struct({"code": pl.String(), "calls": pl.UInt64()}))

EMITTERS: Final[Schema] = {
    "scope_name": pl.String(),  # "" without one
    "scope_version": pl.String(),
    "spans": pl.UInt64(),
    "calls": pl.UInt64(),  # spans that may carry money
    "billed_calls": pl.UInt64(),
    "repeated_calls": pl.UInt64(),  # rejected: another span was billed instead
    "unpriced_calls": pl.UInt64(),  # billed, at an unknown cost
    "uncertain_calls": pl.UInt64(),  # billed, at a cost that is not exact
    "cost_usd": MONEY,  # of what is billed; null if nothing of it has a price
    "repeated_usd": MONEY,  # what the rejected calls claim
    "readings": pl.List(
        pl.Struct({"reading": pl.String(), "rule": pl.String(), "calls": pl.UInt64()})
    ),
    "drops": _COUNTED,  # codes of verdicts.Uncertainty
    "blind_to": _COUNTED,
}
"""One row per emitter, the one with the most calls first."""

_EMITTER: Final = ("scope_name", "scope_version")
_SPAN: Final = ("tenant", "trace_id", "span_id")
_VERSION: Final = ("rating_revision", "end_unix_nano", "content_hash")
"""Of conflicting versions of a span the latest counts, as in the table `spans`."""
_NO_USAGE: Final = "no usage"
_OF_CALL: Final = (
    "billed",
    "rejected_as",
    "billed_instead_trace_id",
    "billed_instead",
    "provider",
    "model",
    "priced_model",
    "tool_name",
    "usage_reading",
    "usage_rule",
    "cost_usd",
    "cost_low_usd",
    "cost_high_usd",
    "cost_status",
    "cost_reason",
    "supplied_cost_usd",
    "supplied_cost_source",
    "blind_to",
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a set of spans shows of those who emitted them."""

    emitters: pl.DataFrame
    """EMITTERS."""
    findings: pl.DataFrame
    """doctor_findings.FINDINGS: first what has no price, then what most dollars hang on."""

    @property
    def billed_usd(self) -> Decimal | None:
        """What the calls with a price cost, each billed once; None if none of them has one."""
        costs = self.emitters.filter(pl.col("billed_calls") > 0)["cost_usd"]
        return None if costs.len() and costs.null_count() == costs.len() else Decimal(costs.sum())

    @property
    def repeated_usd(self) -> Decimal:
        """What adding up the cost of every span would have charged besides."""
        return Decimal(self.emitters["repeated_usd"].sum())


def examine(priced: pl.DataFrame, calls: pl.DataFrame) -> Diagnosis:
    """Diagnose `priced` (frames.PRICED_SPANS) and the `calls` (frames.CALLS) rolled up from it."""
    facts = _facts(priced, calls)
    return Diagnosis(emitters=_emitters(facts), findings=advise(find(facts)))


def _facts(priced: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Return one row per span: its emitter, its doubts and, if it is a call, what became of it."""
    emitter = [pl.col(name).fill_null("") for name in _EMITTER]
    spans = (
        priced.select(*_SPAN, *_VERSION, *emitter, "uncertainty", "invalid_usage")
        .sort(_VERSION)
        .unique(_SPAN, keep="last")
        .drop(_VERSION)
    )
    instead = calls.select(
        "tenant",
        *emitter,
        billed_instead_trace_id="trace_id",
        billed_instead="span_id",
    ).rename({name: f"instead_{name}" for name in _EMITTER})
    return spans.join(calls.select(*_SPAN, *_OF_CALL), on=_SPAN, how="left").join(
        instead, on=["tenant", "billed_instead_trace_id", "billed_instead"], how="left"
    )


def _emitters(facts: pl.DataFrame) -> pl.DataFrame:
    billed, repeated = pl.col("billed").fill_null(False), repeated_calls()
    unpriced = billed & pl.col("cost_usd").is_null()
    known = pl.col("cost_usd").filter(billed & pl.col("cost_usd").is_not_null())
    counted = facts.group_by(_EMITTER).agg(
        spans=pl.len(),
        calls=pl.col("billed").count(),
        billed_calls=billed.sum(),
        repeated_calls=repeated.sum(),
        unpriced_calls=unpriced.sum(),
        uncertain_calls=(open_calls() & ~unpriced).sum(),
        cost_usd=pl.when((known.len() > 0) | (billed.sum() == 0)).then(known.sum()),
        repeated_usd=pl.col("cost_usd").filter(repeated).sum(),
    )
    is_call = facts.filter(pl.col("billed").is_not_null())
    readings = is_call.select(
        *_EMITTER,
        reading=pl.col("usage_reading").fill_null("unknown"),
        rule=pl.col("usage_rule").fill_null(_NO_USAGE),
    )
    # A sum over several calls is a kind of span and drops nothing.
    dropped = _exploded(facts, "uncertainty").filter(pl.col("code") != Uncertainty.AGGREGATE)
    described = (
        counted.join(_tally(readings, "readings"), on=_EMITTER, how="left")
        .join(_tally(dropped, "drops"), on=_EMITTER, how="left")
        .join(_tally(_exploded(is_call, "blind_to"), "blind_to"), on=_EMITTER, how="left")
        .with_columns(pl.col("readings", "drops", "blind_to").fill_null([]))
    )
    return described.select(pl.col(name).cast(dtype) for name, dtype in EMITTERS.items()).sort(
        "calls", "spans", *_EMITTER, descending=[True, True, False, False]
    )


def _exploded(facts: pl.DataFrame, codes: str) -> pl.DataFrame:
    return facts.select(*_EMITTER, code=codes).explode("code").drop_nulls("code")


def _tally(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return per emitter the different rows with their number, the most frequent first."""
    columns = [column for column in rows.columns if column not in _EMITTER]
    return (
        rows.group_by(*_EMITTER, *columns)
        .agg(calls=pl.len().cast(pl.UInt64))
        .sort("calls", *columns, descending=[True, *(False for _ in columns)])
        .group_by(_EMITTER, maintain_order=True)
        .agg(pl.struct(*columns, "calls").alias(name))
    )
