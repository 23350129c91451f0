"""`farebox doctor` on files and on the store."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from starlette.types import ASGIApp

from farebox_processor.cli import doctor as command
from farebox_processor.clickhouse_endpoint import read_only_endpoint
from farebox_processor.config import Config
from farebox_processor.doctor_findings import KINDS
from farebox_processor.pipeline import cost_requests, roll_up_set
from farebox_processor.rules import load_rules
from farebox_processor.store.writer import Writer

from .conftest import CORPUS, Run

pytestmark = pytest.mark.usefixtures("wide")

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "doctor.md"
BOTH = CORPUS / "native_ga_anthropic_both" / "case.pb"


@pytest.fixture
def store(client: Client, engine_dsn: str, database: str) -> dict[str, str]:
    """The settings of a store that holds a recording, and whose server does not run."""
    rules = load_rules(Config())
    priced = cost_requests([BOTH.read_bytes()], [""], rules).priced
    writer = Writer(client)
    writer.write("spans", priced)
    writer.write("calls", roll_up_set(priced, rules).calls)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return {
        "FAREBOX_STORE__DSN": engine_dsn,
        "FAREBOX_STORE__DATABASE": database,
        "FAREBOX_CLICKHOUSE_ENDPOINT__PORT": str(port),
    }


def test_a_diagnosis_for_programs_has_amounts_as_decimal_text(run: Run) -> None:
    result = run("doctor", CORPUS / "v2_openai_chat" / "case.pb", "--json")

    assert json.loads(result.stdout) == {
        "emitters": [
            {
                "scope_name": "opentelemetry.instrumentation.openai_v2",
                "scope_version": "",
                "spans": 1,
                "calls": 1,
                "billed_calls": 1,
                "repeated_calls": 0,
                "unpriced_calls": 0,
                "uncertain_calls": 1,
                "cost_usd": "0.0072475",
                "repeated_usd": "0",
                "readings": [{"reading": "inclusive", "rule": "default", "calls": 1}],
                "drops": [{"code": "cache_read_unreported", "calls": 1}],
                "blind_to": [{"code": "web_search", "calls": 1}],
                "unpriced_share": "0",
            }
        ],
        "findings": [
            {
                "scope_name": "opentelemetry.instrumentation.openai_v2",
                "scope_version": "",
                "kind": "uncertain",
                "code": "cache_read_unreported",
                "subject": None,
                "calls": 1,
                "worth_usd": "0.00188875",
                "open_calls": 0,
                "advice": "opentelemetry-instrumentation-openai-v2 drops cached tokens: use"
                " opentelemetry-instrumentation-genai-openai.",
            }
        ],
        "totals": {
            "spans": 1,
            "calls": 1,
            "billed_calls": 1,
            "unpriced_calls": 0,
            "billed_usd": "0.0072475",
            "repeated_usd": "0",
        },
    }


def test_a_diagnosis_reads_as_the_documentation_shows(run: Run, tmp_path: Path) -> None:
    recording = CORPUS / "pydold_openai_agent_tool" / "case.pb"
    (tmp_path / "traces.pb").write_bytes(recording.read_bytes())
    [(command_line, shown)] = re.findall(
        r"```console\n\$ farebox ([^\n]+)\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL
    )

    result = run(*command_line.split())

    assert [line.rstrip() for line in result.stdout.splitlines()] == shown.splitlines()


def test_the_documentation_explains_every_kind_of_finding() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", DOCUMENTATION.read_text(), re.MULTILINE)

    assert explained == list(KINDS)


def test_several_files_are_one_set(run: Run) -> None:
    result = run("doctor", BOTH, BOTH, "--json")

    totals = json.loads(result.stdout)["totals"]
    assert (totals["spans"], totals["billed_usd"]) == (2, "0.0165288")


def test_calls_without_price_are_said_and_are_not_in_the_sum(run: Run) -> None:
    result = run("doctor", CORPUS / "go_openai_stream_cancelled" / "case.pb")

    assert "unpriced usage_missing opentelemetry.instrumentation.genai.openai 1.3b0: 1 call\n" in (
        result.stdout
    )
    assert result.stdout.endswith("Billed calls whose cost is unknown, in no sum: 1.\n")
    assert "The calls cost" not in result.stdout


def test_the_store_gives_what_the_file_gives(run: Run, store: dict[str, str]) -> None:
    of_file = run("doctor", BOTH, "--json")
    of_store = run("doctor", "--from", "store", "--since", "2026-11-21", "--json", **store)

    assert of_store.exit_code == 0, of_store.output
    assert of_store.stdout == of_file.stdout


def test_an_embedded_store_is_read_through_the_server_that_has_it_open(
    run: Run, store: dict[str, str], serve: Callable[[ASGIApp], int]
) -> None:
    dsn, database = store["FAREBOX_STORE__DSN"], store["FAREBOX_STORE__DATABASE"]
    with read_only_endpoint(dsn, database) as endpoint:
        port = serve(endpoint)
        settings = store | {
            "FAREBOX_STORE__DSN": "embedded:where/it/is/not",
            "FAREBOX_CLICKHOUSE_ENDPOINT__PORT": str(port),
        }

        result = run("doctor", "--from", "store", "--since", "2026-11-21", "--json", **settings)

    assert result.stdout == run("doctor", BOTH, "--json").stdout


def test_a_store_without_recent_spans_says_so(run: Run, store: dict[str, str]) -> None:
    result = run("doctor", "--from", "store", "--since", "2027-11-21", **store)

    assert result.stdout == (
        "no spans to examine; see whether they arrive, or ask for a longer time: --since\n"
    )


def test_reading_only_the_latest_spans_of_a_store_is_said(
    run: Run, store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MOST_SPANS", 2)

    result = run("doctor", "--from", "store", "--since", "2026-11-21", **store)

    assert result.stdout.endswith("Only the latest 2 spans were examined.\n")


@pytest.mark.parametrize("arguments", [(), (BOTH, "--from", "store")])
def test_files_or_the_store_have_to_be_named_and_not_both(
    run: Run, arguments: tuple[str, ...]
) -> None:
    result = run("doctor", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ("farebox: name OTLP files to examine, or `--from store`; not both\n")


def test_a_file_that_is_no_export_request_is_refused_in_one_sentence(run: Run) -> None:
    result = run("doctor", CORPUS / "v2_openai_chat" / "truth.json")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("farebox: ")
    assert "truth.json" in result.stderr


def test_a_time_that_is_none_is_refused_with_how_to_write_one(run: Run) -> None:
    result = run("doctor", "--from", "store", "--since", "yesterday")

    assert result.exit_code == 1
    assert "write 2026-11-21, 2026-11-21T10:00, or 90m, 24h, 7d" in result.stderr
