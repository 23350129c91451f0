"""The set of live traces: priced spans in, whole sets of traces to roll up out.

It holds every span of a live trace, in columns and without content. A trace that was evicted is not
lost, only no longer complete here: it is left to repair, which reads it back from `spans`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from farebox_processor.cold_spans import ColdSpans
from farebox_processor.frames import PRICED_SPANS, Schema
from farebox_processor.rollup.facts import what_is_called
from farebox_processor.rollup.kin import (
    NONE_WORN,
    kin_calls,
    overlap_links,
    response_links,
    response_number,
    worn_responses,
)

__all__ = ["LiveTraces"]

# A trace is told by one number of its tenant and id: two that share one would only be kept and
# rolled up together.
_TRACE: Final = pl.struct("tenant", "trace_id").hash()
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

    def add(self, priced: pl.DataFrame) -> int:
        """Take priced spans; what is there already marks nothing dirty. Return how many are new."""
        new = self._take(priced)
        self._dirty = pl.concat([self._dirty, new["trace"]]).unique()
        self._make_room(new)
        return new.height

    def complete(self, stored: pl.DataFrame) -> None:
        """Take spans that were read back and rolled up: they make live traces whole again."""
        self._make_room(self._take(self.those_live(stored)))

    def those_live(self, spans: pl.DataFrame) -> pl.DataFrame:
        """Return those of `spans` whose traces are live; while others add, about those."""
        live = pl.concat([self._hot["trace"], self._cold.traces]).unique()
        return spans.filter(_TRACE.is_in(live.implode()))

    def with_new(self, priced: pl.DataFrame, most: int) -> pl.DataFrame:
        """Return the spans of the traces of `priced`, and of their kin, as if it had been added.

        Calls without a response id make no kin here. Traces are left out, the largest first, until
        at most so many spans are left.
        """
        named = _held(priced)
        responses = _calls_of(named)["response"].drop_nulls()
        responses = responses.filter(~responses.is_in(self._worn.implode()))
        twins = self._calls.filter(pl.col("response").is_in(responses.implode()))
        reached = self._with_kin(pl.concat([named["trace"], twins["trace"]]).unique())
        self._warm(reached)
        held = self._hot.filter(pl.col("trace").is_in(reached.implode()))
        spans = pl.concat([held, self._unheld(named)], how="diagonal")
        if spans.height > most:
            sizes = spans.group_by("trace").len().sort("len", "trace")
            fit = sizes.filter(pl.col("len").cum_sum() <= most)
            spans = spans.filter(pl.col("trace").is_in(fit["trace"].implode()))
        return _whole(spans)

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
        while True:
            linked = self._links.filter(
                pl.col("left").is_in(reached.implode()) | pl.col("right").is_in(reached.implode())
            )
            wider = pl.concat([reached, linked["left"], linked["right"]]).unique()
            if wider.len() == reached.len():
                return reached
            reached = wider

    def _take(self, priced: pl.DataFrame) -> pl.DataFrame:
        """Hold what is new among `priced`, and return it."""
        named = _held(priced)
        self._warm(named["trace"].unique())
        new = self._unheld(named).unique(_VERSION, maintain_order=True)
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
        calls = self._wear(calls)
        links = [self._links]
        for name, links_of in (("response", response_links), ("equal", overlap_links)):
            among = calls[name].drop_nulls().implode()
            links.append(links_of(self._calls.filter(pl.col(name).is_in(among))))
        self._links = pl.concat(links).unique()

    def _wear(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Note the response ids of `calls` that are worn by them, and return calls without.

        What they tied together is to be rolled up again.
        """
        responses = calls["response"].drop_nulls()
        among = responses.filter(~responses.is_in(self._worn.implode()))
        worn = worn_responses(self._calls.filter(pl.col("response").is_in(among.implode())))
        if worn.len():
            shown = pl.col("response").is_in(worn.implode()).fill_null(False)
            apart = self._with_kin(self._calls.filter(shown)["trace"].unique())
            self._dirty = pl.concat([self._dirty, apart]).unique()
            self._links = self._links.filter(~shown)
            self._worn = pl.concat([self._worn, worn]).tail(_WORN_IDS)
        is_worn = pl.col("response").is_in(self._worn.implode())
        return calls.with_columns(response=pl.when(~is_worn).then("response"))

    def _warm(self, traces: pl.Series) -> None:
        """Bring back the spans of `traces` that were packed."""
        self._hot = pl.concat([self._hot, *self._cold.take(traces)], how="diagonal")

    def _make_room(self, new: pl.DataFrame) -> None:
        """Pack what was used least recently, and drop what is too much or too old."""
        hot_spans = min(_HOT_SPANS, self.max_spans // 2)
        if self._hot.height > hot_spans:
            # The latest half stays; no trace is split.
            last = self._hot.with_row_index("at").group_by("trace").agg(pl.col("at").max())
            stays = last.filter(pl.col("at") >= self._hot.height - hot_spans // 2)
            keep = pl.col("trace").is_in(stays["trace"].implode())
            self._cold.put(self._hot.filter(~keep))
            self._hot = _without_empty(self._hot.filter(keep))
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


def _whole(held: pl.DataFrame) -> pl.DataFrame:
    """Return frames.PRICED_SPANS of spans that are held."""
    return held.select(
        pl.col(name) if name in held.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in PRICED_SPANS.items()
    )


def _calls_of(spans: pl.DataFrame) -> pl.DataFrame:
    held = spans.filter("candidate")
    candidates = _whole(held).with_columns(held["trace"], *what_is_called())
    return kin_calls(candidates).select(*_CALLS)
