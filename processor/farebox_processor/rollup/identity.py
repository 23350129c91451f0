"""Spans in, one row per trace out: which conversation it belongs to and along which dimensions.

What stands nearest the root wins; on a tie what started first, then the smaller value. A trace
that names no conversation takes its resource's, then that of a trace it shares a call with, then
its own trace id.
"""

import polars as pl

from farebox_processor.frames import DIMENSIONS

__all__ = ["identify_traces"]

_TRACE = ["tenant", "trace_id"]
_INHERITED = (*DIMENSIONS, "outcome")


def identify_traces(spans: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    """Return tenant, trace_id, set, conversation_id, its source, and the trace's dimensions.

    Wants `depth` on the spans and one row per trace in `sets`.
    """
    named = spans.group_by(_TRACE).agg(
        *(_nearest_root(name) for name in (*_INHERITED, "conversation_id")),
        _nearest_root("resource_conversation_id"),
        conversation_ids=pl.col("conversation_id").drop_nulls().n_unique().cast(pl.UInt32),
        started_at_first=pl.col("started_at").min(),
    )
    own = pl.coalesce("conversation_id", "resource_conversation_id")
    return (
        sets.join(named, on=_TRACE, how="left")
        .sort("tenant", "set", "started_at_first", "trace_id")
        .with_columns(
            *(
                pl.coalesce(name, pl.col(name).drop_nulls().first().over("set")).alias(name)
                for name in _INHERITED
            ),
            conversation_id_source=pl.when(pl.col("conversation_id").is_not_null())
            .then(pl.lit("span"))
            .when(pl.col("resource_conversation_id").is_not_null())
            .then(pl.lit("resource"))
            .when(own.is_not_null().any().over("set"))
            .then(pl.lit("shared_call"))
            .otherwise(pl.lit("trace")),
            conversation_id=pl.coalesce(own, own.drop_nulls().first().over("set"), "trace_id"),
        )
        .drop("resource_conversation_id", "started_at_first")
    )


def _nearest_root(name: str) -> pl.Expr:
    told = pl.col(name).is_not_null()
    if name == "service_name":
        told &= pl.col(name) != ""
    nearest = pl.col(name).filter(told).sort_by(
        pl.col("depth").filter(told), pl.col("started_at").filter(told), pl.col(name).filter(told)
    )
    return nearest.first()
