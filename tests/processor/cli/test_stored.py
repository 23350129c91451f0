"""`farebox conversations` and `totals`: all of a store, or a word that there is more."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def settings(engine_dsn: str, empty_database: str) -> dict[str, str]:
    """The settings of a store in which there is nothing yet."""
    return {"FAREBOX_STORE__DSN": engine_dsn, "FAREBOX_STORE__DATABASE": empty_database}


@pytest.fixture
def stored(run: Run, recording: Callable[[str], Path], settings: dict[str, str]) -> dict[str, str]:
    """The settings of a store with two conversations of two tiers."""
    taken = run("ingest", *map(recording, ("scen_runaway_loop", "go_openai_chat")), **settings)
    assert taken.exit_code == 0, taken.stderr
    return settings


@pytest.mark.parametrize("command", [["conversations"], ["totals", "tier"]])
@pytest.mark.parametrize(("limit", "said"), [("1", "… and more; see --limit\n"), ("2", "")])
def test_rows_that_are_left_out_are_told_of_and_json_stays_json(
    run: Run, stored: dict[str, str], command: list[str], *, limit: str, said: str
) -> None:
    table = run(*command, "--limit", limit, **stored)
    programs = run(*command, "--limit", limit, "--json", **stored)

    rows = json.loads(programs.stdout)[command[0]]
    assert (table.stderr, programs.stderr, str(len(rows))) == (said, said, limit)


@pytest.mark.parametrize("command", ["conversations", "totals", "budgets", "reprice"])
def test_a_store_without_tables_is_answered_with_what_to_do(
    run: Run, settings: dict[str, str], command: str
) -> None:
    result = run(command, **settings)

    assert result.exit_code == 1
    assert "the store lacks tables of this version (code 81)" in result.stderr
    assert "run: farebox migrate" in result.stderr


def test_reading_makes_no_store(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"

    result = run("conversations", FAREBOX_STORE__DSN=f"embedded:{folder}")

    assert (result.exit_code, f"there is no store in {folder}" in result.stderr) == (1, True)
    assert not folder.exists()
