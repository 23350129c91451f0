"""A question in, a frame out: the .sql files of farebox_schemas with their parameters bound.

Every value is bound by ClickHouse; no text of a user becomes part of a statement.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import ConfigError
from farebox_processor.frames import DIMENSIONS
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_schemas import folder

__all__ = [
    "TOTALS_BY",
    "ConversationFilter",
    "calls_of_conversation",
    "conversations",
    "spans_of_conversation",
    "spans_of_traces",
    "spent_since",
    "stale_traces",
    "totals",
    "used_between",
]

TOTALS_BY: Final = ("tenant", "tier", *DIMENSIONS)
"""What totals can be grouped by."""

_SPANS: Final = 100_000
"""At most so many rows of one conversation: more cannot be looked at."""


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations; None leaves a condition out. Times are in UTC, `until` is excluded."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    tier: str | None = None
    user_id: str | None = None
    feature: str | None = None
    service_name: str | None = None
    model: str | None = None
    conversation_id: str | None = None


def conversations(
    client: Client, which: ConversationFilter = ConversationFilter(), *, limit: int = 20
) -> pl.DataFrame:
    """Return the rows of the view `conversations`, the costliest first, unknown costs last."""
    return _read(client, "conversations", {**asdict(which), "limit": limit})


def spans_of_conversation(client: Client, tenant: str, conversation_id: str) -> pl.DataFrame:
    """Return every span of a conversation's traces (frames.PRICED_SPANS), in order of time."""
    names = {"tenant": tenant, "conversation_id": conversation_id, "limit": _SPANS}
    return _read(client, "spans_of_conversation", names)


def calls_of_conversation(client: Client, tenant: str, conversation_id: str) -> pl.DataFrame:
    """Return every call of a conversation (frames.CALLS), billed or rejected, in order of time."""
    names = {"tenant": tenant, "conversation_id": conversation_id, "limit": _SPANS}
    return _read(client, "calls_of_conversation", names)


def totals(
    client: Client,
    dimension: str,
    which: ConversationFilter = ConversationFilter(),
    *,
    limit: int = 100,
) -> pl.DataFrame:
    """Sum conversations up by `dimension` (TOTALS_BY), the costliest value first.

    Of `which` since, until and tenant count. Raises ConfigError for another dimension.
    """
    if dimension not in TOTALS_BY:
        raise ConfigError(f"no totals by {dimension!r}; use one of {', '.join(TOTALS_BY)}")
    names = {"since": which.since, "until": which.until, "tenant": which.tenant}
    return _read(client, "totals", {**names, "dimension": dimension, "limit": limit})


def used_between(client: Client, starts: datetime, ends: datetime) -> pl.DataFrame:
    """Return what conversations used and cost from `starts` until before `ends`.

    Several rows a conversation: tenant, conversation_id, model, DIMENSIONS, TOKENS, cost_usd.
    """
    return _read(client, "used_between", {"starts": starts, "ends": ends})


def spent_since(client: Client, month: datetime, day: datetime, *, until: datetime) -> pl.DataFrame:
    """Return what each tenant, user_id and feature spent since `month` and `day` began.

    Columns day_usd, month_usd, and how many calls are missing in them: day_unpriced,
    month_unpriced.
    """
    return _read(client, "spent_since", {"month": month, "day": day, "until": until})


def stale_traces(client: Client, stored_since: datetime, *, limit: int) -> pl.DataFrame:
    """Return tenant and trace_id of traces whose row does not show all their spans yet."""
    return _read(client, "stale_traces", {"stored_since": stored_since, "limit": limit})


def spans_of_traces(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the spans (frames.PRICED_SPANS) of `traces`, which has tenant and trace_id."""
    names = {"tenants": traces["tenant"].to_list(), "trace_ids": traces["trace_id"].to_list()}
    return _read(client, "spans_of_traces", names)


def _read(client: Client, name: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
    try:
        return pl.DataFrame(client.query_arrow(_text(name), parameters=dict(parameters)))
    except CLIENT_ERRORS as error:
        raise store_error(error) from error


@cache
def _text(name: str) -> str:
    return (folder("clickhouse") / "queries" / f"{name}.sql").read_text(encoding="utf-8")
