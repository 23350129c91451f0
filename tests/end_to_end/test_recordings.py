"""Recordings of real instrumentations against what was billed, to the last digit."""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from farebox_processor.config import Config
from farebox_processor.otlp_json import to_protobuf
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules

ROOT = Path(__file__).parents[2]
RECORDINGS = sorted((ROOT / "tests/fixtures/corpus").iterdir())
CERTAIN = {"exact", "supplied"}
PAGE = ROOT / "docs/recordings.md"


@cache
def priced(recording: Path) -> dict[str, Any]:
    return price_report([(recording / "case.pb").read_bytes()], load_rules(Config()))


def truths(recording: Path) -> tuple[Decimal, Decimal]:
    """Return what was billed, and what was without the searches that hardly any emitter shows."""
    expected = json.loads((recording / "truth.json").read_text(encoding="utf-8"))["expected"]
    return Decimal(expected["cost_usd"]), Decimal(expected["without_server_tools_usd"])


def amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def is_certain(report: dict[str, Any]) -> bool:
    return {each["cost_status"] for each in report["conversations"]} <= CERTAIN


def is_blind_to_searches(report: dict[str, Any]) -> bool:
    return any("web_search" in each["blind_to"] for each in report["conversations"])


def bounds(report: dict[str, Any]) -> tuple[Decimal, Decimal | None]:
    low = sum((Decimal(each["cost_low_usd"]) for each in report["conversations"]), Decimal(0))
    highs = [amount(each["cost_high_usd"]) for each in report["conversations"]]
    known = [high for high in highs if high is not None]
    return low, sum(known, Decimal(0)) if len(known) == len(highs) else None


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_a_recording_costs_what_was_billed_or_says_that_it_is_not_sure(recording: Path) -> None:
    report = priced(recording)
    billed, without_searches = truths(recording)
    possible = {billed, without_searches} if is_blind_to_searches(report) else {billed}

    if is_certain(report):
        assert amount(report["totals"]["cost_usd"]) in possible
    else:
        low, high = bounds(report)
        assert any(low <= truth and (high is None or truth <= high) for truth in possible)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_the_json_form_of_a_recording_costs_the_same(recording: Path) -> None:
    body = to_protobuf((recording / "case.json").read_bytes())

    assert price_report([body], load_rules(Config())) == priced(recording)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_a_recording_sent_twice_costs_the_same(recording: Path) -> None:
    once = priced(recording)
    twice = price_report([(recording / "case.pb").read_bytes()] * 2, load_rules(Config()))

    assert (twice["conversations"], twice["calls"]) == (once["conversations"], once["calls"])


def test_two_thirds_of_the_recordings_are_exact() -> None:
    exact = [each.name for each in RECORDINGS if is_certain(priced(each))]

    assert len(exact) >= 48


def uncertain_rows() -> list[str]:
    rows = []
    for recording in RECORDINGS:
        report = priced(recording)
        if is_certain(report):
            continue
        low, high = bounds(report)
        width = "unbounded" if high is None else f"${high - low:f}"
        reasons = {
            each["cost_reason"]
            for each in report["calls"]
            if each["billed"] and each["cost_status"] not in CERTAIN
        }
        statuses = {each["cost_status"] for each in report["conversations"]} - CERTAIN
        cost = report["totals"]["cost_usd"] or "unknown"
        rows.append(
            f"| {recording.name} | {', '.join(sorted(statuses))} | {', '.join(sorted(reasons))} |"
            f" {cost} | {truths(recording)[0]:f} | {width} |"
        )
    return rows


def test_the_page_of_recordings_lists_what_emitters_drop_and_the_width_of_the_bounds() -> None:
    for row in uncertain_rows():
        assert row in PAGE.read_text(encoding="utf-8").splitlines()
