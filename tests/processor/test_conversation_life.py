"""The life of a conversation: open, idle or ended, in segments; the table in docs/concepts.md."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_processor.conversation_life import add_life
from farebox_processor.frames import TRACES
from farebox_processor.plans import Plans, load_plans

DOCS = Path(__file__).parents[2] / "docs" / "concepts.md"
KEYS = {"tenant": "", "conversation_id": "c"}
LIFE = ("status", "segments", "paused_ms")
TRACE = re.compile(r"(\d\d:\d\d)\W(\d\d:\d\d)( ends)?")


@pytest.fixture(scope="module")
def plans() -> Plans:
    return load_plans()


def clock(text: str) -> datetime:
    return datetime.combine(datetime(2026, 11, 2), datetime.strptime(text, "%H:%M").time(), UTC)


def live(traces: list[dict[str, Any]], plans: Plans, as_of: datetime | None) -> dict[str, Any]:
    """Return the life of one conversation of these traces: started_at, ended_at, ended."""
    columns = ("tenant", "conversation_id", "started_at", "ended_at", "conversation_ended")
    rows = pl.DataFrame(
        [{**KEYS, **trace} for trace in traces], schema={name: TRACES[name] for name in columns}
    )
    conversation = rows.group_by("tenant", "conversation_id").agg(pl.col("ended_at").max())
    told = add_life(conversation.with_columns(plan=pl.lit("default")), rows, plans, as_of)
    [life] = told.to_dicts()
    return {name: life[name] for name in LIFE}


def worked_examples() -> list[tuple[str, ...]]:
    """Return the cells of the table of the section Life."""
    section = DOCS.read_text(encoding="utf-8").split("## Life\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| 1")]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]


@pytest.mark.parametrize(("traces", "asked", "status", "segments", "paused"), worked_examples())
def test_the_life_of_a_conversation_is_as_the_table_says(
    plans: Plans, traces: str, asked: str, *, status: str, segments: str, paused: str
) -> None:
    told = [
        {"started_at": clock(start), "ended_at": clock(end), "conversation_ended": bool(ends)}
        for start, end, ends in TRACE.findall(traces)
    ]

    assert live(told, plans, clock(asked)) == {
        "status": status,
        "segments": int(segments),
        "paused_ms": int(paused.removesuffix(" min")) * 60_000,
    }


def test_the_table_has_all_its_examples() -> None:
    assert len(worked_examples()) == 14


def test_without_a_moment_it_is_told_as_of_the_latest_trace_of_all(plans: Plans) -> None:
    noon = {"started_at": clock("12:00"), "ended_at": clock("12:05"), "conversation_ended": False}
    later = {"started_at": clock("12:36"), "ended_at": clock("12:36"), "conversation_ended": False}
    rows = pl.DataFrame(
        [KEYS | noon, KEYS | later | {"conversation_id": "d"}],
        schema_overrides={"started_at": TRACES["started_at"], "ended_at": TRACES["ended_at"]},
    )
    conversations = rows.select("tenant", "conversation_id", "ended_at", plan=pl.lit("default"))

    told = add_life(conversations, rows, plans, None)

    assert told.select("conversation_id", "status").rows() == [("c", "idle"), ("d", "open")]


def test_without_a_timeout_a_conversation_is_never_idle_and_goes_on_after_any_silence(
    plans: Plans,
) -> None:
    endless = Plans(tiers=plans.tiers.with_columns(idle_timeout_s=pl.lit(None, dtype=pl.UInt32)))
    told = [
        {"started_at": clock(time), "ended_at": clock(time), "conversation_ended": False}
        for time in ("00:00", "12:00")
    ]

    assert live(told, endless, clock("23:59")) == {"status": "open", "segments": 1, "paused_ms": 0}


any_traces = st.lists(
    st.builds(
        lambda start, length, ends: {
            "started_at": clock("12:00") + timedelta(minutes=start),
            "ended_at": clock("12:00") + timedelta(minutes=start + length),
            "conversation_ended": ends,
        },
        st.integers(0, 180),
        st.sampled_from([-1, 0, 1, 5, 40]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(traces=any_traces, order=st.randoms(use_true_random=False))
def test_the_order_of_the_traces_does_not_matter(
    plans: Plans, traces: list[dict[str, Any]], order: Any
) -> None:
    shuffled = list(traces)
    order.shuffle(shuffled)

    assert live(shuffled, plans, clock("15:00")) == live(traces, plans, clock("15:00"))


@given(traces=any_traces)
def test_pauses_fit_between_the_first_and_the_last_moment(
    plans: Plans, traces: list[dict[str, Any]]
) -> None:
    life = live(traces, plans, clock("15:00"))

    starts = [trace["started_at"] for trace in traces]
    whole = max(starts) - min(starts)
    assert 0 <= life["paused_ms"] <= whole.total_seconds() * 1000
    assert 1 <= life["segments"] <= len(traces)
    if not any(trace["conversation_ended"] for trace in traces):
        # Without an end only silences of more than half an hour part it.
        assert life["paused_ms"] >= (life["segments"] - 1) * 1_800_000
