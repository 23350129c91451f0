"""The set of live traces: priced spans in, whole sets of traces to roll up out.

It holds what the roll up needs of every span of a live trace, in columns and without content. A
trace that was evicted is not lost, only no longer complete here: it is left to repair, which reads
it back from `spans`.
"""

from dataclasses import dataclass, field

import polars as pl

from farebox_processor.frames import PRICED_SPANS

__all__ = ["LiveTraces"]

_TRACE = ["tenant", "trace_id"]
_VERSION = ["tenant", "trace_id", "span_id", "rating_revision", "end_unix_nano", "content_hash"]


@dataclass(slots=True)
class LiveTraces:
    """Spans of the traces that are still being written, bounded by their number."""

    max_spans: int
    """Above it the traces that have been silent the longest are evicted."""
    _spans: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(PRICED_SPANS)))
    _dirty: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"tenant": pl.String, "trace_id": pl.String})
    )
    evicted: int = 0
    """How many traces have been evicted so far."""

    def __len__(self) -> int:
        return self._spans.height

    @property
    def traces(self) -> int:
        """How many traces are live."""
        return self._spans.select(_TRACE).n_unique()

    def add(self, priced: pl.DataFrame) -> int:
        """Take priced spans; what is there already marks nothing dirty. Return how many are new."""
        priced = priced.select(*PRICED_SPANS)
        new = priced.join(self._spans, on=_VERSION, how="anti").unique(_VERSION)
        if not new.height:
            return 0
        self._spans = pl.concat([self._spans, new])
        self._dirty = pl.concat([self._dirty, new.select(_TRACE)]).unique()
        return new.height

    def dirty_sets(self) -> pl.DataFrame:
        """Return all spans of the traces that changed, and of the traces tied to them."""
        reached = self._dirty
        while True:
            spans = self._spans.join(reached, on=_TRACE, how="semi")
            tied = self._spans.join(
                spans.filter(pl.col("response_id").is_not_null()).select("tenant", "response_id"),
                on=["tenant", "response_id"],
                how="semi",
            )
            wider = pl.concat([reached, tied.select(_TRACE)]).unique()
            if wider.height == reached.height:
                return spans
            reached = wider

    def settle(self) -> None:
        """Note that the dirty sets have been rolled up and stored; make room if need be."""
        self._dirty = self._dirty.clear()
        if self._spans.height > self.max_spans:
            self._evict()

    def _evict(self) -> None:
        """Keep the most recently seen traces within the bound, in order of their last span."""
        seen = pl.int_range(pl.len())
        last_seen = (
            self._spans.group_by(_TRACE)
            .agg(last=seen.max(), spans=pl.len())
            .sort("last", descending=True)
        )
        keep = last_seen.filter(pl.col("spans").cum_sum() <= self.max_spans)
        self.evicted += last_seen.height - keep.height
        self._spans = self._spans.join(keep, on=_TRACE, how="semi", maintain_order="left").rechunk()
