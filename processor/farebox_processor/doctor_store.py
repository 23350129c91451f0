"""What the store knows of the latest spans in, the frames that a diagnosis is made of out."""

from datetime import datetime
from typing import Final

import polars as pl
from clickhouse_connect.driver.client import Client

from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_schemas import folder

__all__ = ["MOST_SPANS", "spans_and_calls"]

MOST_SPANS: Final = 1_000_000
"""At most so many spans are read, the latest ones. To examine as many took 4 s and 1.4 GB."""


def spans_and_calls(
    client: Client, since: datetime | None, tenant: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the spans that started `since`, at most MOST_SPANS, and their calls.

    Both have the columns of frames.PRICED_SPANS and frames.CALLS that `doctor.examine` asks for.
    """
    names = {"since": since, "tenant": tenant, "limit": MOST_SPANS}
    folder_of_queries = folder("clickhouse") / "queries"
    frames = []
    for query in ("doctor_spans.sql", "doctor_calls.sql"):
        text = (folder_of_queries / query).read_text(encoding="utf-8")
        try:
            frames.append(pl.DataFrame(client.query_arrow(text, parameters=names)))
        except CLIENT_ERRORS as error:
            raise store_error(error) from error
    spans, calls = frames
    return spans, calls
