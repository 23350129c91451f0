"""Repair: rows of traces in the store are compared with their spans, and written where they differ.

Late spans, evicted traces, a crash between two inserts, replicas that each saw a part, and rating
again are all this one path: what is in `spans` goes through the same roll up as ever. A repair of
what is repaired writes nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import RetryableStoreError
from farebox_processor.pipeline import Rules
from farebox_processor.rollup import RolledUp
from farebox_processor.rollup.kin import kin_calls, kin_links
from farebox_processor.rollup.ties import connect
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.retired_spans import outlived, with_fewer_kin, with_their_sets
from farebox_processor.server.steady_roll_up import roll_up_steadily
from farebox_processor.store import repair_queries as store
from farebox_processor.store.writer import Writer

__all__ = ["Repair", "Repairing"]

_logger = logging.getLogger(__name__)

_TRACE: Final = ["tenant", "trace_id"]
_CALL: Final = [*_TRACE, "span_id"]
_VERSION: Final = ["own_version", "set_version"]
_SLICE_SPANS: Final = 200_000
"""Spans that are looked at in one step: what bounds the memory, here and in ClickHouse."""
_PAGE_TRACES: Final = 2_000
"""Stale traces that are read back together, with their kin."""
_OVERLAP: Final = timedelta(minutes=5)
"""How much of what was looked at is looked at again: an insert shows later than its time says."""


@dataclass(slots=True)
class Repair:
    """Finds and mends rows that do not show their spans. One thread at a time may use it."""

    client: Client
    """A client that nobody else uses at the same time."""
    rules: Rules
    metrics: Metrics
    ingest: Ingest | None = None
    """Whose live traces are made whole by what is read back."""
    horizon_s: int = 86_400
    """How far back the first run looks, by when spans were stored."""
    settled_s: int = 0
    """What was stored in the last seconds is left to those who stored it."""
    _seen_until: datetime | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Compare what was stored since the last run, and return how many rows were written.

        Raises RetryableStoreError where ClickHouse does not answer; the next run looks again.
        """
        written = 0
        with self.metrics.repair_seconds.time():
            since = self._seen_until and self._seen_until - _OVERLAP
            seconds = store.stored_seconds(
                self.client, since, horizon_s=self.horizon_s, settled_s=self.settled_s
            )
            for first, last in _slices(seconds):
                if self._stopping.is_set():
                    return written
                ties = _groups(store.tied_calls(self.client, first, last))
                written += self._mend(self._stale(ties, first, last), ties)
                self._seen_until = max(last, self._seen_until or last)
        self.metrics.repaired_at = time.monotonic()
        if written:
            _logger.info("rows were repaired", extra={"rows": written})
        return written

    def stop(self) -> None:
        """Let a run end after the step it is at."""
        self._stopping.set()

    def _stale(self, ties: pl.DataFrame, first: datetime, last: datetime) -> pl.DataFrame:
        """Return the traces stored in between whose rows are missing, or not of their set."""
        stale = [
            store.stale_traces(self.client, first, last),
            store.traces_tied_by_worn(self.client, first, last),
        ]
        if ties.height:
            states = ties.join(store.trace_versions(self.client, ties), on=_TRACE, how="left")
            parted = states.filter(pl.col("set_version").n_unique().over("group") > 1)
            stale.append(parted.select(_TRACE))
        # In the order of the tables: a page of traces then lies in one place of each.
        return pl.concat(stale).unique().sort(_TRACE)

    def _mend(self, stale: pl.DataFrame, ties: pl.DataFrame) -> int:
        """Roll up the traces and their kin from their spans, and write the rows that differ."""
        written = 0
        while stale.height and not self._stopping.is_set():
            whole = self._with_kin(stale.head(_PAGE_TRACES).select(_TRACE), ties)
            written += self._mend_set(whole)
            stale = stale.join(whole, on=_TRACE, how="anti", maintain_order="left")
        return written

    def _mend_set(self, whole: pl.DataFrame) -> int:
        # The rows first and what they are made from after them: of a span that comes in between
        # there is no row yet that could be taken for one of too many spans.
        calls = store.call_versions(self.client, whole)
        traces = store.trace_versions(self.client, whole)
        spans = store.spans_of(self.client, whole)
        worn = store.worn_responses(self.client, whole)
        rolled_up, left_out = roll_up_steadily(spans, self.rules, self.metrics, worn)
        outlive = self._that_outlive_spans(spans, rolled_up, calls, traces)
        new_calls, new_traces, calls, traces = (
            rows.join(left_out, on=_TRACE, how="anti").join(outlive, on=_TRACE, how="anti")
            for rows in (rolled_up.calls, rolled_up.traces, calls, traces)
        )
        wrong_calls = _wrong(new_calls, calls, _CALL)
        wrong_traces = _wrong(new_traces, traces, _TRACE)
        if wrong_calls.height or wrong_traces.height:
            now = self._with_kin(whole, _groups(store.ties_of(self.client, whole)))
            if now.height > whole.height:
                # One of them is being written just now: the others wait for no other run.
                return self._mend_set(now)
        # The trace last: as long as its row is missing or old, it is known as stale.
        written = self._replace("calls", new_calls, calls, wrong_calls)
        written += self._replace("traces", new_traces, traces, wrong_traces)
        if self.ingest is not None:
            self.ingest.take_back(spans)
        return written

    def _that_outlive_spans(
        self, spans: pl.DataFrame, now: RolledUp, calls: pl.DataFrame, traces: pl.DataFrame
    ) -> pl.DataFrame:
        """Return the traces of sets of which spans were retired: their rows stay as they are."""
        found = outlived(spans, calls, traces)
        left = with_fewer_kin(now.traces, traces)
        if left.height:
            found = pl.concat([found, store.traces_whose_kin_are_retired(self.client, left)])
        if found.is_empty():
            return found
        outlive = with_their_sets(found, spans)
        _logger.warning(
            "traces keep their rows, since spans of theirs are not in the store any more",
            extra={"traces": outlive.height, "first": outlive.row(0)},
        )
        return outlive

    def _with_kin(self, traces: pl.DataFrame, ties: pl.DataFrame) -> pl.DataFrame:
        """Return the traces and all that are to be rolled up with them, by `ties` and further."""
        whole = traces
        asked = traces.clear()
        while True:
            of_whole = ties.join(whole, on=_TRACE, how="semi")
            kin = ties.join(of_whole, on="group", how="semi")
            whole = pl.concat([whole, kin.select(_TRACE)]).unique(maintain_order=True)
            # Of seeds all ties are known; what ties the others to others has to be asked.
            unknown = kin.filter(~pl.col("is_seed")).join(asked, on=_TRACE, how="anti")
            if unknown.is_empty():
                return whole
            asked = pl.concat([asked, unknown.select(_TRACE)])
            ties = _groups(store.ties_of(self.client, unknown))

    def _replace(
        self, table: str, rows: pl.DataFrame, stored: pl.DataFrame, wrong: pl.DataFrame
    ) -> int:
        """Make `rows` those of `table` in place of what is `stored` of their traces."""
        key = wrong.columns
        if wrong.height:
            store.delete_rows(self.client, table, wrong)
        right = stored.join(wrong, on=key, how="anti")
        different = rows.join(right, on=[*key, *_VERSION], how="anti")
        # A block like this one may have been stored before what was deleted now.
        Writer(self.client, deduplicate=False).write(table, different)
        self.metrics.repaired_rows.labels(table).inc(different.height + wrong.height)
        return different.height + wrong.height


