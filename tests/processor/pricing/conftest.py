"""The shipped price book, and usage rows with everything that a test does not care for."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import polars as pl
import pytest

from farebox_processor.frames import SPANS, USAGE
from farebox_processor.price_book import PriceBook, load_price_book

UsageOf: TypeAlias = Callable[..., pl.DataFrame]

DEFAULTS: dict[str, Any] = {
    "request": 0,
    "tenant": "",
    "trace_id": "0" * 32,
    "span_id": "0" * 16,
    "started_at": datetime(2026, 11, 21, 12, tzinfo=UTC),
    "duration_ns": 0,
    "candidate": True,
    "is_error": False,
    "uncertainty": [],
    "blind_to": [],
    "dimensions": {},
}


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """The price book as it is shipped."""
    return load_price_book()


@pytest.fixture(scope="session")
def usage_of() -> UsageOf:
    """Build a usage frame from rows; what a row leaves out is null or a default."""

    def build(*rows: dict[str, Any]) -> pl.DataFrame:
        schema = SPANS | USAGE
        return pl.DataFrame([dict.fromkeys(schema) | DEFAULTS | row for row in rows], schema=schema)

    return build
