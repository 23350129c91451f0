"""Rows for the tables: a factory a table, whose defaults make a plain row."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.frames import CALLS, EVIDENCE, PLAN_TIERS, PRICED_SPANS, TRACES, Schema

Engine: TypeAlias = Callable[[str], Client]
Rows: TypeAlias = Callable[..., pl.DataFrame]

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)

_SPAN = {
    "tenant": "acme",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
    "span_name": "chat gpt-4o",
    "service_name": "assistant",
    "scope_name": "openai",
    "scope_version": "1",
    "started_at": NOON,
    "ended_at": NOON,
    "start_unix_nano": 1_793_620_800_000_000_000,
    "end_unix_nano": 1_793_620_800_000_000_000,
    "duration_ns": 0,
    "time_status": "ok",
    "status_code": 0,
    "content_hash": 7,
    "candidate": True,
    "has_usage": True,
    "invalid_usage": 0,
    "rating_revision": 1,
    "blind_to": [],
    "uncertainty": [],
    "units": [],
    "unit_prices": [],
    "dimensions": {},
}
_CALL = {
    **{name: value for name, value in _SPAN.items() if name in CALLS},
    "spans_in_set": 1,
    "conversation_id": "c-1",
    "billed": True,
    "is_failed": False,
    "is_waste": False,
}
_ZERO = Decimal(0)
_TRACE = {
    **{name: 0 for name, dtype in TRACES.items() if dtype in (pl.Int64(), pl.UInt64())},
    "tenant": "acme",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "rating_revision": 1,
    "spans_in_set": 1,
    "conversation_id": "c-1",
    "conversation_id_source": "span",
    "conversation_ids": 1,
    "started_at": NOON,
    "ended_at": NOON,
    "conversation_ended": False,
    "cost_usd": _ZERO,
    "exact_cost_usd": _ZERO,
    "cost_low_usd": _ZERO,
    "cost_high_usd": _ZERO,
    "tool_cost_usd": _ZERO,
    "waste_usd": _ZERO,
    "turn_ids": [],
    "cost_statuses": [],
    "blind_to": [],
    "models": [],
    "dimensions": {},
}
_EVIDENCE = {
    "Timestamp": NOON,
    "TraceId": "0af7651916cd43dd8448eb211c80319c",
    "SpanId": "b7ad6b7169203331",
    "ParentSpanId": "",
    "TraceState": "",
    "SpanName": "chat gpt-4o",
    "SpanKind": "Client",
    "ServiceName": "assistant",
    "ResourceAttributes": [],
    "ScopeName": "openai",
    "ScopeVersion": "1",
    "SpanAttributes": [],
    "Duration": 0,
    "StatusCode": "Unset",
    "StatusMessage": "",
    **{name: [] for name in EVIDENCE if "." in name},
    "TenantId": "acme",
    "ConversationId": "c-1",
}
_TIER = {"plan": "default", "tenant": "", "feature": "", "actions": [], "success_outcomes": []}


def _factory(schema: Schema, defaults: dict[str, Any]) -> Rows:
    def rows(*overrides: dict[str, Any]) -> pl.DataFrame:
        return pl.DataFrame([defaults | row for row in overrides or ({},)], schema=schema)

    return rows


@pytest.fixture
def spans() -> Rows:
    """Rows of `spans`, from what is particular about each."""
    return _factory(PRICED_SPANS, _SPAN)


@pytest.fixture
def calls() -> Rows:
    """Rows of `calls`."""
    return _factory(CALLS, _CALL)


@pytest.fixture
def traces() -> Rows:
    """Rows of `traces`."""
    return _factory(TRACES, _TRACE)


@pytest.fixture
def evidence() -> Rows:
    """Rows of `otel_traces`."""
    return _factory(EVIDENCE, _EVIDENCE)


@pytest.fixture
def tiers() -> Rows:
    """Rows of `plans`."""
    return _factory(PLAN_TIERS, _TIER)
