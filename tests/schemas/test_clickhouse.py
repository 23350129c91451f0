import re
from pathlib import Path

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.store.tables import TABLES
from farebox_processor.verdicts import CONVERSATION_STATUS_ORDER
from farebox_schemas import folder


def clickhouse_type(dtype: pl.DataType) -> str:
    """Return ClickHouse's name of the type, without what only says how it is stored."""
    if isinstance(dtype, pl.List):
        return f"Array({clickhouse_type(dtype.inner)})"
    if isinstance(dtype, pl.Struct):
        fields = (f"{field.name} {clickhouse_type(field.dtype)}" for field in dtype.fields)
        return f"Tuple({', '.join(fields)})"
    if isinstance(dtype, pl.Map):
        return "Map(String, String)"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return "DateTime64(9, 'UTC')"
    return {"Boolean": "Bool", "Binary": "String"}.get(str(dtype), str(dtype))


def plain(declared: str) -> str:
    """Strip Nullable() and LowCardinality(), however they are nested, from a declared type."""
    stripped = re.sub(r"(?:Nullable|LowCardinality)\(((?:[^()]|\([^()]*\))*)\)", r"\1", declared)
    return stripped if stripped == declared else plain(stripped)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_the_columns_of_its_frame_in_the_same_order(client: Client, table: str) -> None:
    declared = client.query(
        "SELECT name, type FROM system.columns"
        " WHERE database = {database:String} AND table = {table:String}"
        " AND default_kind = '' ORDER BY position",
        parameters={"database": client.database, "table": table},
    ).result_rows

    assert [(name, plain(kind)) for name, kind in declared] == [
        (name, clickhouse_type(dtype)) for name, dtype in TABLES[table].items()
    ]


def test_money_is_never_a_float(client: Client) -> None:
    floats = (
        "SELECT table, name FROM system.columns WHERE database = {d:String} AND type LIKE '%Float%'"
    )

    assert client.query(floats, parameters={"d": client.database}).result_rows == []


def test_the_view_names_every_verdict_in_the_order_of_the_verdicts() -> None:
    text = (folder("clickhouse") / "0008_conversations.sql").read_text()
    decision = text[text.index("multiIf(\n        has(cost_statuses") :]

    named = re.findall(r"'(\w+)'", decision[: decision.index(") AS cost_status")])

    assert list(dict.fromkeys(named)) == [status.value for status in CONVERSATION_STATUS_ORDER]


def test_every_table_says_why_it_is_keyed_as_it_is() -> None:
    for file in Path(str(folder("clickhouse"))).glob("*.sql"):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith(("ENGINE", "PARTITION BY")):
                assert lines[number - 1].startswith("--"), f"{file.name}:{number + 1}"
