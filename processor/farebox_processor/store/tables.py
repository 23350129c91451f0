"""What is written to which table, and what a block of it may span."""

from typing import Final

import polars as pl

from farebox_processor.frames import (
    ALLOCATIONS,
    CALLS,
    EVIDENCE,
    MONEY,
    PLAN_TIERS,
    PRICED_SPANS,
    RATING_REVISIONS,
    SUPERSEDED_RATINGS,
    TIME,
    TRACES,
    Schema,
)

__all__ = ["DEAD_LETTERS", "PARTITIONS", "PRICES", "PRICE_BOOKS", "TABLES"]

DEAD_LETTERS: Final[Schema] = {
    "tenant": pl.String(),
    "reason": pl.String(),  # a code of errors.Rejection
    "refused_by": pl.String(),  # the table, "" for what never became a row
    "trace_id": pl.String(),
    "span_id": pl.String(),
    "detail": pl.String(),
    "sample": pl.Binary(),
}

PRICES: Final[Schema] = {
    "provider": pl.String(),
    "model": pl.String(),
    "unit": pl.String(),
    "context": pl.String(),  # sorted key=value pairs, comma separated
    "above_input_tokens": pl.UInt64(),
    "valid_from": TIME,  # null: always
    "valid_until": TIME,
    "price_usd": MONEY,
    "source": pl.String(),
}

PRICE_BOOKS: Final[Schema] = {"price_book": pl.String()}

TABLES: Final[dict[str, Schema]] = {
    "spans": PRICED_SPANS,
    "otel_traces": EVIDENCE,
    "calls": CALLS,
    "traces": TRACES,
    "dead_letter": DEAD_LETTERS,
    "plans": PLAN_TIERS,
    "prices": PRICES,
    "price_books": PRICE_BOOKS,
    "allocations": ALLOCATIONS,
    "superseded_ratings": SUPERSEDED_RATINGS,
    "rating_revisions": RATING_REVISIONS,
}
"""The columns that are written; the others of a table ClickHouse computes."""

PARTITIONS: Final[dict[str, pl.Expr]] = {
    "spans": pl.col("started_at").dt.truncate("1mo"),
    "otel_traces": pl.col("Timestamp").dt.truncate("1d"),
}
"""The partition of a row, as the table's PARTITION BY computes it. Other tables have one."""
