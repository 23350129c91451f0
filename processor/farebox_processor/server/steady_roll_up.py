"""Spans in, rows of calls and traces out: a set that breaks the roll up holds up no other."""

import logging
from typing import Final

import polars as pl

from farebox_processor.frames import CALLS, TRACES
from farebox_processor.pipeline import Rules, roll_up_set
from farebox_processor.rollup import RolledUp
from farebox_processor.rollup.kin import sets_of
from farebox_processor.server.metrics import Metrics

__all__ = ["roll_up_steadily"]

_logger = logging.getLogger(__name__)

_TRACE: Final = ["tenant", "trace_id"]
_NAMED: Final = 10
"""Traces of a set that are named in the log."""


def roll_up_steadily(
    spans: pl.DataFrame, rules: Rules, metrics: Metrics, worn: pl.DataFrame
) -> tuple[RolledUp, pl.DataFrame]:
    """Roll up whole sets of traces; return the rows, and the traces of sets that got none.

    Those, by tenant and trace_id, are sets on which the roll up fails. Each is counted as
    errors{where="roll_up"} and named in the log. `worn` is for the roll up.
    """
    try:
        return roll_up_set(spans, rules, worn), spans.select(_TRACE).clear()
    # A mistake of ours in one set must not cost the others; a panic in Rust code is no Exception.
    except BaseException:
        sets = sets_of(spans)
        if sets.n_unique() < 2:
            metrics.errors.labels("roll_up").inc()
            return _nothing(spans)
    order = sets.unique().sort()
    first = sets < order[order.len() // 2]
    rolled_up, left_out = zip(
        *(roll_up_steadily(spans.filter(half), rules, metrics, worn) for half in (first, ~first)),
        strict=True,
    )
    both = RolledUp(
        calls=pl.concat([half.calls for half in rolled_up]),
        traces=pl.concat([half.traces for half in rolled_up]),
    )
    return both, pl.concat(left_out)


def _nothing(spans: pl.DataFrame) -> tuple[RolledUp, pl.DataFrame]:
    """Return no rows, and the traces of `spans`; called while the error is being handled."""
    traces = spans.select(_TRACE).unique().sort(_TRACE)
    named = traces.head(_NAMED).rows()
    _logger.exception("traces could not be rolled up", extra={"traces": named})
    nothing = RolledUp(calls=pl.DataFrame(schema=CALLS), traces=pl.DataFrame(schema=TRACES))
    return nothing, traces
