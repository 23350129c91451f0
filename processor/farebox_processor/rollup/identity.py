"""Spans in, one row per trace out: which conversation it belongs to and along which dimensions.

What stands nearest the root wins; on a tie what started first, then the smaller value. A trace
that names no conversation takes its resource's, then that of a trace it shares a call with, then
its own trace id.
"""

import polars as pl

from farebox_processor.frames import DIMENSIONS, SET_VERSION
from farebox_processor.rollup.facts import ranks_of

__all__ = ["identify_traces"]

_INHERITED = (*DIMENSIONS, "outcome")
_NAMES = [*_INHERITED, "conversation_id", "resource_conversation_id"]


_SUM = pl.Int128()
"""Of numbers below 2^102: as many spans as a set may ever have."""


def identify_traces(facts: pl.DataFrame, sets: pl.Series, kin: pl.Series) -> pl.DataFrame:
    """Return one row per trace, by its number: set, version, conversation and dimensions.

    Of a set, traces share calls, and so a conversation; kin are rolled up together, and so the
    versions are taken over them. Wants `depth` on the facts.
    """
    nearest_root = facts.select(
        "trace",
        "depth",
        "started_at",
        conversation_id=ranks_of(facts["conversation_id"]),
        at=pl.int_range(pl.len(), dtype=pl.UInt32),
    ).sort("trace", "depth", "started_at", "conversation_id", nulls_last=True)
    named = (
        facts.lazy()
        .select(
            *("trace", "tenant", "trace_id", "started_at", "rating_revision", *_NAMES),
            version=_version_of_a_span(),
        )
        .with_columns(service_name=pl.col("service_name").replace("", None))
        .select(pl.all().gather(nearest_root["at"]))
        .group_by("trace")
        .agg(
            pl.col("tenant", "trace_id").first(),
            pl.col(_NAMES).first(ignore_nulls=True),
            conversation_ids=pl.col("conversation_id").drop_nulls().n_unique().cast(pl.UInt32),
            began_at=pl.col("started_at").min(),
            spans=pl.len().cast(pl.UInt64),
            revision=pl.col("rating_revision").max(),
            version=pl.col("version").sum(),
        )
        .with_columns(
            set=pl.lit(sets).gather(pl.col("trace")),
            kin=pl.lit(kin).gather(pl.col("trace")),
        )
    )
    own = pl.coalesce("conversation_id", "resource_conversation_id")
    return (
        named.sort("set", "began_at", "trace_id")
        .with_columns(
            # Where the trace names none, that of the trace it shares a call with.
            *(
                pl.coalesce(name, pl.col(name).first(ignore_nulls=True).over("set")).alias(name)
                for name in _INHERITED
            ),
            spans_in_set=pl.col("spans").sum().over("kin"),
            rating_revision=pl.col("revision").max().over("kin"),
            own_version=pl.col("version").cast(SET_VERSION),
            set_version=pl.col("version").sum().over("kin").cast(SET_VERSION),
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
        .drop("resource_conversation_id", "began_at", "revision", "version")
        .sort("trace")
        .collect(engine="in-memory")
    )


def _version_of_a_span() -> pl.Expr:
    """Return a number that is the greater, the later of two contents of one span counts.

    As `version` in the table `spans`, shifted by 26 bits: summed over a set, it grows with every
    span that is added or replaced.
    """
    revision, end, content = (
        pl.col(name).cast(_SUM) for name in ("rating_revision", "end_unix_nano", "content_hash")
    )
    shifted = (pl.lit(1 << bits, dtype=_SUM) for bits in (86, 22))
    return revision * next(shifted) + end * next(shifted) + content // (1 << 42)
