"""Spans as Arrow columns in, the columns of frames.SPANS that a span itself fills out."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh
import pyarrow as pa

from farebox_processor.errors import Rejection
from farebox_processor.frames import SPANS

__all__ = ["content_hashes", "invalid_ids", "span_columns"]

_Rows: TypeAlias = npt.NDArray[np.int64]
_Hashes: TypeAlias = npt.NDArray[np.uint64]

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_LATEST_NS: Final = np.uint64(4_294_944_000 * 10**9 - 1)
"""The last nanosecond before 2106-02-07, the day in which ClickHouse's DateTime ends; a table
computes partitions and time to live in DateTime."""
_TIME_STATUSES: Final = pl.Series(["ok", "clamped", "end_before_start", "missing"])
_STATUS_CODES: Final = 3
_ODD: Final = (
    np.uint64(0x9E3779B97F4A7C15),  # 2^64 / golden ratio
    np.uint64(0xC2B2AE3D27D4EB4F),  # a prime of xxHash
)
"""Multipliers that keep span, resource and scope apart in a hash."""


def invalid_ids(batch: pa.RecordBatch) -> dict[Rejection, _Rows]:
    """Return the rows whose trace id or span id cannot be one; a row can be in both."""
    return {
        Rejection.INVALID_SPAN_ID: _not_an_id(batch.column("span_id"), _SPAN_ID_BYTES),
        Rejection.INVALID_TRACE_ID: _not_an_id(batch.column("trace_id"), _TRACE_ID_BYTES),
    }


def span_columns(batch: pa.RecordBatch) -> pl.DataFrame:
    """Return what spans say of themselves, as frames.SPANS names it; any ids are taken."""
    sent = pl.DataFrame(
        {name: pl.from_arrow(batch.column(name)) for name in batch.schema.names[:8]}
        | {
            "status_code": pl.from_arrow(batch.column("status").field("code")),
            "status_message": pl.from_arrow(batch.column("status").field("message")),
        }
    )
    parent = pl.col("parent_span_id")
    status = pl.col("status_code").fill_null(0)
    return sent.select(
        pl.col("trace_id", "span_id").bin.encode("hex"),
        pl.when(_is_id(parent, _SPAN_ID_BYTES)).then(parent.bin.encode("hex")),
        "trace_state",
        pl.col("name").alias("span_name"),
        pl.col("kind").alias("span_kind"),
        pl.when(status.is_between(0, _STATUS_CODES, closed="left"))
        .then(status)
        .otherwise(0)
        .cast(pl.UInt8)
        .alias("status_code"),
        pl.col("status_message").fill_null(""),
        *_times(sent["start_time_unix_nano"].to_numpy(), sent["end_time_unix_nano"].to_numpy()),
    )


def content_hashes(spans: pa.Array, *parts: tuple[pa.Array, _Rows]) -> _Hashes:
    """Hash each span together with its resource and its scope: (distinct values, row of each)."""
    hashes = _hashes(spans)
    for odd, (values, rows) in zip(_ODD, parts, strict=True):
        hashes += _hashes(values)[rows] * odd
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _hashes(values: pa.Array) -> _Hashes:
    frame = pl.DataFrame({"raw": pl.from_arrow(values)})
    hashes: _Hashes = frame.select(plh.col("raw").nchash.xxh3_64()).to_series().to_numpy()
    return hashes.copy()


def _times(start: npt.NDArray[np.uint64], end: npt.NDArray[np.uint64]) -> list[pl.Series]:
    """Return the times as sent, as stored, and how the two differ.

    A missing start or end takes the other's value. Nothing but the span itself decides: the same
    span, sent again next year, must fall on the same row of the same partition.
    """
    is_missing = (start == 0) | (end == 0)
    started, ended = np.where(start == 0, end, start), np.where(end == 0, start, end)
    is_clamped = np.maximum(started, ended) > _LATEST_NS
    is_backwards = ended < started
    status = np.where(is_missing, 3, np.where(is_backwards, 2, is_clamped)).astype(np.uint8)
    clamped = [np.minimum(times, _LATEST_NS).astype(np.int64) for times in (started, ended)]
    return [
        pl.Series("start_unix_nano", start),
        pl.Series("end_unix_nano", end),
        pl.Series("started_at", clamped[0]).cast(SPANS["started_at"]),
        pl.Series("ended_at", clamped[1]).cast(SPANS["ended_at"]),
        pl.Series("duration_ns", np.where(is_backwards, np.uint64(0), ended - started)),
        _TIME_STATUSES.gather(pl.Series(status)).alias("time_status"),
    ]


def _not_an_id(ids: pa.Array, size: int) -> _Rows:
    column = pl.DataFrame({"id": pl.from_arrow(ids)})
    return column.select((~_is_id(pl.col("id"), size)).arg_true()).to_series().to_numpy()


def _is_id(column: pl.Expr, size: int) -> pl.Expr:
    return (column.bin.size() == size) & (column != bytes(size))
