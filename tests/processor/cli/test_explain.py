"""`farebox explain --file` on recordings: every line, every rejected span, sums to the total."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.otlp_spans import OtlpCall, request_of

from .conftest import CORPUS, Run

pytestmark = pytest.mark.usefixtures("wide")

CASES = sorted(
    path.name
    for path in CORPUS.iterdir()
    if path.name.startswith("scen_") or path.name.endswith("_both")
)

REJECTED = {
    "native_ga_anthropic_both": ["duplicate"],
    "oi_langchain_openai_both": ["duplicate", "duplicate"],
    "scen_app_retry": [],
    "scen_runaway_loop": [],
    "tl_native_anthropic_both": ["duplicate"],
}


def bill_of(run: Run, case: str) -> dict[str, Any]:
    result = run("explain", "--file", CORPUS / case / "case.pb", "--json")

    assert result.exit_code == 0, result.output
    bill: dict[str, Any] = json.loads(result.stdout)
    return bill


def truth_of(case: str) -> Decimal:
    """What the provider charged, without the web searches that none of these spans can show."""
    truth = json.loads((CORPUS / case / "truth.json").read_text())
    return Decimal(truth["expected"]["without_server_tools_usd"])


def test_every_recording_of_a_scenario_or_of_two_emitters_is_held_here() -> None:
    assert list(REJECTED) == CASES


@pytest.mark.parametrize("case", CASES)
def test_the_lines_of_the_billed_spans_sum_to_the_total_and_to_the_truth(
    run: Run, case: str
) -> None:
    bill = bill_of(run, case)

    billed = [span for span in bill["spans"] if span["call"] and span["call"]["billed"]]
    lines = [line for span in billed for line in span["lines"]]
    assert sum(Decimal(line["amount_usd"]) for line in lines) == Decimal(bill["total_usd"])
    assert Decimal(bill["total_usd"]) == truth_of(case)


@pytest.mark.parametrize("case", CASES)
def test_each_line_multiplies_out_and_the_lines_of_a_span_sum_to_its_cost(
    run: Run, case: str
) -> None:
    calls = [span for span in bill_of(run, case)["spans"] if span["call"]]

    for span in calls:
        amounts = [Decimal(line["amount_usd"]) for line in span["lines"]]
        assert amounts == [
            Decimal(line["quantity"]) * Decimal(line["unit_price_usd"]) for line in span["lines"]
        ]
        assert sum(amounts) == Decimal(span["call"]["cost_usd"])


@pytest.mark.parametrize("case", CASES)
def test_each_rejected_span_says_why_and_which_span_was_billed_instead(run: Run, case: str) -> None:
    calls = [span for span in bill_of(run, case)["spans"] if span["call"]]

    rejected = [span["call"] for span in calls if span["call"]["rejected_as"]]
    billed = {(span["trace_id"], span["span_id"]) for span in calls if span["call"]["billed"]}
    assert [call["rejected_as"] for call in rejected] == REJECTED[case]
    assert {(c["billed_instead_trace_id"], c["billed_instead"]) for c in rejected} <= billed


@pytest.mark.parametrize("case", CASES)
def test_the_text_shows_every_span_every_line_and_every_rejection(run: Run, case: str) -> None:
    bill = bill_of(run, case)

    text = run("explain", "--file", CORPUS / case / "case.pb").stdout

    shown = text.splitlines()
    lines = [line for span in bill["spans"] for line in span["lines"]]
    assert len(shown) == 1 + len(bill["spans"]) + len(lines) + 1
    for line in lines:
        quantity = f"{Decimal(line['quantity']):,}"
        assert any(
            f"{line['item']} {quantity} × $" in row and row.endswith(f"= ${line['amount_usd']}")
            for row in shown
        )
    for span in bill["spans"]:
        assert any(span["span_name"] in row for row in shown)
        call = span["call"]
        if call and call["rejected_as"]:
            assert any(
                call["rejected_as"] in row
                and f"billed instead: span {call['billed_instead']}" in row
                for row in shown
            )


def test_a_bill_reads_like_this(run: Run) -> None:
    result = run("explain", "--file", CORPUS / "scen_app_retry" / "case.pb")

    source = "genai-prices 0.2.3: gpt-4o"
    assert (
        result.stdout
        == f"""\
