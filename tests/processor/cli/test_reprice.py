"""`farebox reprice`: today's prices for what is stored, the difference first, the past kept."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from .conftest import CORPUS, TWICE, Run

# What is neither a call of a model nor of a tool, by the service that it is a span of.
OF_A_SERVICE = """\
rules:
  - id: gateway
    match: {service_name: "*"}
    prices: {call: "0.001"}
    source: a test
    recorded: 2026-11-21
"""


@pytest.fixture
def store(client: Client, engine_dsn: str, database: str, run: Run) -> dict[str, str]:
    """The settings of a store with two turns of gpt-4o and one of Claude."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    settings = {
        "FAREBOX_STORE__DSN": engine_dsn,
        "FAREBOX_STORE__DATABASE": database,
        "FAREBOX_CLICKHOUSE_ENDPOINT__PORT": str(port),
    }
    cases = ("go_openai_tool_loop", "native_anthropic_chat")
    stored = run("ingest", *(CORPUS / case / "case.pb" for case in cases), **settings)
    assert stored.exit_code == 0, stored.stderr
    return settings


@pytest.fixture
def dearer(store: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same store, with a price book in which gpt-4o costs twice as much."""
    overlay = tmp_path / "twice.yaml"
    overlay.write_text(TWICE, encoding="utf-8")
    return store | {"FAREBOX_PRICES__OVERLAYS": str(overlay)}


def costs(run: Run, settings: dict[str, str]) -> dict[str, str]:
    listed = json.loads(run("conversations", "--json", **settings).stdout)["conversations"]
    return {row["models"][0].split("-2")[0]: row["cost_usd"] for row in listed}


def rating(run: Run, *arguments: str, **settings: str) -> Any:
    result = run("reprice", *arguments, "--json", **settings)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_difference_is_shown_first_and_nothing_is_stored(
    run: Run, dearer: dict[str, str]
) -> None:
    shown = rating(run, **dearer)

    assert (shown["stored"], shown["cost_before_usd"], shown["cost_after_usd"]) == (
        False,
        "0.0259113",  # 0.0093825 of gpt-4o and 0.0165288 of Claude
        "0.0352938",
    )
    assert shown["models"][0] | {"model": ""} == {
        "model": "",
        "calls": 2,
        "changed": 2,
        "cost_before_usd": "0.0093825",
        "cost_after_usd": "0.018765",
        "priced_before": 2,
        "priced_after": 2,
    }
    assert costs(run, dearer) == {"gpt-4o": "0.0093825", "claude-sonnet-4-5": "0.0165288"}


def test_the_difference_is_that_of_the_conversations_where_spans_repeat_a_call(
    run: Run, store: dict[str, str], dearer: dict[str, str]
) -> None:
    # An agent, its call and the SDK below that: three spans of one call.
    run("ingest", CORPUS / "logfire_pydantic_ai" / "case.pb", **store)
    listed = json.loads(run("totals", "tenant", "--json", **dearer).stdout)["totals"]

    shown = rating(run, "--yes", **dearer)

    assert shown["cost_before_usd"] == listed[0]["cost_usd"]
    listed = json.loads(run("totals", "tenant", "--json", **dearer).stdout)["totals"]
    assert shown["cost_after_usd"] == listed[0]["cost_usd"]
    assert sum(each["calls"] for each in shown["models"]) == listed[0]["billed_calls"] == 4


def test_what_only_a_new_rule_prices_is_rated_as_if_it_came_now(
    run: Run, store: dict[str, str], tmp_path: Path
) -> None:
    overlay = tmp_path / "rule.yaml"
    overlay.write_text(OF_A_SERVICE, encoding="utf-8")
    ruled = store | {"FAREBOX_PRICES__OVERLAYS": str(overlay)}
    file = CORPUS / "scen_app_retry" / "case.pb"
    run("ingest", file, "--tenant", "acme", **store)

    shown = rating(run, "--tenant", "acme", "--yes", **ruled)

    now = json.loads(run("price", file, "--tenant", "acme", "--json", **ruled).stdout)["totals"]
    asked = ("totals", "tenant", "--tenant", "acme", "--json")
    [stored] = json.loads(run(*asked, **store).stdout)["totals"]
    assert (stored["cost_usd"], stored["billed_calls"]) == (now["cost_usd"], now["billed_calls"])
    assert shown["cost_after_usd"] == now["cost_usd"]
    assert now["cost_usd"] != shown["cost_before_usd"]


def test_what_only_a_rule_priced_is_no_call_any_more_once_the_rule_is_gone(
    run: Run, store: dict[str, str], tmp_path: Path
) -> None:
    overlay = tmp_path / "rule.yaml"
    overlay.write_text(OF_A_SERVICE, encoding="utf-8")
    file = CORPUS / "go_openai_tool_loop" / "case.pb"
    of_acme = ("conversations", "--tenant", "acme", "--json")
    run("ingest", file, "--tenant", "acme", **store, FAREBOX_PRICES__OVERLAYS=str(overlay))

    shown = rating(run, "--tenant", "acme", "--yes", **store)

    run("ingest", file, "--tenant", "new", **store)
    [rated] = json.loads(run(*of_acme, **store).stdout)["conversations"]
    [new] = json.loads(run("conversations", "--tenant", "new", "--json", **store).stdout)[
        "conversations"
    ]
    assert rated | {"tenant": "new"} == new
    assert (rated["calls"], rated["cost_status"]) == (2, "exact")
    assert shown["cost_after_usd"] == rated["cost_usd"]


def test_stored_it_is_a_revision_of_its_own_and_what_was_stays_on_record(
    run: Run, dearer: dict[str, str], client: Client
) -> None:
    assert rating(run, "--yes", **dearer)["rating_revision"] == 2

    assert costs(run, dearer) == {"gpt-4o": "0.018765", "claude-sonnet-4-5": "0.0165288"}
    kept = client.query(
        "SELECT rating_revision, superseded_by, sum(cost_usd) FROM superseded_ratings FINAL"
        " GROUP BY ALL"
    )
    assert [(was, now, str(usd.normalize())) for was, now, usd in kept.result_rows] == [
        (1, 2, "0.0259113")
    ]
    revisions = client.query(
        "SELECT rating_revision, spans, cost_before_usd, cost_after_usd FROM rating_revisions"
    )
    assert [
        (revision, spans, str(before.normalize()), str(after.normalize()))
        for revision, spans, before, after in revisions.result_rows
    ] == [(2, 3, "0.0259113", "0.0352938")]


def test_sending_the_spans_again_does_not_bring_the_old_prices_back(
    run: Run, store: dict[str, str], dearer: dict[str, str]
) -> None:
    rating(run, "--yes", **dearer)
    run("ingest", CORPUS / "go_openai_tool_loop" / "case.pb", **store)

    assert costs(run, store)["gpt-4o"] == "0.018765"


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (("--model", "gpt-4o"), 2),
        (("--model", "claude-sonnet-4-5"), 1),
        (("--since", "2027-01-01"), 0),
        (("--tenant", "acme"), 0),
    ],
)
def test_a_time_range_a_tenant_or_a_model_is_rated_alone(
    run: Run, dearer: dict[str, str], arguments: tuple[str, ...], calls: int
) -> None:
    shown = rating(run, *arguments, **dearer)

    assert sum(each["calls"] for each in shown["models"]) == calls
