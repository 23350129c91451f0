import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import ConfigError, RetryableStoreError
from farebox_processor.store.migrations import (
    Migration,
    applied,
    known,
    migrate,
    pending,
    render,
)

from .conftest import Engine

FIRST = Migration(
    1,
    "0001_schema_migrations.sql",
    "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, name String,"
    " checksum FixedString(64)) ENGINE = ReplacingMergeTree ORDER BY version;",
)
SECOND = Migration(
    2,
    "0002_two_tables.sql",
    "-- the first; of two\nCREATE TABLE IF NOT EXISTS one (text String DEFAULT 'a;b')"
    " ENGINE = Memory;\n"
    "/* ; */ CREATE TABLE IF NOT EXISTS two (`a;b` Int8) ENGINE = Memory;\n-- the end\n",
)


def tables(client: Client) -> list[str]:
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return sorted(name for (name,) in rows.result_rows)


def test_a_fresh_database_gets_every_table(engine: Engine, empty_database: str) -> None:
    client = engine(empty_database)

    names = migrate(client, empty_database)

    assert names == [migration.name for migration in known()]
    assert tables(client) == [
        "allocation_totals",
        "allocations",
        "allocations_in_force",
        "calls",
        "conversations",
        "conversations_with_allocations",
        "dead_letter",
        "otel_traces",
        "otel_traces_trace_id_ts",
        "otel_traces_trace_id_ts_mv",
        "plan_months",
        "plans",
        "price_books",
        "prices",
        "rating_revisions",
        "schema_migrations",
        "spans",
        "superseded_ratings",
        "traces",
    ]


def test_migrating_again_applies_nothing(engine: Engine, empty_database: str) -> None:
    client = engine(empty_database)
    migrate(client, empty_database)

    assert migrate(client, empty_database) == []


def test_only_what_is_new_is_applied(engine: Engine, empty_database: str) -> None:
    client = engine(empty_database)
    migrate(client, empty_database, [FIRST])

    assert [m.name for m in pending(client, empty_database, [FIRST, SECOND])] == [SECOND.name]
    assert migrate(client, empty_database, [FIRST, SECOND]) == [SECOND.name]
    assert applied(client, empty_database) == {1: FIRST.checksum, 2: SECOND.checksum}
    assert tables(client) == ["one", "schema_migrations", "two"]


def test_an_edited_migration_is_refused_by_name(engine: Engine, empty_database: str) -> None:
    client = engine(empty_database)
    migrate(client, empty_database, [FIRST, SECOND])
    edited = Migration(2, SECOND.name, SECOND.text + "-- a word more")

    with pytest.raises(ConfigError, match=r"0002_two_tables\.sql was edited .* restore the file"):
        migrate(client, empty_database, [FIRST, edited])


def test_a_database_of_a_later_version_is_left_alone(engine: Engine, empty_database: str) -> None:
    client = engine(empty_database)
    migrate(client, empty_database, [FIRST, SECOND])

    assert migrate(client, empty_database, [FIRST]) == []


def test_a_migration_that_stopped_half_way_is_completed(
    engine: Engine, empty_database: str
) -> None:
    client = engine(empty_database)
    migrate(client, empty_database, [FIRST])
    broken = Migration(2, SECOND.name, SECOND.text + "CREATE TABLE three (x Nonsense);")
    with pytest.raises(RetryableStoreError, match="Nonsense"):
        migrate(client, empty_database, [FIRST, broken])

    assert migrate(client, empty_database, [FIRST, SECOND]) == [SECOND.name]


def test_nothing_is_applied_to_a_database_that_does_not_exist(
    engine: Engine, empty_database: str
) -> None:
    assert applied(engine("default"), empty_database) == {}


def test_the_files_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in known()] == list(range(1, len(known()) + 1))


def test_rendered_migrations_name_their_files() -> None:
    assert render([FIRST]) == f"-- 0001_schema_migrations.sql\n{FIRST.text}"
