"""`farebox price`: a contract for programs, a table for people, plain words for bad files."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Recording = Callable[[str], Path]


def test_the_object_has_the_names_that_programs_read(run: Any, recording: Recording) -> None:
    result = run("price", recording("go_openai_tool_loop"), "--json")

    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    [conversation] = report["conversations"]
    assert {
        name: conversation[name]
        for name in (
            "conversation_id",
            "tenant",
            "cost_usd",
            "cost_status",
            "exact_share",
            "cost_low_usd",
            "cost_high_usd",
            "blind_to",
            "turns",
            "calls",
            "failed_calls",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
            "total_tokens",
            "tool_cost_usd",
            "waste_usd",
            "tier",
            "tier_price_usd",
            "margin_usd",
            "models",
            "status",
            "segments",
            "paused_ms",
            "dimensions",
            "started_at",
            "ended_at",
        )
    } == {
        "conversation_id": "thread-9",
        "tenant": "",
        # 487 x 2.5 + 1024 x 1.25 + 347 x 10, then 354 x 2.5 + 1536 x 1.25 + 61 x 10, per million
        "cost_usd": "0.0093825",
        "cost_status": "exact",
        "exact_share": "1",
        "cost_low_usd": "0.0093825",
        "cost_high_usd": "0.0093825",
        "blind_to": conversation["blind_to"],
        "turns": 1,
        "calls": 2,
        "failed_calls": 0,
        "input_tokens": 841,
        "cache_read_tokens": 2560,
        "cache_write_tokens": 0,
        "output_tokens": 408,
        "reasoning_tokens": 192,
        "total_tokens": 3809,
        "tool_cost_usd": "0",
        "waste_usd": "0",
        "tier": "simple",
        "tier_price_usd": "0.02",
        "margin_usd": "0.0106175",
        "models": ["gpt-4o-2026-08-06"],
        "status": "open",
        "segments": 1,
        "paused_ms": 0,
        "dimensions": {},
        "started_at": "2026-11-21T02:13:51.222833Z",
        "ended_at": "2026-11-21T02:13:51.474416Z",
    }
    assert report["totals"] == {
        "cost_usd": "0.0093825",
        "spans": 4,
        "rejected_spans": 0,
        "calls": 2,
        "billed_calls": 2,
        "unpriced_calls": 0,
    }
    assert {
        "trace_id",
        "span_id",
        "conversation_id",
        "operation",
        "provider",
        "model",
        "billed",
        "rejected_as",
        "billed_instead",
        "usage_reading",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "reasoning_tokens",
        "units",
        "cost_usd",
        "cost_low_usd",
        "cost_high_usd",
        "cost_status",
        "cost_reason",
        "blind_to",
        "price_source",
        "supplied_cost_usd",
    } <= report["calls"][0].keys()


def test_several_files_of_any_kind_are_one_set(
    run: Any, recording: Recording, tmp_path: Path
) -> None:
    source = recording("go_openai_tool_loop")
    shutil.copy(source, tmp_path / "a.pb")
    text = source.with_suffix(".json").read_bytes()
    (tmp_path / "b.json").write_bytes(text)
    one_line = json.dumps(json.loads(text)).encode()
    (tmp_path / "c.jsonl").write_bytes(one_line + b"\n\n" + one_line + b"\n")
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(one_line))

    alone = json.loads(run("price", source, "--json").stdout)
    together = json.loads(run("price", tmp_path, "--json").stdout)

    assert together == alone


def test_a_person_sees_a_table_with_cost_verdict_tier_and_margin(
    run: Any, recording: Recording
) -> None:
    shown = run("price", recording("scen_runaway_loop")).stdout

    for word in ("conv-runaway-1", "$0.56226", "exact", "enterprise", "-$0.06226"):
        assert word in shown


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "cannot tell what this is by its name"),
        ("a.pb", b"\x0a\xff", "a.pb"),
        ("a.json", b"{}", "it has no resourceSpans"),
        ("a.json", b'{"resourceSpans": 7}', "a.json"),
        ("a.jsonl", b'{"resourceSpans": []}\n{"resourceSpans"\n', "line 2"),
        ("a.json.gz", b"nothing packed", "cannot be read"),
        ("a.json.gz", gzip.compress(b"{}" * 99)[:10] + b"\xff" * 99, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_priced_is_named_with_what_was_found(
    run: Any, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)

    result = run("price", tmp_path / name)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_otlp_files_is_named(run: Any, tmp_path: Path) -> None:
    result = run("price", tmp_path)

    assert (result.exit_code, "no OTLP file in this folder" in result.stderr) == (1, True)
