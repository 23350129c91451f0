"""What repair asks of the store, and takes out of it: frames in, frames out, a page at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httpclient import HttpClient

from farebox_processor.frames import PRICED_SPANS, SET_VERSION
from farebox_processor.rollup.kin import MOST_TRACES
from farebox_processor.store.queries import query_text, read
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error

__all__ = [
    "call_versions",
    "delete_rows",
    "spans_of",
    "stale_traces",
    "stored_seconds",
    "tied_calls",
    "ties_of",
    "trace_versions",
    "traces_tied_by_worn",
    "traces_whose_kin_are_retired",
    "worn_responses",
]

_PAGE: Final = 2_000
"""Ids in one statement. Each reads some 8 192 rows at least around every place it looks at."""
_PAGE_OVER_HTTP: Final = 400
"""There they are part of an address, which servers bound at 64 KiB."""
_TRACE: Final = ["tenant", "trace_id"]
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VERSIONS: Final = pl.col("own_version", "set_version").cast(SET_VERSION)


def stored_seconds(
    client: Client, since: datetime | None, *, horizon_s: int, settled_s: int
) -> pl.DataFrame:
    """Return `stored_at` and how many `spans` were stored then, by ClickHouse's clock.

    From `since`, or from `horizon_s` ago; of the last `settled_s` seconds nothing.
    """
    names = {"since": since, "horizon_s": horizon_s, "settled_s": settled_s}
    seconds = read(client, "stored_seconds", names)
    return seconds.with_columns(pl.from_epoch("stored_at").dt.replace_time_zone("UTC"))


def stale_traces(client: Client, since: datetime, until: datetime) -> pl.DataFrame:
    """Return tenant and trace_id of traces stored in between whose rows are not of their spans."""
    return read(client, "stale_traces", {"since": since, "until": until})


def traces_tied_by_worn(client: Client, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the traces whose rows were made before a response id of theirs was worn.

    As far as a trace stored in between shows it too: tenant and trace_id.
    """
    names = {"since": since, "until": until, "most": MOST_TRACES}
    return read(client, "traces_tied_by_worn", names)


def worn_responses(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return tenant and response_id of what `traces` show and too many traces do."""
    pages = _pages(client, traces)
    worn = [read(client, "worn_responses", names | {"most": MOST_TRACES}) for names in pages]
    return pl.concat(worn).unique()


def tied_calls(client: Client, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the calls that may tie traces stored in between to others: what kin_calls wants."""
    names = {"since": since, "until": until, "tenants": [], "trace_ids": [], "most": MOST_TRACES}
    return read(client, "tied_calls", names)


def ties_of(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the calls that may tie `traces` (tenant, trace_id) to others."""
    nothing = {"since": _LONG_AGO + timedelta(days=1), "until": _LONG_AGO, "most": MOST_TRACES}
    return pl.concat(
        [read(client, "tied_calls", nothing | names) for names in _pages(client, traces)]
    )


def spans_of(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the spans (frames.PRICED_SPANS) of `traces` (tenant, trace_id)."""
    pages = [read(client, "spans_of_traces", names) for names in _pages(client, traces)]
    return pl.concat(pages).select(pl.col(name).cast(kind) for name, kind in PRICED_SPANS.items())


def trace_versions(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return tenant, trace_id, own_version, set_version of the rows of `traces`.

    And how many `spans` each was made from, and how many `spans_in_set`.
    """
    pages = [read(client, "trace_versions", names) for names in _pages(client, traces)]
    return pl.concat(pages).with_columns(_VERSIONS)


def call_versions(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return the versions and span_id of the rows that `calls` has of `traces`."""
    pages = [read(client, "call_versions", names) for names in _pages(client, traces)]
    return pl.concat(pages).with_columns(_VERSIONS)


def traces_whose_kin_are_retired(client: Client, traces: pl.DataFrame) -> pl.DataFrame:
    """Return those of `traces` that were rolled up with traces of which spans are gone."""
    pages = [read(client, "kin_retired", names) for names in _pages(client, traces)]
    return pl.concat(pages)


def delete_rows(client: Client, table: str, rows: pl.DataFrame) -> None:
    """Take `rows`, which have the key of `table`, out of calls or traces."""
    try:
        for names in _pages(client, rows):
            client.command(query_text(f"delete_{table}"), parameters=names)
    except CLIENT_ERRORS as error:
        raise store_error(error) from error


def _pages(client: Client, keys: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the keys as parameters, in pages; one empty page of none."""
    size = _PAGE_OVER_HTTP if isinstance(client, HttpClient) else _PAGE
    for start in range(0, max(1, keys.height), size):
        page = keys[start : start + size]
        yield {f"{name}s": page[name].to_list() for name in (*_TRACE, "span_id") if name in page}
