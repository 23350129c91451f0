"""Spans of traces that are silent for now, packed: frames in, compressed Arrow, frames out.

Every trace lies in one pack. The packs are in the order in which they were made: the first holds
the traces that have been silent the longest.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO

import polars as pl

__all__ = ["ColdSpans"]


@dataclass(frozen=True, slots=True)
class _Pack:
    content: bytes
    held: int
    """Spans in the content; those that were taken out are dropped when they are most of it."""
    spans: int
    """Spans of the traces that are still here."""
    ended_at: datetime


@dataclass(slots=True)
class ColdSpans:
    """Packs of spans; `trace` tells the traces apart."""

    pack_spans: int
    """A pack is read whole when one of its traces is heard of again."""
    _packs: dict[int, _Pack] = field(default_factory=dict)
    _where: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={"trace": pl.UInt64, "pack": pl.UInt32, "spans": pl.UInt32}
        )
    )
    _next: int = 0

    def __len__(self) -> int:
        return sum(pack.spans for pack in self._packs.values())

    @property
    def traces(self) -> pl.Series:
        """The traces that are here."""
        return self._where["trace"]

    def fork(self) -> "ColdSpans":
        """Return the same packs again; what becomes of them there changes nothing here."""
        return replace(self, _packs=dict(self._packs))

    def put(self, spans: pl.DataFrame, last: pl.Series) -> None:
        """Pack the spans of whole traces.

        `last`, one number in each trace, says when a span of it was last heard of.
        """
        pack = (last - last.min()) // self.pack_spans
        for number in pack.unique().sort():
            self._add(spans.filter(pack == number))

    def take(self, traces: pl.Series) -> list[pl.DataFrame]:
        """Return the spans of `traces`, which are held no more."""
        wanted = pl.col("trace").is_in(traces.implode())
        found = self._where.filter(wanted)
        if found.is_empty():
            return []
        self._where = self._where.filter(~wanted)
        return [
            self._take(number, pl.col("trace").is_in(traces.implode()), spans)
            for number, spans in found.group_by("pack").agg(pl.col("spans").sum()).rows()
        ]

    def shrink(self, max_spans: int) -> pl.Series:
        """Drop the first packs until no more spans are left, and return the traces in them."""
        excess = len(self) - max_spans
        dropped = []
        for number, pack in self._packs.items():
            if excess <= 0:
                break
            excess -= pack.spans
            dropped.append(number)
        return self._drop(dropped)

    def forget(self, ended_before: datetime) -> pl.Series:
        """Drop the packs of which every trace ended before then, and return the traces in them."""
        return self._drop(
            [number for number, pack in self._packs.items() if pack.ended_at < ended_before]
        )

    def _add(self, spans: pl.DataFrame) -> None:
        self._packs[self._next] = _packed(spans)
        where = spans.group_by("trace").agg(
            pack=pl.lit(self._next, dtype=pl.UInt32), spans=pl.len().cast(pl.UInt32)
        )
        self._where = pl.concat([self._where, where], rechunk=True)
        self._next += 1

    def _take(self, number: int, wanted: pl.Expr, count: int) -> pl.DataFrame:
        pack = self._packs[number]
        spans = pl.read_ipc_stream(BytesIO(pack.content))
        left = pack.spans - count
        if left == 0:
            del self._packs[number]
        elif left < pack.held // 2:
            here = self._where.filter(pack=number)["trace"]
            self._packs[number] = _packed(spans.filter(pl.col("trace").is_in(here.implode())))
        else:
            self._packs[number] = replace(pack, spans=left)
        return spans.filter(wanted)

    def _drop(self, numbers: list[int]) -> pl.Series:
        for number in numbers:
            del self._packs[number]
        gone = pl.col("pack").is_in(numbers)
        traces = self._where.filter(gone)["trace"]
        if numbers:
            self._where = self._where.filter(~gone)
        return traces


def _packed(spans: pl.DataFrame) -> _Pack:
    content = BytesIO()
    spans.rechunk().write_ipc_stream(content, compression="zstd")
    ended_at = spans.select(pl.col("ended_at").max()).item()
    return _Pack(content.getvalue(), spans.height, spans.height, ended_at)