class Repairing:
    """A thread that repairs again and again, beside the one that flushes."""

    def __init__(self, repair: Repair, metrics: Metrics, *, interval_s: float) -> None:
        self._repair = repair
        self._metrics = metrics
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="farebox-repair", daemon=True)
        self._thread.start()

    def stop(self, within_s: float = 10) -> bool:
        """Let the thread end after the step it is at, and tell whether it has."""
        self._stopping.set()
        self._repair.stop()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._repair.run()
            except RetryableStoreError as error:
                self._metrics.errors.labels("repair").inc()
                _logger.warning("nothing is repaired for now", extra={"detail": str(error)})
            # The next run looks at the same again; a panic in Rust code is no Exception.
            except BaseException:
                self._metrics.errors.labels("repair").inc()
                _logger.exception("rows could not be repaired")
            self._stopping.wait(self._interval_s)


def _wrong(rows: pl.DataFrame, stored: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return the keys of stored rows that would stand beside the right ones, or win over them.

    Those of spans that are no calls any more; and of a set that has come apart since, because a
    span has another content now.
    """
    compared = stored.join(rows.select(*key, *_VERSION), on=key, how="left", suffix="_now")
    own, own_now = pl.col("own_version"), pl.col("own_version_now")
    whole, whole_now = pl.col("set_version"), pl.col("set_version_now")
    wins = (own > own_now) | ((own == own_now) & (whole > whole_now))
    return compared.filter(own_now.is_null() | wins).select(key)


def _slices(seconds: pl.DataFrame) -> Iterator[tuple[datetime, datetime]]:
    """Yield the first and the last second of slices with so many spans, or of one second."""
    step = (pl.col("spans").cum_sum() - pl.col("spans")) // _SLICE_SPANS
    slices = seconds.group_by(step.alias("step"), maintain_order=True).agg(
        first=pl.col("stored_at").min(), last=pl.col("stored_at").max()
    )
    yield from slices.select("first", "last").iter_rows()


def _groups(calls: pl.DataFrame) -> pl.DataFrame:
    """Return tenant, trace_id, is_seed and group of the traces that are kin by `calls`."""
    traces = calls.select(*_TRACE, "is_seed").unique(_TRACE).with_row_index("trace")
    numbered = calls.join(traces.select(*_TRACE, "trace"), on=_TRACE)
    group = connect(traces.height, kin_links(kin_calls(numbered)))
    grouped = traces.with_columns(group=pl.Series(group.astype(np.int64))).drop("trace")
    return grouped.with_columns(pl.col("is_seed").cast(pl.Boolean)).filter(
        pl.len().over("group") > 1
    )
