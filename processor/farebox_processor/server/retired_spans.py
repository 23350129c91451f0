"""Rows of calls and traces in, those out that know of spans which the store does not have any more.

Spans are retired by the month; what they came to stays. Nothing else takes a span out of `spans`,
so a row that counts more of them than there are is not wrong, but all that is left of them.
"""

from typing import Final

import polars as pl

from farebox_processor.rollup.kin import sets_of

__all__ = ["outlived", "with_fewer_kin", "with_their_sets"]

_TRACE: Final = ["tenant", "trace_id"]


def outlived(spans: pl.DataFrame, calls: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """Return tenant and trace_id of the traces some of whose spans are not among `spans`.

    Wants the keys of the rows of `calls`, and of those of `traces` how many `spans` they count.
    The rows must have been read before the spans.
    """
    unheard_of = calls.join(spans, on=[*_TRACE, "span_id"], how="anti")
    there = spans.group_by(_TRACE).agg(there=pl.len())
    fewer = traces.join(there, on=_TRACE, how="left").filter(
        pl.col("spans") > pl.col("there").fill_null(0)
    )
    return pl.concat([unheard_of.select(_TRACE), fewer.select(_TRACE)]).unique()


def with_fewer_kin(traces: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return those of `traces` of which the `stored` row counts more spans of other traces."""
    of_kin = pl.col("spans_in_set") - pl.col("spans")
    now = traces.select(*_TRACE, now=of_kin)
    counted = stored.select(*_TRACE, stored=of_kin)
    return counted.join(now, on=_TRACE).filter(pl.col("stored") > pl.col("now")).select(_TRACE)


def with_their_sets(traces: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Return `traces` and those that are rolled up with them, of the traces of `spans`."""
    sets = spans.select(*_TRACE, set=sets_of(spans)).unique()
    together = sets.join(sets.join(traces, on=_TRACE, how="semi"), on="set", how="semi")
    return pl.concat([traces.select(_TRACE), together.select(_TRACE)]).unique().sort(_TRACE)
