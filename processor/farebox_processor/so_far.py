"""Trace rows in, what their conversations cost so far out, span by span.

Known is what this process has rolled up lately. That is good for an alert on the spot; the view
`conversations` is the authority.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from farebox_processor.conversations import count_turns, sum_of_known
from farebox_processor.frames import MONEY, PLAN_TIERS, TRACES, Schema
from farebox_processor.plans import Plans, assign_tiers
from farebox_processor.rollup.kin import trace_number

__all__ = ["SO_FAR", "ConversationsSoFar"]

SO_FAR: Final[Schema] = {
    "cost_usd": MONEY,  # null where none of it is known
    "turns": pl.UInt64(),
    "tier": PLAN_TIERS["tier"],
    "tier_price_usd": MONEY,
}

# Traces, conversations and turns are told by numbers: two that share one would be a wrong hint.
_TRACE: Final = trace_number()
_KEYS: Final = ["tenant", "conversation_id"]
_VERSION: Final = ["own_version", "set_version"]
_NUMBERED: Final = {
    "trace": _TRACE,
    "conversation_id": pl.struct(*_KEYS).hash(),
    "turn_ids": pl.col("turn_ids").list.eval(pl.element().hash()),
}
_SUMMED: Final = ["billed_calls", "turns", "total_tokens", "cost_usd"]
_KEPT: Final[Schema] = {
    "trace": pl.UInt64(),
    "conversation_id": pl.UInt64(),
    "turn_ids": pl.List(pl.UInt64()),
    **{name: TRACES[name] for name in ("tenant", "feature", "ended_at", *_VERSION, *_SUMMED)},
}


@dataclass(slots=True)
class ConversationsSoFar:
    """The latest row of each trace that was rolled up lately, bounded by their number."""

    max_traces: int
    """Above it the conversations that have been silent the longest are forgotten, each whole."""
    _rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_KEPT))

    def __len__(self) -> int:
        return self._rows.height

    def remember(self, traces: pl.DataFrame) -> None:
        """Take rows (frames.TRACES) in place of what is known of the same traces."""
        rows = _kept(traces)
        known = self._rows["trace"].is_in(rows["trace"].implode())
        latest = _latest(pl.concat([self._rows.filter(known), rows]))
        self._rows = pl.concat([self._rows.filter(~known), latest], rechunk=True)
        if self._rows.height > self.max_traces:
            self._forget()

    def of_spans(self, spans: pl.DataFrame, traces: pl.DataFrame, plans: Plans) -> pl.DataFrame:
        """Return SO_FAR for each of `spans`, which have tenant and trace_id.

        `traces` (frames.TRACES) are rows that may be newer than what is known, or unknown yet.
        """
        trace = spans.select(trace=_TRACE)
        known = self._rows.filter(pl.col("trace").is_in(trace["trace"].unique().implode()))
        about = _latest(pl.concat([known, _kept(traces)]))
        others = self._rows.filter(
            pl.col("conversation_id").is_in(about["conversation_id"].unique().implode())
            & ~pl.col("trace").is_in(about["trace"].implode())
        )
        conversations = assign_tiers(_summed(pl.concat([about, others])), plans)
        return (
            trace.join(about.select("trace", *_KEYS), on="trace", how="left", maintain_order="left")
            .join(conversations, on=_KEYS, how="left", maintain_order="left")
            .select(SO_FAR.keys())
        )

    def _forget(self) -> None:
        """Keep the conversations heard of last, in three quarters of the room."""
        room = self.max_traces * 3 // 4
        stays = (
            self._rows.with_row_index("at")
            .group_by("conversation_id")
            .agg(pl.col("at").max(), traces=pl.len())
            .filter(pl.col("traces") <= room)
            .sort("at", descending=True)
            .filter(pl.col("traces").cum_sum() <= room)
        )
        self._rows = self._rows.filter(
            pl.col("conversation_id").is_in(stays["conversation_id"].implode())
        )


def _kept(traces: pl.DataFrame) -> pl.DataFrame:
    is_somebodys = (pl.col("candidates") > 0) | (pl.col("conversation_id_source") != "trace")
    return traces.filter(is_somebodys).select(
        pl.col(name) if name not in _NUMBERED else _NUMBERED[name].alias(name) for name in _KEPT
    )


def _latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the row of each trace that shows most of its spans, of equal ones the last."""
    return rows.sort(_VERSION, maintain_order=True).unique(
        "trace", keep="last", maintain_order=True
    )


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.sort("ended_at")
        .group_by(_KEYS)
        .agg(
            pl.col("feature").drop_nulls().last(),
            pl.col("total_tokens").sum(),
            turns=count_turns(),
            cost_usd=sum_of_known("cost_usd"),
        )
    )
