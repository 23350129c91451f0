"""Spans that are sent again after the prices were changed: what they cost is history."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from support.otlp_spans import OtlpCall, request_of

from .conftest import TWICE, Run

Engine = Callable[[str], Client]


@pytest.fixture
def settings(engine_dsn: str, empty_database: str, tmp_path: Path) -> dict[str, str]:
    """The settings of a store in which there is nothing yet, with a price file of its own."""
    overlay = tmp_path / "prices.yaml"
    overlay.write_text("aliases: {}\n", encoding="utf-8")
    return {
        "FAREBOX_STORE__DSN": engine_dsn,
        "FAREBOX_STORE__DATABASE": empty_database,
        "FAREBOX_PRICES__OVERLAYS": str(overlay),
    }


def told(run: Run, settings: dict[str, str], command: str, name: str) -> Any:
    return json.loads(run(command, "--json", **settings).stdout)[name]


def told_cost(run: Run, settings: dict[str, str]) -> str:
    [conversation] = told(run, settings, "conversations", "conversations")
    return str(conversation["cost_usd"])


def test_what_is_sent_again_changes_nothing_and_what_is_new_costs_what_it_does_now(
    run: Run, recording: Callable[[str], Path], settings: dict[str, str]
) -> None:
    sent, new = recording("go_openai_chat"), recording("go_openai_tool_loop")
    run("ingest", sent, **settings)
    before = told(run, settings, "conversations", "conversations")

    Path(settings["FAREBOX_PRICES__OVERLAYS"]).write_text(TWICE, encoding="utf-8")
    again = run("ingest", sent, **settings)

    assert again.exit_code == 0, again.stderr
    assert told(run, settings, "conversations", "conversations") == before
    spans = json.loads(run("explain", before[0]["conversation_id"], "--json", **settings).stdout)
    assert spans["total_usd"] == before[0]["cost_usd"] == "0.0059675"

    run("ingest", new, **settings)
    costs = {row["cost_usd"] for row in told(run, settings, "conversations", "conversations")}
    assert costs == {"0.0059675", "0.018765"}


def test_a_call_that_two_records_complete_keeps_what_it_cost(
    run: Run, settings: dict[str, str], tmp_path: Path
) -> None:
    """The tier, which makes it $4.25 of $2.50, is told by the one that is not billed."""
    outer = OtlpCall(1, 10, 1_000_000, "c", "chatcmpl-BxK2mT9vQ4wZ7pR1sN8", 0, 2)
    inner = replace(outer, span=11, scope="other", start_s=0.5, end_s=1.5)
    request = ExportTraceServiceRequest.FromString(request_of([outer, inner]))
    told, below = (scope.spans[0] for scope in request.resource_spans[0].scope_spans)
    below.parent_span_id = told.span_id
    tier = AnyValue(string_value="priority")
    told.attributes.add(key="gen_ai.openai.response.service_tier", value=tier)
    sent = tmp_path / "sent.pb"
    sent.write_bytes(request.SerializeToString())
    run("ingest", sent, **settings)
    before = told_cost(run, settings)

    Path(settings["FAREBOX_PRICES__OVERLAYS"]).write_text(TWICE, encoding="utf-8")
    run("ingest", sent, **settings)

    assert (before, told_cost(run, settings)) == ("4.25", "4.25")


def test_what_was_deleted_is_stored_again_from_its_file(
    run: Run, recording: Callable[[str], Path], settings: dict[str, str], engine: Engine
) -> None:
    run("ingest", recording("go_openai_chat"), **settings)
    before = told(run, settings, "conversations", "conversations")
    client = engine(settings["FAREBOX_STORE__DATABASE"])
    for table in ("spans", "otel_traces", "calls", "traces"):
        client.command(f"DELETE FROM {table} WHERE 1")  # noqa: S608
    client.close()

    run("ingest", recording("go_openai_chat"), **settings)

    assert told(run, settings, "conversations", "conversations") == before
