"""What was not taken in, the rows of ClickHouse `dead_letter` out: why, whose, and a sample."""

import re
from typing import Final

import polars as pl

from farebox_processor.errors import Rejection
from farebox_processor.store.tables import DEAD_LETTERS

__all__ = ["SAMPLE_BYTES", "of_refused_rows", "of_rejections", "redact"]

SAMPLE_BYTES: Final = 4096
_DETAIL_CHARACTERS: Final = 500

# What names things on the wire: dotted attribute keys. Everything else that can be read may be
# somebody's words or a secret.
_READABLE: Final = re.compile(rb"[ -~\x80-\xff]+")
_KEY: Final = re.compile(rb"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")

_IDENTITY: Final = {
    "otel_traces": {"tenant": "TenantId", "trace_id": "TraceId", "span_id": "SpanId"},
}
# Columns that hold what a service wrote, and not what farebox made of it.
_CONTENT: Final = frozenset({"span_name", "SpanName", "StatusMessage", "TraceState"})


def redact(sample: bytes) -> bytes:
    """Return the first 4 KiB of a request's bytes with all readable text masked but for keys."""
    return _READABLE.sub(_mask, sample[:SAMPLE_BYTES])


def of_rejections(rejections: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `dead_letter` for each rejection of the decoder (frames.REJECTIONS)."""
    samples = rejections["sample"].fill_null(b"").to_list()
    return rejections.select(
        pl.col("tenant").fill_null(""),
        "reason",
        pl.lit("").alias("refused_by"),
        pl.lit("").alias("trace_id"),
        pl.lit("").alias("span_id"),
        pl.col("detail").fill_null("").str.slice(0, _DETAIL_CHARACTERS),
        pl.Series("sample", [redact(sample) for sample in samples], dtype=pl.Binary()),
    )


def of_refused_rows(refused: pl.DataFrame, table: str) -> pl.DataFrame:
    """Return a row of `dead_letter` for each row that `table` refused.

    `refused` holds the rows as they were to be stored, and `detail`: ClickHouse's reason.
    """
    names = _IDENTITY.get(table, {})
    shown = [
        pl.col(name)
        for name, dtype in refused.schema.items()
        if name != "detail" and name not in _CONTENT and not dtype.is_nested()
    ]
    identity = [
        pl.col(names.get(name, name)).fill_null("").alias(name)
        if names.get(name, name) in refused.columns
        else pl.lit("").alias(name)
        for name in ("tenant", "trace_id", "span_id")
    ]
    return refused.select(
        *identity,
        pl.lit(Rejection.REFUSED_BY_STORE.value).alias("reason"),
        pl.lit(table).alias("refused_by"),
        pl.col("detail").str.slice(0, _DETAIL_CHARACTERS),
        pl.struct(shown)
        .struct.json_encode()
        .cast(pl.Binary)
        .bin.slice(0, SAMPLE_BYTES)
        .alias("sample"),
    ).select(list(DEAD_LETTERS))


def _mask(match: re.Match[bytes]) -> bytes:
    text = match.group()
    return text if _KEY.fullmatch(text) else b"*" * len(text)
