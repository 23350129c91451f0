"""Spans in, one row per trace out: which conversation it belongs to and along which dimensions.

What stands nearest the root wins; on a tie what started first, then the smaller value. A trace
that names no conversation takes its resource's, then that of a trace it shares a call with, then
its own trace id.
"""

import polars as pl

from farebox_processor.frames import DIMENSIONS

__all__ = ["identify_traces"]

_INHERITED = (*DIMENSIONS, "outcome")


def identify_traces(spans: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    """Return per trace its set, conversation_id and where that is from, and its dimensions.

    Wants `trace` and `depth` on the spans and one row per trace in `sets`.
    """
    named = (
        spans.lazy()
        .with_columns(service_name=pl.col("service_name").replace("", None))
        .sort("depth", "started_at", "conversation_id", "span_id", nulls_last=True)
        .group_by("trace")
        .agg(
            pl.col(*_INHERITED, "conversation_id", "resource_conversation_id").first(
                ignore_nulls=True
            ),
            conversation_ids=pl.col("conversation_id").drop_nulls().n_unique().cast(pl.UInt32),
            began_at=pl.col("started_at").min(),
        )
    )
    own = pl.coalesce("conversation_id", "resource_conversation_id")
    return (
        sets.lazy()
        .join(named, on="trace", how="left")
        .sort("set", "began_at", "trace_id")
        .with_columns(
            # Where the trace names none, that of the trace it shares a call with.
            *(
                pl.coalesce(name, pl.col(name).first(ignore_nulls=True).over("set")).alias(name)
                for name in _INHERITED
            ),
            conversation_id_source=pl.when(pl.col("conversation_id").is_not_null())
            .then(pl.lit("span"))
            .when(pl.col("resource_conversation_id").is_not_null())
            .then(pl.lit("resource"))
            .when(own.is_not_null().any().over("set"))
            .then(pl.lit("shared_call"))
            .otherwise(pl.lit("trace")),
            conversation_id=pl.coalesce(
                own,
                own.first(ignore_nulls=True).over("set"),
                pl.col("trace_id").first().over("set"),
            ),
        )
        .drop("resource_conversation_id", "began_at")
        .collect()
    )