conv-retry-1
├── POST /chat
│   ├── chat gpt-4o · gpt-4o · $0 · exact: failed_without_usage
│   ├── chat gpt-4o · gpt-4o · attempt 2 · $0 · exact: failed_without_usage
│   └── chat gpt-4o · gpt-4o-2026-08-06 · attempt 3 · $0.0059675 · exact · {source}
│       ├── input_tokens 487 × $2.5/M = $0.0012175
│       ├── cache_read_tokens 1,024 × $1.25/M = $0.00128
│       └── output_tokens 347 × $10/M = $0.00347
└── total $0.0059675
"""
    )


@pytest.mark.parametrize("command", [["explain", "--file"], ["doctor"]])
def test_a_file_that_cannot_be_read_is_named_also_beside_good_ones(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "good.pb").write_bytes((CORPUS / "go_openai_chat" / "case.pb").read_bytes())
    (tmp_path / "bad.pb").write_bytes(b"\x0a\xff")

    result = run(*command, tmp_path)

    assert (result.exit_code, "bad.pb: The body is not" in result.stderr) == (1, True)


def test_the_amounts_of_a_bill_have_all_their_digits_so_that_they_add_up(run: Run) -> None:
    shown = run("explain", "--file", CORPUS / "go_openai_tool_loop" / "case.pb").stdout

    assert re.findall(r" · (\$[0-9.]+) · ", shown) == ["$0.0059675", "$0.003415"]
    assert "total $0.0093825" in shown


@pytest.fixture
def chats_of_two_tenants(tmp_path: Path) -> Path:
    """Two tenants' conversations of one id, of $0.0025 and $0.0075, in one file."""
    whole = ExportTraceServiceRequest()
    for number, tenant in enumerate(("acme", "beta"), start=1):
        call = OtlpCall(number, number, input_tokens=2000 * number - 1000, conversation="chat-1")
        [spans] = ExportTraceServiceRequest.FromString(request_of([call])).resource_spans
        spans.resource.attributes.add(key="farebox.tenant.id").value.string_value = tenant
        whole.resource_spans.append(spans)
    path = tmp_path / "chats.pb"
    path.write_bytes(whole.SerializeToString())
    return path


@pytest.mark.parametrize(("tenant", "usd"), [("acme", "0.0025"), ("beta", "0.0075")])
def test_a_conversation_of_a_file_is_that_of_its_tenant_alone(
    run: Run, chats_of_two_tenants: Path, tenant: str, usd: str
) -> None:
    asked = ("explain", "chat-1", "--file", chats_of_two_tenants, "--tenant", tenant, "--json")

    bill = json.loads(run(*asked).stdout)

    assert (bill["tenant"], bill["total_usd"]) == (tenant, usd)


@pytest.mark.parametrize("named", [[], ["chat-1"], ["chat-1", "--tenant", "gamma"]])
def test_an_id_that_two_tenants_have_is_asked_for_by_tenant(
    run: Run, chats_of_two_tenants: Path, named: list[str]
) -> None:
    result = run("explain", "--file", chats_of_two_tenants, *named)

    assert result.exit_code == 1
    listed = " ".join(result.stderr.split())
    assert "chat-1 (--tenant acme), chat-1 (--tenant beta)" in listed


def test_the_one_conversation_of_a_file_is_explained_with_the_tenant_it_has(
    run: Run, chats_of_two_tenants: Path
) -> None:
    whole = ExportTraceServiceRequest.FromString(chats_of_two_tenants.read_bytes())
    del whole.resource_spans[0]
    chats_of_two_tenants.write_bytes(whole.SerializeToString())

    bill = json.loads(run("explain", "--file", chats_of_two_tenants, "--json").stdout)

    assert (bill["tenant"], bill["total_usd"]) == ("beta", "0.0075")


def test_spans_that_name_no_tenant_are_those_of_the_tenant_that_is_asked_for(run: Run) -> None:
    file = CORPUS / "go_openai_chat" / "case.pb"

    bill = json.loads(run("explain", "--file", file, "--tenant", "acme", "--json").stdout)

    assert (bill["tenant"], bill["total_usd"]) == ("acme", "0.0059675")
