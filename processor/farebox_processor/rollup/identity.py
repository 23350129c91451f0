"""Spans in, one row per trace out: which conversation it belongs to and along which dimensions.

What stands nearest the root wins; on a tie what started first, then the smaller conversation id,
then the content of the span. A trace that names no conversation takes its resource's, then that of
a trace it shares a call with, then its own trace id.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from farebox_processor.any_values import ABSENT
from farebox_processor.extra_dimensions import columns_of
from farebox_processor.frames import DIMENSIONS, SET_VERSION
from farebox_processor.rollup.different import count_different
from farebox_processor.rollup.facts import ranks_of
from farebox_processor.rollup.tree import Index

__all__ = ["identify_traces"]

_INHERITED = [*DIMENSIONS, "outcome"]
_CONVERSATION = ["conversation_id", "resource_conversation_id"]


_SUM = pl.Int128()
"""Of numbers below 2^102: as many spans as a set may ever have."""


_WORN: Final = 10**33
"""More than the versions of a set sum up to: what an id that is worn held together is later."""
_MOST_WORN: Final = 64
"""So many worn ids of a trace raise its version; the sums stay within what is stored."""


def identify_traces(
    facts: pl.DataFrame, sets: pl.Series, kin: pl.Series, worn_ids: pl.Series
) -> pl.DataFrame:
    """Return one row per trace, by its number: set, version, conversation, times and dimensions.

    Of a set, traces share calls, and so a conversation; kin are rolled up together, and so the
    versions are taken over them. `worn_ids` are the response ids of each trace that tie nothing.
    Wants `depth` on the facts.
    """
    inherited = [*_INHERITED, *columns_of(facts)]
    named = _by_trace(facts, [*inherited, *_CONVERSATION]).with_columns(
        sets.alias("set"), kin.alias("kin"), worn_ids.alias("worn_response_ids")
    )
    worn = pl.col("worn_response_ids").list.len().clip(upper_bound=_MOST_WORN)
    version_in_set = pl.col("version") + worn.cast(_SUM) * pl.lit(_WORN, _SUM)
    alone = {name for name in ("set", "kin") if named[name].n_unique() == named.height}

    def over(column: pl.Expr, summed_up: Callable[[pl.Expr], pl.Expr], group: str) -> pl.Expr:
        return column if group in alone else summed_up(column).over(group)

    if "set" not in alone:
        named = named.sort("set", "started_at", "trace_id")
    own = pl.coalesce("conversation_id", "resource_conversation_id")
    of_set = over(own, _first_told, "set")
    named = named.with_columns(
        # Where the trace names none, that of the trace it shares a call with.
        *(
            pl.coalesce(name, over(pl.col(name), _first_told, "set")).alias(name)
            for name in (() if "set" in alone else inherited)
        ),
        spans_in_set=over(pl.col("spans"), pl.Expr.sum, "kin"),
        rating_revision=over(pl.col("revision"), pl.Expr.max, "kin"),
        own_version=pl.col("version").cast(SET_VERSION),
        set_version=over(version_in_set, pl.Expr.sum, "kin").cast(SET_VERSION),
        conversation_id_source=pl.when(pl.col("conversation_id").is_not_null())
        .then(pl.lit("span"))
        .when(pl.col("resource_conversation_id").is_not_null())
        .then(pl.lit("resource"))
        .when(of_set.is_not_null())
        .then(pl.lit("shared_call"))
        .otherwise(pl.lit("trace")),
        conversation_id=pl.coalesce(own, of_set, over(pl.col("trace_id"), pl.Expr.first, "set")),
    ).drop("resource_conversation_id", "revision", "version")
    return named if "set" in alone else named.sort("trace")


def _first_told(column: pl.Expr) -> pl.Expr:
    return column.first(ignore_nulls=True)


def _by_trace(facts: pl.DataFrame, told: list[str]) -> pl.DataFrame:
    """Return what the spans of each trace say, by its number; of those told, one value each."""
    summed = facts.group_by("trace", maintain_order=True).agg(
        pl.col("tenant", "trace_id").first(),
        pl.col("started_at").min(),
        pl.col("ended_at").max(),
        pl.col("conversation_ended").any(),
        spans=pl.len().cast(pl.UInt64),
        revision=pl.col("rating_revision").max(),
        version=_version_of_a_span().sum(),
    )
    of, ids = facts["trace"], facts["conversation_id"]
    values = facts.select(pl.col(told)).with_columns(pl.col("service_name").replace("", None))
    order = dict.fromkeys(told, _nearest_root_first(facts))
    if values["outcome"].null_count() < values.height:
        order["outcome"] = _ended_last_first(facts)
    first = (_first_of_traces(values[name], of, order[name], summed.height) for name in told)
    conversation_ids = count_different(summed.height, of, ids).alias("conversation_ids")
    return summed.with_columns(*first, conversation_ids)


def _nearest_root_first(facts: pl.DataFrame) -> Index:
    """Return the rows of the facts, trace by trace, in the order in which they have a say."""
    conversation = ranks_of(facts["conversation_id"])
    in_order = facts.select(
        *("trace", "depth", "started_at"),
        conversation=pl.Series(np.where(conversation < 0, facts.height, conversation)),
        at=pl.int_range(pl.len(), dtype=pl.UInt32),
    ).sort("trace", "depth", "started_at", "conversation", "at")
    return in_order["at"].to_numpy()


def _ended_last_first(facts: pl.DataFrame) -> Index:
    """Return the rows of the facts, trace by trace, the one that had the last word first."""
    in_order = facts.select(
        *("trace", "ended_at", "depth", "outcome"), at=pl.int_range(pl.len(), dtype=pl.UInt32)
    ).sort("trace", "ended_at", "depth", "outcome", descending=[False, True, False, False])
    return in_order["at"].to_numpy()


def _first_of_traces(values: pl.Series, of: pl.Series, order: Index, traces: int) -> pl.Series:
    """Return the first value, in this order of rows, that a row of each trace has."""
    if values.null_count() == len(values):
        return pl.Series(values.name, [None], dtype=values.dtype).new_from_index(0, traces)
    is_told = values.to_arrow().is_valid().to_numpy(zero_copy_only=False)
    told = order[is_told[order]][::-1]
    first = np.full(traces, ABSENT, dtype=np.uint32)
    # Of repeated indices numpy keeps the last assignment.
    first[of.to_numpy()[told]] = told
    return values[pl.Series(pa.array(first, mask=first == ABSENT))]


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
