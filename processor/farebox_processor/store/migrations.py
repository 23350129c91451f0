"""The numbered .sql files of farebox_schemas in, a database of that shape out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from farebox_processor.errors import ConfigError
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_processor.store.sql_text import split_statements
from farebox_schemas import folder

__all__ = ["Migration", "applied", "known", "migrate", "pending", "render"]

_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_EXISTS: Final = (
    "SELECT count() FROM system.tables"
    " WHERE database = {database:String} AND name = 'schema_migrations'"
)
_RECORD: Final = (
    "INSERT INTO schema_migrations (version, name, checksum)"
    " SELECT {version:UInt32}, {name:String}, {checksum:String}"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its text."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text, by which an edit is noticed."""
        return sha256(self.text.encode()).hexdigest()


def known() -> list[Migration]:
    """Return the migrations that this version of farebox holds, in order."""
    found = []
    for file in folder("clickhouse").iterdir():
        if match := _FILE_NAME.fullmatch(file.name):
            found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def applied(client: Client, database: str) -> dict[int, str]:
    """Return the checksums of the migrations that `database` has had, by number."""
    if not client.command(_EXISTS, parameters={"database": database}):
        return {}
    table = f"{quote_identifier(database)}.schema_migrations"
    rows = client.query(f"SELECT version, checksum FROM {table} FINAL").result_rows  # noqa: S608
    return {version: checksum.decode() for version, checksum in rows}


def pending(
    client: Client, database: str, migrations: Sequence[Migration] | None = None
) -> list[Migration]:
    """Return the migrations that `database` still needs, in order.

    Raises ConfigError if one that it has had was edited since. Migrations that this version does
    not know were made by a later one, which only adds: they are left alone.
    """
    had = applied(client, database)
    needed = []
    for migration in known() if migrations is None else migrations:
        if migration.version not in had:
            needed.append(migration)
        elif had[migration.version] != migration.checksum:
            raise ConfigError(
                f"{migration.name} was edited after {database!r} had been migrated with it, so the"
                " file and the tables differ; restore the file and put the change into a new one"
            )
    return needed


def migrate(
    client: Client, database: str, migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Bring `database` to the shape of the migrations and return the names of those applied.

    Safe to repeat and to run from several servers at once: every statement is a CREATE ... IF NOT
    EXISTS, and a migration is recorded after its last statement. Leaves `client` in `database`.
    """
    try:
        client.command(
            f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}", use_database=False
        )
        client.database = database
        needed = pending(client, database, migrations)
        for migration in needed:
            for statement in split_statements(migration.text):
                client.command(statement)
            client.command(_RECORD, parameters=_record(migration))
    except CLIENT_ERRORS as error:
        raise store_error(error) from error
    return [migration.name for migration in needed]


def render(migrations: Sequence[Migration] | None = None) -> str:
    """Return the text of the migrations, to be read or run by hand."""
    shown = known() if migrations is None else migrations
    return "\n".join(f"-- {migration.name}\n{migration.text}" for migration in shown)


def _record(migration: Migration) -> dict[str, object]:
    return {
        "version": migration.version,
        "name": migration.name,
        "checksum": migration.checksum,
    }
