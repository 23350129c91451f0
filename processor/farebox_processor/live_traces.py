"""The set of live traces: priced spans in, whole sets of traces to roll up out.

It holds every span of a live trace, in columns and without content. A trace that was evicted is not
lost, only no longer complete here: it is left to repair, which reads it back from `spans`.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from farebox_processor.cold_spans import ColdSpans
from farebox_processor.frames import PRICED_SPANS, TOKENS, Schema
from farebox_processor.rollup.facts import what_is_called
from farebox_processor.rollup.kin import (
    NONE_WORN,
    kin_calls,
    overlap_links,
    response_links,
    response_number,
    trace_number,
    worn_responses,
)

__all__ = ["LiveTraces"]

# A trace is told by one number of its tenant and id: two that share one would only be kept and
# rolled up together.
_TRACE: Final = trace_number()
_VERSION: Final = ["trace", "span_id", "rating_revision", "end_unix_nano", "content_hash"]
_ALWAYS: Final = {*_VERSION, "candidate", "ended_at"}
_SPANS: Final[Schema] = {
    "trace": pl.UInt64(),
    **{name: dtype for name, dtype in PRICED_SPANS.items() if name in _ALWAYS},
}
_CALLS: Final[Schema] = {
    "trace": pl.UInt64(),
    "response": pl.UInt64(),
    "equal": pl.UInt64(),
    "scope": pl.UInt64(),
    "began": pl.Int64(),
    "ended": pl.Int64(),
}
_CALLED: Final = (
    *("tenant", "service_name", "scope_name", "started_at", "ended_at"),
    *("candidate", "call_kind", "response_id", "priced_model", "model", "tool_name", *TOKENS),
)
"""Which columns say what calls are kin by."""
_LINKS: Final[Schema] = {"left": pl.UInt64(), "right": pl.UInt64(), "response": pl.UInt64()}
_WORN_IDS: Final = 100_000
"""Worn response ids that are remembered; repair knows the others."""
_HOT_SPANS: Final = 32_768
"""So many spans are held as they are, about 1 kB each; the others are packed."""
_PACK_SPANS: Final = 8_192
_CHUNKS: Final = 64
"""More pieces of a column than this slow every question to it."""


def _none(schema: Schema) -> pl.DataFrame:
    return pl.DataFrame(schema=schema)


@dataclass(slots=True)
class LiveTraces:
    """Spans of the traces that are still being written, bounded by their number and by silence."""

    max_spans: int
    """Above it the traces that have been silent the longest are evicted."""
    idle_s: int = 3_600
    """Traces that ended so much earlier than what comes now, by event time, are evicted."""
    evicted: int = 0
    """How many traces have been evicted so far."""
    _hot: pl.DataFrame = field(default_factory=lambda: _none(_SPANS))
    _cold: ColdSpans = field(init=False)
    _calls: pl.DataFrame = field(default_factory=lambda: _none(_CALLS))
    _links: pl.DataFrame = field(default_factory=lambda: _none(_LINKS))
    _worn: pl.Series = field(default_factory=NONE_WORN.clone)
    _dirty: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.UInt64))

    def __post_init__(self) -> None:
        self._cold = ColdSpans(pack_spans=max(1, min(_PACK_SPANS, self.max_spans // 16)))

    def __len__(self) -> int:
        return self._hot.height + len(self._cold)

    @property
    def traces(self) -> int:
        """How many traces are live."""
        return self._hot["trace"].n_unique() + self._cold.traces.len()

    @property
    def dirty(self) -> int:
        """How many traces have changed since they were settled."""
        return self._dirty.len()

    def fork(self) -> "LiveTraces":
        """Return the same traces again; what is added there changes nothing here."""
        forked = copy(self)
        forked._cold = self._cold.fork()
        return forked

    def add(self, priced: pl.DataFrame) -> int:
        """Take priced spans; what is there already marks nothing dirty. Return how many are new."""
        # Before, not after: what comes now is asked for next, and would be unpacked again.
        self._pack()
        new = self._take(priced)
        self._dirty = pl.concat([self._dirty, new["trace"]]).unique()
        self._evict(new)
        return new.height

    def complete(self, stored: pl.DataFrame) -> None:
        """Take spans that were read back and rolled up: they make live traces whole again."""
        self._pack()
        self._evict(self._take(self.those_live(stored)))

    def those_live(self, spans: pl.DataFrame) -> pl.DataFrame:
        """Return those of `spans` whose traces are live; while others add, about those."""
        live = pl.concat([self._hot["trace"], self._cold.traces]).unique()
        return spans.filter(_TRACE.is_in(live.implode()))

    def dirty_sets(self) -> pl.DataFrame:
        """Return all spans of the traces that changed, and of the traces that are their kin."""
        reached = self._with_kin(self._dirty)
        self._warm(reached)
        return _whole(self._hot.filter(pl.col("trace").is_in(reached.implode())))

    def worn_among(self, spans: pl.DataFrame) -> pl.DataFrame:
        """Return the response ids (tenant, response_id) of `spans` that tie nothing any more."""
        ids = ["tenant", "response_id"]
        if self._worn.is_empty():
            return spans.select(ids).clear()
        is_worn = response_number().is_in(self._worn.implode())
        return spans.filter(is_worn).select(ids).unique().sort(ids)

    def settle(self) -> None:
        """Note that the dirty sets have been rolled up and stored."""
        self._dirty = self._dirty.clear()

    def _with_kin(self, reached: pl.Series) -> pl.Series:
        while not self._links.is_empty():
            linked = self._links.filter(
                pl.col("left").is_in(reached.implode()) | pl.col("right").is_in(reached.implode())
            )
            wider = pl.concat([reached, linked["left"], linked["right"]]).unique()
            if wider.len() == reached.len():
                break
            reached = wider
        return reached

    def _take(self, priced: pl.DataFrame) -> pl.DataFrame:
        """Hold what is new among `priced`, and return it."""
        named = _held(priced)
        self._warm(named["trace"].unique())
        new = self._unheld(named)
        if new["content_hash"].n_unique() < new.height:
            new = new.unique(_VERSION, maintain_order=True)
        if new.height:
            self._hot = pl.concat([self._hot, new], how="diagonal")
            self._link(new)
        return new

    def _unheld(self, spans: pl.DataFrame) -> pl.DataFrame:
        """Return those of `spans` that are not held; their traces are warm."""
        is_known = pl.col("trace").is_in(self._hot["trace"].unique().implode())
        heard_of = spans.select(is_known).to_series()
        if not heard_of.any():
            return spans
        held = self._hot.filter(pl.col("trace").is_in(spans["trace"].filter(heard_of).implode()))
        return spans.join(held, on=_VERSION, how="anti", maintain_order="left")

    def _link(self, new: pl.DataFrame) -> None:
        """Note the calls of new spans, and which traces they tie together."""
        calls = _calls_of(new)
        self._calls = pl.concat([self._calls, calls])
        if self._calls.n_chunks() > _CHUNKS:
            self._calls = self._calls.rechunk()
        of_one_response = self._wear(self._sharing("response", calls))
        links = (response_links(of_one_response), overlap_links(self._sharing("equal", calls)))
        if any(not each.is_empty() for each in links):
            self._links = pl.concat([self._links, *links]).unique()

    def _sharing(self, name: str, calls: pl.DataFrame) -> pl.DataFrame:
        """Return the calls with a value of `calls` in this column, if any two have the same."""
        values = calls[name].drop_nulls().unique()
        found = self._calls.filter(pl.col(name).is_in(values.implode()))
        return found if found.height > values.len() else found.clear()

    def _wear(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Note the response ids of `calls` that are worn by them, and return calls with others.

        What they tied together is to be rolled up again.
        """
        is_worn = pl.col("response").is_in(self._worn.implode())
        worn = worn_responses(calls.filter(~is_worn))
        if worn.len():
            shown = pl.col("response").is_in(worn.implode()).fill_null(False)
            apart = self._with_kin(self._calls.filter(shown)["trace"].unique())
            self._dirty = pl.concat([self._dirty, apart]).unique()
            self._links = self._links.filter(~shown)
            self._worn = pl.concat([self._worn, worn]).tail(_WORN_IDS)
        return calls.filter(~pl.col("response").is_in(self._worn.implode()))

    def _warm(self, traces: pl.Series) -> None:
        """Bring back the spans of `traces` that were packed."""
        packed = self._cold.take(traces)
        if packed:
            self._hot = pl.concat([self._hot, *packed], how="diagonal")

    def _pack(self) -> None:
        """Pack what was used least recently."""
        hot_spans = min(_HOT_SPANS, self.max_spans // 2)
        if self._hot.height > hot_spans:
            # The latest half stays; no trace is split.
            rows = self._hot.select("trace").with_row_index("at")
            last = rows.select(pl.col("at").max().over("trace")).to_series()
            stays = last >= self._hot.height - hot_spans // 2
            self._cold.put(self._hot.filter(~stays), last.filter(~stays))
            self._hot = _without_empty(self._hot.filter(stays))

    def _evict(self, new: pl.DataFrame) -> None:
        """Drop what is too much, or too old beside what is new."""
        if self._hot.height > self.max_spans:
            self._pack()
        gone = self._cold.shrink(max(0, self.max_spans - self._hot.height))
        moment = new["ended_at"].median()
        if isinstance(moment, datetime):
            gone = pl.concat([gone, self._cold.forget(moment - timedelta(seconds=self.idle_s))])
        if self._hot.height > self.max_spans:
            # One trace that is larger than all of them may be.
            gone = pl.concat([gone, self._hot["trace"].unique()])
            self._hot = self._hot.clear()
        if gone.len():
            self._forget(gone)

    def _forget(self, traces: pl.Series) -> None:
        self.evicted += traces.len()
        gone = traces.implode()
        self._calls = self._calls.filter(~pl.col("trace").is_in(gone))
        self._links = self._links.filter(~pl.col("left").is_in(gone) & ~pl.col("right").is_in(gone))
        # What is evicted before it could be stored is stale in the store: repair sees it.
        self._dirty = self._dirty.filter(~self._dirty.is_in(gone))


def _held(priced: pl.DataFrame) -> pl.DataFrame:
    """Return priced spans as they are held: of the hundred columns those in which anything is."""
    return _without_empty(priced.select(*PRICED_SPANS, trace=_TRACE))


def _without_empty(spans: pl.DataFrame) -> pl.DataFrame:
    return spans.select(
        column
        for column in spans.get_columns()
        if column.name in _ALWAYS or column.null_count() < spans.height
    )


def _whole(held: pl.DataFrame, names: Iterable[str] = PRICED_SPANS) -> pl.DataFrame:
    """Return columns of frames.PRICED_SPANS, all unless told which, of spans that are held."""
    # Series by series: a query over a hundred columns takes milliseconds to be planned.
    return pl.DataFrame(
        [
            held[name]
            if name in held.columns
            else pl.Series(name, [None], PRICED_SPANS[name]).new_from_index(0, held.height)
            for name in names
        ]
    )


def _calls_of(spans: pl.DataFrame) -> pl.DataFrame:
    told = _whole(spans, _CALLED).with_columns(spans["trace"])
    return kin_calls(told.filter("candidate").with_columns(*what_is_called())).select(*_CALLS)
