"""A question in, a frame out: the .sql files of farebox_schemas with their parameters bound.

Every value is bound by ClickHouse; no text of a user becomes part of a statement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Final

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import ConfigError
from farebox_processor.frames import DIMENSIONS
from farebox_processor.store.refusals import CLIENT_ERRORS, query_error
from farebox_schemas import folder

__all__ = [
    "TOTALS_BY",
    "ConversationFilter",
    "calls_of_conversation",
    "conversations",
    "query_text",
    "read",
    "spans_of_conversation",
    "spent_since",
    "totals",
    "used_between",
]

_SETTINGS: Final = {
    # Two contents of a span may lie in two partitions of `spans`: one of them stands.
    "do_not_merge_across_partitions_select_final": 0,
    # A missing row joins as zeros, which a comparison can find.
    "join_use_nulls": 0,
    # Half an answer looks like a whole one.
    **dict.fromkeys(
        (
            f"{limit}_overflow_mode"
            for limit in (
                *("read", "result", "timeout", "group_by", "sort"),
                *("set", "join", "distinct", "transfer"),
            )
        ),
        "throw",
    ),
}
"""What an answer depends on and the profile of a user of ClickHouse may say otherwise."""

TOTALS_BY: Final = ("tenant", "tier", *DIMENSIONS)
"""What totals can be grouped by."""


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
    dimensions: Mapping[str, str] = field(default_factory=dict)
    """Configured dimensions and the values that they must have."""


def conversations(
    client: Client, which: ConversationFilter = ConversationFilter(), *, limit: int = 20
) -> pl.DataFrame:
    """Return the rows of the view `conversations`, the costliest first, unknown costs last."""
    names = {each.name: getattr(which, each.name) for each in fields(which)}
    pairs = {
        "dimensions": list(which.dimensions),
        "dimension_values": list(which.dimensions.values()),
    }
    return read(client, "conversations", {**names, **pairs, "limit": limit})


def spans_of_conversation(client: Client, tenant: str, conversation_id: str) -> pl.DataFrame:
    """Return every span of a conversation's traces (frames.PRICED_SPANS), in order of time."""
    names = {"tenant": tenant, "conversation_id": conversation_id}
    return read(client, "spans_of_conversation", names)


def calls_of_conversation(client: Client, tenant: str, conversation_id: str) -> pl.DataFrame:
    """Return every call of a conversation (frames.CALLS), billed or rejected, in order of time."""
    names = {"tenant": tenant, "conversation_id": conversation_id}
    return read(client, "calls_of_conversation", names)


def totals(
    client: Client,
    dimension: str,
    which: ConversationFilter = ConversationFilter(),
    *,
    extra: Iterable[str] = (),
    limit: int = 100,
) -> pl.DataFrame:
    """Sum conversations up by `dimension` (TOTALS_BY or `extra`), the costliest value first.

    Of `which` since, until and tenant count. Raises ConfigError for another dimension.
    """
    known = (*TOTALS_BY, *extra)
    if dimension not in known:
        raise ConfigError(f"no totals by {dimension!r}; use one of {', '.join(known)}")
    names = {"since": which.since, "until": which.until, "tenant": which.tenant}
    return read(client, "totals", {**names, "dimension": dimension, "limit": limit})


def used_between(client: Client, starts: datetime, ends: datetime) -> pl.DataFrame:
    """Return what conversations used and cost from `starts` until before `ends`.

    Several rows a conversation: tenant, conversation_id, model, DIMENSIONS, dimensions, TOKENS,
    cost_usd.
    """
    return read(client, "used_between", {"starts": starts, "ends": ends})


def spent_since(client: Client, month: datetime, day: datetime, *, until: datetime) -> pl.DataFrame:
    """Return what each tenant, user_id and feature spent since `month` and `day` began.

    Columns day_usd, month_usd, and how many calls are missing in them: day_unpriced,
    month_unpriced.
    """
    return read(client, "spent_since", {"month": month, "day": day, "until": until})


def read(client: Client, name: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
    """Run the query of that name; raise Retryable- or PermanentStoreError where that fails."""
    try:
        return pl.DataFrame(
            client.query_arrow(query_text(name), parameters=dict(parameters), settings=_SETTINGS)
        )
    except CLIENT_ERRORS as error:
        raise query_error(error) from error


@cache
def query_text(name: str) -> str:
    """Return the SQL of that name."""
    return (folder("clickhouse") / "queries" / f"{name}.sql").read_text(encoding="utf-8")
