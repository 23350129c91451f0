"""Frames in, rows in ClickHouse out: one block per table, refused rows set aside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeAlias
from uuid import uuid4

import polars as pl
import pyarrow as pa
import xxhash
from clickhouse_connect.driver.client import Client

from farebox_processor.attribute_maps import Dictionary
from farebox_processor.errors import PermanentStoreError
from farebox_processor.store import dead_letters
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_processor.store.tables import PARTITIONS, TABLES

__all__ = ["Writer", "Written"]

Dictionaries: TypeAlias = Mapping[str, Dictionary]
"""By the name of the column."""
_NO_DICTIONARIES: Final[Dictionaries] = {}

_PARTITIONS_PER_INSERT: Final = 90
"""ClickHouse refuses a block of more than 100 with an error that no waiting mends."""

_INSERTS_PER_BISECTION: Final = 1024
"""Thirty rows to blame among 100 000 take fewer. A block that needs more would hold up all others:
what is still undecided then is rejected as a whole."""

# Every default that changed between releases is said.
_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_null_as_default": 1,
    "max_partitions_per_insert_block": 100,
    "throw_on_max_partitions_per_insert_block": 1,
}


_ARROW: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a frame's rows."""

    stored: pl.DataFrame
    """The rows that are in the table, as they were given."""
    rejected: pl.DataFrame
    """The rows that the table refused for good, as they were given, and `detail`: the reason.
    They are in `dead_letter`."""


class Writer:
    """Writes frames through one client, which no other thread may use at the same time.

    For one flush write `otel_traces` and `spans` first: when both have returned, the senders may
    be acknowledged. `calls` and `traces` come after and can be computed again.
    """

    def __init__(self, client: Client, *, deduplicate: bool = True) -> None:
        """Write through `client`; without `deduplicate` also blocks that were stored before.

        That is for rows which may have been deleted since.
        """
        self._client = client
        self._deduplicate = deduplicate

    def write(
        self, table: str, frame: pl.DataFrame, dictionaries: Dictionaries = _NO_DICTIONARIES
    ) -> Written:
        """Store the rows of `frame`, which holds at least the columns of tables.TABLES[table].

        A column with a dictionary holds maps of numbers for maps of texts. Rows that are stored
        already replace themselves. Raises RetryableStoreError if ClickHouse cannot take the rows
        now: some may be stored; write the same frame again.
        """
        rejected = [
            refused
            for block in _blocks(frame, table)
            for refused in self._store_or_blame(table, block, dictionaries)
        ]
        if not rejected:
            return Written(frame, frame.clear().with_columns(detail=pl.lit("")))
        refused = pl.concat(rejected)
        if table != "dead_letter":
            self._store(
                "dead_letter",
                dead_letters.of_refused_rows(
                    _as_stored(table, refused, dictionaries).with_columns(refused["detail"]), table
                ),
                _NO_DICTIONARIES,
            )
        refused_rows = refused["_row"]
        stored = frame.with_row_index("_row").filter(~pl.col("_row").is_in(refused_rows.implode()))
        return Written(stored.drop("_row"), refused.drop("_row"))

    def _store_or_blame(
        self, table: str, block: pl.DataFrame, dictionaries: Dictionaries
    ) -> list[pl.DataFrame]:
        """Store `block`, halving what is refused until the rows to blame stand alone.

        Returns those rows with their `detail`. One row among n costs about 2 log2(n) inserts.
        """
        undecided, refused, inserts = [block], [], 0
        while undecided:
            part = undecided.pop()
            try:
                self._store(table, part, dictionaries)
            except PermanentStoreError as error:
                if part.height == 1 or inserts >= _INSERTS_PER_BISECTION:
                    refused.append(part.with_columns(detail=pl.lit(str(error))))
                else:
                    middle = part.height // 2
                    undecided += [part[middle:], part[:middle]]
            inserts += 1
        return refused

    def _store(self, table: str, block: pl.DataFrame, dictionaries: Dictionaries) -> None:
        rows = _as_stored(table, block, dictionaries)
        body = _arrow_stream(rows, dictionaries)
        # From the content alone: the same token with other rows would drop them unseen.
        content = xxhash.xxh3_128_hexdigest(body) if self._deduplicate else uuid4().hex
        try:
            self._client.raw_insert(
                table,
                column_names=rows.columns,
                insert_block=body,
                fmt="ArrowStream",
                settings={**_SETTINGS, "insert_deduplication_token": f"{table}-{content}"},
            )
        except CLIENT_ERRORS as error:
            raise store_error(error) from error


def _as_stored(table: str, frame: pl.DataFrame, dictionaries: Dictionaries) -> pl.DataFrame:
    # Series by series: a query over a hundred columns takes milliseconds to be planned.
    columns = ((frame[name], dtype) for name, dtype in TABLES[table].items())
    return pl.DataFrame(
        [
            column if column.name in dictionaries or column.dtype == dtype else column.cast(dtype)
            for column, dtype in columns
        ]
    )


def _blocks(frame: pl.DataFrame, table: str) -> Iterator[pl.DataFrame]:
    """Yield the rows, numbered, in blocks that lie in few enough partitions each."""
    if frame.is_empty():
        return
    numbered = frame.with_row_index("_row")
    partition = PARTITIONS.get(table)
    if partition is None or frame.select(partition.n_unique()).item() <= _PARTITIONS_PER_INSERT:
        yield numbered
        return
    block = (partition.rank("dense") - 1) // _PARTITIONS_PER_INSERT
    yield from numbered.with_columns(_block=block).partition_by("_block", include_key=False)


def _arrow_stream(rows: pl.DataFrame, dictionaries: Dictionaries) -> bytes:
    """Encode the rows as one record batch, in the layout that ClickHouse reads."""
    table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    for name, dictionary in dictionaries.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, dictionary.encode(rows[name]))
    body = BytesIO()
    with pa.ipc.new_stream(body, table.schema, options=_ARROW) as stream:
        stream.write_table(table)
    return body.getvalue()
