"""Factories of frames with sane defaults: a test names only what it is about."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from farebox_processor.frames import PRICED_SPANS

__all__ = ["at", "priced_spans"]

_START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

_DEFAULTS: dict[str, Any] = {
    "tenant": "",
    "trace_id": "trace",
    "span_name": "chat gpt-4o",
    "service_name": "support-bot",
    "scope_name": "opentelemetry.instrumentation.genai.openai",
    "scope_version": "1.3b0",
    "status_code": 0,
    "content_hash": 1,
    "end_unix_nano": 1,
    "time_status": "ok",
    "candidate": False,
    "is_error": False,
    "has_usage": False,
    "units": [],
    "unit_prices": [],
    "uncertainty": [],
    "blind_to": [],
    "dimensions": {},
    "rating_revision": 1,
}

_CALL: dict[str, Any] = {
    "candidate": True,
    "call_kind": "inference",
    "operation": "chat",
    "provider": "openai",
    "model": "gpt-4o",
    "priced_model": "openai/gpt-4o",
    "has_usage": True,
    "input_tokens": 1000,
    "output_tokens": 100,
    "cost_status": "exact",
}


def at(seconds: float) -> datetime:
    """Return the moment `seconds` after the start of every test's time."""
    return _START + timedelta(seconds=seconds)


def priced_spans(*spans: Mapping[str, Any]) -> pl.DataFrame:
    """Build priced spans: each names at least `span_id`; `cost` makes it a call that costs so much.

    `parent` is short for parent_span_id, `start` and `end` are seconds.
    """
    return pl.DataFrame([_row(**span) for span in spans], schema=dict(PRICED_SPANS), orient="row")


def _row(
    *,
    span_id: str,
    parent: str | None = None,
    start: float = 0,
    end: float | None = None,
    cost: str | None = None,
    **columns: Any,
) -> dict[str, Any]:
    row = dict.fromkeys(PRICED_SPANS) | _DEFAULTS
    if cost is not None:
        amounts = ("cost_usd", "list_cost_usd", "cost_low_usd", "cost_high_usd")
        row |= _CALL | dict.fromkeys(amounts, Decimal(cost))
    times = {"started_at": at(start), "ended_at": at(start + 1 if end is None else end)}
    return row | {"span_id": span_id, "parent_span_id": parent} | times | columns
