"""The diagnosis of emitters: what it finds in recordings, and that its sums are the bill."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.config import Config
from farebox_processor.dialect_model import BLINDNESSES
from farebox_processor.doctor import EMITTERS, Diagnosis, examine
from farebox_processor.doctor_advice import ADVICE, BLINDNESS_ADVICE
from farebox_processor.doctor_findings import FINDINGS
from farebox_processor.doctor_store import spans_and_calls
from farebox_processor.frames import CALLS
from farebox_processor.pipeline import Rules, cost_requests, roll_up_set
from farebox_processor.price_verdicts import STATUS_OF
from farebox_processor.rollup import roll_up
from farebox_processor.rules import load_rules
from farebox_processor.store.writer import Writer
from farebox_processor.verdicts import CostStatus, Reason
from support.rows import at, priced_spans

CORPUS = Path(__file__).parents[1] / "fixtures" / "corpus"
RECORDINGS = sorted(path.name for path in CORPUS.iterdir())

OPENAI = "opentelemetry.instrumentation.genai.openai"
"""The emitter of the spans of support.rows."""
OPENAI_V2 = "opentelemetry.instrumentation.openai_v2"
ANTHROPIC = "opentelemetry.instrumentation.genai.anthropic"
LANGCHAIN = "openinference.instrumentation.langchain"
OI_OPENAI = "openinference.instrumentation.openai"
SDK = "com.anthropic.sdk.python 2.11.0"


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules(Config())


@pytest.fixture(scope="module")
def recorded(rules: Rules) -> Callable[..., tuple[pl.DataFrame, pl.DataFrame]]:
    """Price recordings as one set: the spans and their calls."""

    def price(*names: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        bodies = [(CORPUS / name / "case.pb").read_bytes() for name in names]
        priced = cost_requests(bodies, [""] * len(bodies), rules).priced
        return priced, roll_up_set(priced, rules).calls

    return price


def examined(rules: Rules, *spans: dict[str, Any]) -> Diagnosis:
    priced = priced_spans(*spans)
    return examine(priced, roll_up(priced, rules.book).calls)


def found(diagnosis: Diagnosis) -> list[tuple[Any, ...]]:
    """The findings without the sentence: whose, what kind, what, about what, how many, how much."""
    return diagnosis.findings.select(
        "scope_name", "kind", "code", "subject", "calls", "worth_usd", "open_calls"
    ).rows()


def only(diagnosis: Diagnosis) -> dict[str, Any]:
    [emitter] = diagnosis.emitters.to_dicts()
    return emitter


@pytest.mark.parametrize(
    ("recording", "billed_usd", "findings"),
    [
        ("go_openai_tool_loop", "0.0093825", []),
        # 1 511 input tokens at $2.5/M or, all of them cached, at $1.25/M.
        (
            "v2_openai_chat",
            "0.0072475",
            [(OPENAI_V2, "uncertain", "cache_read_unreported", None, 1, "0.00188875", 0)],
        ),
        (
            "v2_openai_stream_nousage",
            None,
            [(OPENAI_V2, "unpriced", "usage_missing", None, 1, None, 1)],
        ),
        (
            "goa_openai_agents",
            None,
            [(f"{OPENAI}_agents", "unpriced", "usage_missing", None, 1, None, 1)],
        ),
        # 2 048 tokens written at $3.75/M for five minutes or at $6/M for an hour.
        (
            "ga_anthropic_chat",
            "0.0153768",
            [(ANTHROPIC, "uncertain", "cache_write_ttl_unreported", None, 1, "0.004608", 0)],
        ),
        (
            "native_ga_anthropic_both",
            "0.0165288",
            [(ANTHROPIC, "repeated", "duplicate", SDK, 1, "0.0153768", 0)],
        ),
        (
            "oi_langchain_openai_both",
            "0.0093825",
            [(OI_OPENAI, "repeated", "duplicate", f"{LANGCHAIN} 0.1.80", 2, "0.0093825", 0)],
        ),
        # The agent states the sum of its two calls, and none of them their cached tokens.
        (
            "pydold_openai_agent_tool",
            "0.014495",
            [
                ("pydantic-ai", "repeated", "aggregate", None, 1, "0.014495", 0),
                ("pydantic-ai", "uncertain", "cache_read_unreported", None, 2, "0.0037775", 0),
            ],
        ),
        (
            "strands_openai_agent_tool",
            "0.011935",
            [("strands.telemetry.tracer", "repeated", "aggregate", None, 1, "0.011935", 0)],
        ),
        # The emitter's own cost takes cached input for fresh: 1 024 tokens at $1.25/M too much.
        (
            "openlit_openai_chat",
            "0.0059675",
            [
                (
                    "openlit.instrumentation.openai",
                    "disputed",
                    "supplied_cost_differs",
                    "gen_ai.usage.cost",
                    1,
                    "0.00128",
                    0,
                )
            ],
        ),
        (
            "tl_cohere",
            "0.0030025",
            [
                (
                    "opentelemetry.instrumentation.cohere",
                    "uncertain",
                    "units_unreported",
                    None,
                    1,
                    None,
                    1,
                )
            ],
        ),
    ],
)
def test_a_recording_shows_what_its_emitters_drop_and_repeat(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
    recording: str,
    billed_usd: str | None,
    findings: list[tuple[Any, ...]],
) -> None:
    diagnosis = examine(*recorded(recording))

    assert diagnosis.billed_usd == (None if billed_usd is None else Decimal(billed_usd))
    assert found(diagnosis) == [
        (*facts, None if worth is None else Decimal(worth), without)
        for *facts, worth, without in findings
    ]


def test_an_emitter_is_described_by_what_its_spans_show(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
) -> None:
    diagnosis = examine(*recorded("pydold_openai_agent_tool"))

    assert only(diagnosis) == {
        "scope_name": "pydantic-ai",
        "scope_version": "1.2.1",
        "spans": 5,
        "calls": 3,
        "billed_calls": 2,
        "repeated_calls": 1,
        "unpriced_calls": 0,
        "uncertain_calls": 2,
        "cost_usd": Decimal("0.014495"),
        "repeated_usd": Decimal("0.014495"),
        "readings": [{"reading": "inclusive", "rule": "scope", "calls": 3}],
        "drops": [{"code": "cache_read_unreported", "calls": 3}],
        "blind_to": [{"code": "service_tier", "calls": 2}, {"code": "web_search", "calls": 2}],
    }


def test_a_reading_is_shown_with_the_rule_that_decided_it(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
) -> None:
    diagnosis = examine(*recorded("tl_bedrock_converse", "a11y_openai_chat", "go_openai_chat"))

    readings = {row["scope_name"]: row["readings"] for row in diagnosis.emitters.to_dicts()}
    assert readings == {
        "agento11y": [{"reading": "inclusive", "rule": "marker", "calls": 1}],
        "opentelemetry.instrumentation.bedrock": [
            {"reading": "exclusive", "rule": "proof", "calls": 1}
        ],
        OPENAI: [{"reading": "inclusive", "rule": "scope", "calls": 1}],
    }


def test_adding_up_every_span_would_charge_what_is_billed_and_what_is_repeated(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
) -> None:
    priced, calls = recorded(*RECORDINGS)

    diagnosis = examine(priced, calls)

    claimed = Decimal(calls["cost_usd"].sum())
    assert diagnosis.billed_usd is not None
    assert diagnosis.billed_usd + diagnosis.repeated_usd == claimed
    repeated = diagnosis.findings.filter(kind="repeated")
    assert Decimal(repeated["worth_usd"].sum()) == diagnosis.repeated_usd
    assert int(repeated["calls"].sum()) == int(calls["rejected_as"].count())


def test_each_call_that_is_not_exact_is_in_one_finding(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
) -> None:
    priced, calls = recorded(*RECORDINGS)

    diagnosis = examine(priced, calls)

    open_calls = calls.filter(
        "billed", ~pl.col("cost_status").is_in([CostStatus.EXACT, CostStatus.SUPPLIED])
    )
    counted = diagnosis.findings.filter(pl.col("kind").is_in(["unpriced", "uncertain"]))
    assert int(counted["calls"].sum()) == open_calls.height
    width = (open_calls["cost_high_usd"] - open_calls["cost_low_usd"]).sum()
    assert Decimal(counted["worth_usd"].sum()) == Decimal(width)


def test_delivery_again_and_in_another_order_changes_no_diagnosis(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]],
) -> None:
    priced, calls = recorded(*RECORDINGS)

    once = examine(priced, calls)
    again = examine(pl.concat([priced.reverse(), priced]), calls.reverse())

    assert again.emitters.equals(once.emitters)
    assert again.findings.equals(once.findings)


def test_frames_of_a_diagnosis_have_their_schemas(rules: Rules) -> None:
    full = examined(rules, {"span_id": "a", "cost": "1"})
    empty = examine(priced_spans(), pl.DataFrame(schema=dict(CALLS)))

    for diagnosis in (full, empty):
        assert dict(diagnosis.emitters.schema) == EMITTERS
        assert dict(diagnosis.findings.schema) == FINDINGS
    assert (empty.billed_usd, empty.repeated_usd) == (Decimal(0), Decimal(0))


def test_an_unknown_model_is_named_with_the_calls_that_it_leaves_without_price(
    rules: Rules,
) -> None:
    unpriced = {
        "cost": "0",
        "cost_usd": None,
        "cost_high_usd": None,
        "cost_status": "unpriced",
        "cost_reason": "unknown_model",
        "model": "acme-9",
        "priced_model": None,
    }

    diagnosis = examined(
        rules,
        {"span_id": "a", **unpriced},
        {"span_id": "b", "start": 5, **unpriced},
        {"span_id": "c", "start": 9, "cost": "0.02"},
    )

    assert found(diagnosis) == [
        (OPENAI, "unpriced", "unknown_model", "openai/acme-9", 2, None, 2),
    ]
    assert diagnosis.findings["advice"].to_list() == [
        "No price list knows openai/acme-9: add its prices under `models:` in a file of"
        " prices.overlays, or the model that it stands for under `aliases:`."
    ]
    emitter = only(diagnosis)
    assert (emitter["unpriced_calls"], emitter["billed_calls"]) == (2, 3)
    assert emitter["cost_usd"] == Decimal("0.02")


def test_an_emitter_without_any_price_costs_an_unknown_amount_and_not_nothing(
    rules: Rules,
) -> None:
    diagnosis = examined(
        rules,
        {"span_id": "a", "cost": "0", "cost_usd": None, "cost_status": "unpriced"},
    )

    assert only(diagnosis)["cost_usd"] is None
    assert diagnosis.billed_usd is None


def test_a_failed_attempt_without_usage_is_nothing_to_mend(rules: Rules) -> None:
    diagnosis = examined(
        rules,
        {"span_id": "a", "cost": "0", "is_error": True, "has_usage": False},
        {"span_id": "b", "start": 2, "cost": "0.01"},
    )

    assert found(diagnosis) == []
    assert only(diagnosis)["billed_calls"] == 1


def test_quantities_that_are_nonsense_are_a_finding(rules: Rules) -> None:
    diagnosis = examined(rules, {"span_id": "a", "cost": "0.01", "invalid_usage": 2})

    assert found(diagnosis) == [(OPENAI, "invalid", "invalid_usage", None, 1, None, 1)]


@pytest.mark.parametrize(("supplied", "is_found"), [("0.0100099", False), ("0.0101", True)])
def test_a_supplied_cost_that_differs_by_more_than_rounding_is_disputed(
    rules: Rules, supplied: str, is_found: bool
) -> None:
    diagnosis = examined(
        rules,
        {
            "span_id": "a",
            "cost": "0.01",
            "supplied_cost_usd": Decimal(supplied),
            "supplied_cost_source": "operation.cost",
        },
    )

    disputed = (OPENAI, "disputed", "supplied_cost_differs", "operation.cost", 1)
    assert found(diagnosis) == ([(*disputed, Decimal("0.0001"), 0)] if is_found else [])


def test_versions_of_one_scope_are_emitters_of_their_own(rules: Rules) -> None:
    diagnosis = examined(
        rules,
        {"span_id": "a", "cost": "0.01", "scope_version": "1.3b0"},
        {"span_id": "b", "start": 5, "cost": "0.02", "scope_version": None},
        {"span_id": "c", "start": 9, "cost": "0.03", "scope_version": "1.3b0"},
    )

    assert diagnosis.emitters.select("scope_version", "calls", "cost_usd").rows() == [
        ("1.3b0", 2, Decimal("0.04")),
        ("", 1, Decimal("0.02")),
    ]


def test_spans_that_are_no_calls_are_counted_for_their_emitter(rules: Rules) -> None:
    diagnosis = examined(rules, {"span_id": "a", "scope_name": "fastapi"})

    emitter = only(diagnosis)
    assert (emitter["scope_name"], emitter["spans"], emitter["calls"]) == ("fastapi", 1, 0)
    assert found(diagnosis) == []


def test_there_is_advice_for_every_way_in_which_a_cost_is_not_exact() -> None:
    never_open = {Reason.SUPPLIED_COST, Reason.FAILED_WITHOUT_USAGE, Reason.RESPONSE_CACHE_HIT}
    general = {advice.code for advice in ADVICE if not advice.emitter and not advice.subject}

    assert general == {
        *(reason.value for reason in STATUS_OF if reason not in never_open),
        *("duplicate", "wrapper", "aggregate"),
        "invalid_usage",
        "supplied_cost_differs",
    }
    assert set(BLINDNESS_ADVICE) == set(BLINDNESSES)


@pytest.mark.parametrize(
    ("recording", "advice"),
    [
        (
            "v2_openai_chat",
            "opentelemetry-instrumentation-openai-v2 drops cached tokens: use"
            " opentelemetry-instrumentation-genai-openai.",
        ),
        (
            "go_openai_stream_cancelled",
            "These calls carry no usage: set stream_options.include_usage on streams and read them"
            " to their end; `farebox.instrument()` estimates those that are cut.",
        ),
        (
            "goa_openai_agents",
            "It records agents and none of their calls: turn on"
            " opentelemetry-instrumentation-genai-openai beside it.",
        ),
        (
            "mix_tl_go_openai",
            "opentelemetry.instrumentation.openai.v1 0.62.4 records the same calls, and its spans"
            " were billed: turn one of the two off.",
        ),
        (
            "litellm_openai_chat",
            "The emitter records these calls more than once, and each was billed once: nothing to"
            " change.",
        ),
    ],
)
def test_advice_names_what_to_change(
    recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]], recording: str, advice: str
) -> None:
    diagnosis = examine(*recorded(recording))

    assert diagnosis.findings["advice"].to_list() == [advice]


@pytest.fixture
def stored(
    client: Client, recorded: Callable[..., tuple[pl.DataFrame, pl.DataFrame]]
) -> tuple[Client, Diagnosis]:
    """A store that holds all recordings, and their diagnosis from the files."""
    priced, calls = recorded(*RECORDINGS)
    writer = Writer(client)
    writer.write("spans", priced)
    writer.write("calls", calls)
    return client, examine(priced, calls)


def test_the_store_gives_the_diagnosis_that_the_files_give(
    stored: tuple[Client, Diagnosis],
) -> None:
    client, of_files = stored

    of_store = examine(*spans_and_calls(client, None, None))

    assert of_store.emitters.equals(of_files.emitters)
    assert of_store.findings.equals(of_files.findings)


def test_the_store_is_asked_for_one_tenant_and_for_what_started_since(
    stored: tuple[Client, Diagnosis],
) -> None:
    client, _ = stored

    another_tenant = spans_and_calls(client, None, "acme")
    much_later = spans_and_calls(client, at(86_400 * 365), None)

    assert [frame.height for frame in (*another_tenant, *much_later)] == [0, 0, 0, 0]
