"""Traces of conversations in, their lives out: in how many segments, how long paused, how closed.

A trace that ends its conversation closes it, and so does a silence longer than the idle timeout of
its plan. What starts after that opens it again, as a new segment. All of it goes by event time, and
the order of the rows does not matter.
"""

from datetime import datetime

import polars as pl

from farebox_processor.frames import TIME
from farebox_processor.plans import Plans

__all__ = ["add_life"]

_KEYS = ["tenant", "conversation_id"]
_NS_PER_MS = 1_000_000


def add_life(
    conversations: pl.DataFrame, traces: pl.DataFrame, plans: Plans, as_of: datetime | None
) -> pl.DataFrame:
    """Add segments, paused_ms and status (open | idle | ended) to `conversations`.

    Wants what plans.assign_tiers adds; `traces` (frames.TRACES) are theirs. A conversation that was
    not ended is idle at `as_of` if it has been silent for longer than its timeout; None asks as of
    the latest trace. Without a timeout it is never idle.
    """
    timeouts = conversations.join(_timeouts(plans), on="plan", how="left").select(
        *_KEYS, timeout=pl.duration(seconds="idle_timeout_s", time_unit="ns")
    )
    lives = _lives(traces.join(timeouts, on=_KEYS))
    now = traces["ended_at"].max() if as_of is None else as_of
    is_silent = pl.lit(now, dtype=TIME) - pl.col("ended_at") > pl.col("timeout")
    return (
        conversations.join(lives, on=_KEYS, how="left", maintain_order="left")
        .with_columns(
            status=pl.when("is_ended")
            .then(pl.lit("ended"))
            .when(is_silent)
            .then(pl.lit("idle"))
            .otherwise(pl.lit("open"))
        )
        .drop("is_ended", "timeout")
    )


def _timeouts(plans: Plans) -> pl.DataFrame:
    return plans.tiers.unique("plan", keep="first").select("plan", "idle_timeout_s")


def _lives(traces: pl.DataFrame) -> pl.DataFrame:
    """Return segments, paused_ms and is_ended, whether nothing started after the last end."""
    start, end = pl.col("started_at"), pl.max_horizontal("started_at", "ended_at")
    ended = pl.when("conversation_ended").then(end)
    # Of the traces that started earlier. Traces that start together are never parted, so that it
    # does not matter which of them comes first.
    before = (
        traces.sort("started_at")
        .with_columns(
            latest_start=start.shift().over(_KEYS),
            latest_end=end.cum_max().shift().over(_KEYS),
            last_ended=ended.cum_max().forward_fill().shift().over(_KEYS),
        )
        .with_columns(silence=start - pl.col("latest_end"))
    )
    was_ended = (pl.col("last_ended") < start) & (pl.col("last_ended") >= pl.col("latest_start"))
    is_opened_again = ((pl.col("silence") > pl.col("timeout")) | was_ended).fill_null(False)
    pause_ns = pl.col("silence").dt.total_nanoseconds().clip(0).filter(is_opened_again)
    return before.group_by(_KEYS).agg(
        pl.col("timeout").first(),
        segments=1 + is_opened_again.sum().cast(pl.UInt64),
        paused_ms=(pause_ns.sum() // _NS_PER_MS).cast(pl.UInt64),
        is_ended=(ended.max() >= start.max()).fill_null(False),
    )
