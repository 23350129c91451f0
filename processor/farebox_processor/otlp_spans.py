"""Spans as Arrow columns in, the columns of frames.SPANS that a span itself fills out."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.compute as pc

from farebox_processor.errors import Rejection
from farebox_processor.frames import TIME

__all__ = ["content_hashes", "hex_ids", "invalid_ids", "span_columns", "timestamps"]

_Rows: TypeAlias = npt.NDArray[np.int64]
_Hashes: TypeAlias = npt.NDArray[np.uint64]

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_LATEST_NS: Final = np.uint64(4_294_944_000 * 10**9 - 1)
"""The last nanosecond before 2106-02-07, the day in which ClickHouse's DateTime ends; a table
computes partitions and time to live in DateTime."""
_TIME_STATUSES: Final = pl.Series(["ok", "clamped", "end_before_start", "missing"])
_ERROR: Final = 2
"""The last of OTLP's status codes: unset, ok, error."""
_HEX_DIGITS: Final = np.frombuffer(bytes(range(256)).hex().encode("ascii"), dtype=np.uint16)
"""The two digits of each byte."""
_ODD: Final = (
    np.uint64(0x9E3779B97F4A7C15),  # 2^64 / golden ratio
    np.uint64(0xC2B2AE3D27D4EB4F),  # a prime of xxHash
)
"""Multipliers that keep span, resource and scope apart in a hash."""


def span_columns(batch: pa.RecordBatch) -> dict[str, pl.Series]:
    """Return what spans say of themselves, named as in frames.SPANS; a bad id is null."""
    status = batch.column("status")
    code = pc.fill_null(status.flatten()[1], 0).to_numpy()
    return {
        "trace_id": hex_ids(batch.column("trace_id"), _TRACE_ID_BYTES),
        "span_id": hex_ids(batch.column("span_id"), _SPAN_ID_BYTES),
        "parent_span_id": hex_ids(batch.column("parent_span_id"), _SPAN_ID_BYTES),
        "trace_state": pl.Series(batch.column("trace_state")),
        "span_name": pl.Series(batch.column("name")),
        "span_kind": pl.Series(batch.column("kind")),
        "status_code": pl.Series(np.where((code >= 0) & (code <= _ERROR), code, 0).astype("u1")),
        "status_message": pl.Series(pc.fill_null(status.flatten()[0], "")),
        **_times(
            batch.column("start_time_unix_nano").to_numpy(),
            batch.column("end_time_unix_nano").to_numpy(),
        ),
    }


def invalid_ids(columns: Mapping[str, pl.Series]) -> dict[Rejection, _Rows]:
    """Return the rows whose span id or trace id cannot be one; a row can be in both."""
    return {
        Rejection.INVALID_SPAN_ID: _nulls(columns["span_id"]),
        Rejection.INVALID_TRACE_ID: _nulls(columns["trace_id"]),
    }


def hex_ids(ids: pa.Array, size: int) -> pl.Series:
    """Return ids of `size` bytes in hexadecimal; null where it is another size, or all zeros.

    The size is a multiple of 8.
    """
    block, is_id = _id_bytes(ids, size)
    digits = _HEX_DIGITS[block]
    offsets = np.arange(0, (len(ids) + 1) * 2 * size, 2 * size, dtype=np.int64)
    valid = None if is_id.all() else pa.py_buffer(np.packbits(is_id, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pl.Series(pa.Array.from_buffers(pa.large_string(), len(ids), buffers))


def content_hashes(
    spans: pa.Array, resources: tuple[pa.Array, _Rows], scopes: tuple[pa.Array, _Rows]
) -> _Hashes:
    """Hash each span together with its resource and its scope: (distinct ones, row of each)."""
    raw = pl.concat([pl.Series(values) for values in (spans, resources[0], scopes[0])])
    hashed = pl.DataFrame({"raw": raw}).select(plh.col("raw").nchash.xxh3_64())
    of_spans, of_resources, of_scopes = np.split(
        hashed.to_series().to_numpy(), [len(spans), len(spans) + len(resources[0])]
    )
    hashes: _Hashes = of_spans + of_resources[resources[1]] * _ODD[0]
    hashes ^= hashes >> np.uint64(29)
    hashes += of_scopes[scopes[1]] * _ODD[1]
    return hashes


def _times(start: npt.NDArray[np.uint64], end: npt.NDArray[np.uint64]) -> dict[str, pl.Series]:
    """Return the times as sent, as stored, and how the two differ.

    A missing start or end takes the other's value. Nothing but the span itself decides: the same
    span, sent again next year, must fall on the same row of the same partition.
    """
    is_missing = (start == 0) | (end == 0)
    started, ended = np.where(start == 0, end, start), np.where(end == 0, start, end)
    is_clamped = np.maximum(started, ended) > _LATEST_NS
    is_backwards = ended < started
    status = np.where(is_missing, 3, np.where(is_backwards, 2, is_clamped)).astype(np.uint8)
    return {
        # Copies: what is sent lies in memory as long as a column that looks into it.
        "start_unix_nano": pl.Series(start.copy()),
        "end_unix_nano": pl.Series(end.copy()),
        "started_at": timestamps(started),
        "ended_at": timestamps(ended),
        "duration_ns": pl.Series(np.where(is_backwards, np.uint64(0), ended - started)),
        "time_status": _TIME_STATUSES[pl.Series(status)],
    }


def timestamps(nanoseconds: npt.NDArray[np.uint64]) -> pl.Series:
    """Return Unix times as frames.TIME, those too late for ClickHouse clamped."""
    return pl.Series(np.minimum(nanoseconds, _LATEST_NS).astype(np.int64)).cast(TIME)


def _id_bytes(ids: pa.Array, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return one row of `size` bytes per id, and which of them are ids."""
    _, offset_buffer, data_buffer = ids.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[ids.offset :][: len(ids) + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    fits = np.diff(offsets) == size
    if fits.all():
        block = data[offsets[0] : offsets[-1]].reshape(len(ids), size)
    else:
        block = np.zeros((len(ids), size), dtype=np.uint8)
        block[fits] = data[offsets[:-1][fits][:, np.newaxis] + np.arange(size)]
    # Eight bytes at a time.
    return block, np.any(block.view(np.uint64), axis=1)


def _nulls(values: pl.Series) -> _Rows:
    return values.is_null().arg_true().to_numpy().astype(np.int64)
