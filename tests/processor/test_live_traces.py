"""What is held in memory while spans arrive, what is rolled up of it, and what makes room."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from farebox_processor.live_traces import LiveTraces
from farebox_processor.rollup.kin import MOST_TRACES
from support.rows import priced_spans

FRAMEWORK = "langchain"


def spans_of(trace: str, *span_ids: str, **columns: Any) -> pl.DataFrame:
    return priced_spans(*({"trace_id": trace, "span_id": one, **columns} for one in span_ids))


def held(spans: pl.DataFrame) -> list[tuple[str, str]]:
    return spans.select("trace_id", "span_id").sort("trace_id", "span_id").rows()


@pytest.fixture
def live() -> LiveTraces:
    return LiveTraces(max_spans=1_000)


def test_a_trace_comes_out_whole_when_one_span_is_added(live: LiveTraces) -> None:
    live.add(spans_of("a", "1", "2"))
    live.add(spans_of("b", "1"))
    live.settle()

    new = live.add(spans_of("a", "3"))

    assert new == 1
    assert held(live.dirty_sets()) == [("a", "1"), ("a", "2"), ("a", "3")]
    assert (len(live), live.traces) == (4, 2)


def test_a_span_that_is_there_already_marks_nothing(live: LiveTraces) -> None:
    live.add(spans_of("a", "1", "2"))
    live.settle()

    assert live.add(pl.concat([spans_of("a", "2"), spans_of("a", "1", "2")])) == 0
    assert (live.dirty, live.dirty_sets().height, len(live)) == (0, 0, 2)


def test_another_content_of_a_span_is_new(live: LiveTraces) -> None:
    live.add(spans_of("a", "1"))
    live.settle()

    assert live.add(spans_of("a", "1", content_hash=2)) == 1
    assert live.dirty_sets()["content_hash"].sort().to_list() == [1, 2]


def test_what_was_not_settled_stays_marked(live: LiveTraces) -> None:
    live.add(spans_of("a", "1"))
    live.dirty_sets()

    live.add(spans_of("b", "1"))

    assert held(live.dirty_sets()) == [("a", "1"), ("b", "1")]


def test_spans_that_were_packed_come_back_as_they_were() -> None:
    live = LiveTraces(max_spans=64)
    spans = [
        spans_of(f"t{number}", "1", dimensions={"region": str(number)} if number % 2 else {})
        for number in range(40)
    ]
    for each in spans:
        live.add(each)

    assert_frame_equal(
        live.dirty_sets(), pl.concat(spans), check_row_order=False, check_column_order=False
    )


def test_one_trace_id_of_two_tenants_is_two_traces(live: LiveTraces) -> None:
    live.add(spans_of("a", "1", tenant="acme"))
    live.settle()

    live.add(spans_of("a", "1", tenant="globex"))

    assert live.dirty_sets()["tenant"].to_list() == ["globex"]


def test_traces_that_share_a_response_come_out_together(live: LiveTraces) -> None:
    live.add(spans_of("a", "1", cost="1", response_id="r"))
    live.add(spans_of("b", "1", cost="1", response_id="r"))
    live.add(spans_of("b", "2", cost="1", response_id="s"))
    live.add(spans_of("c", "1", cost="1", response_id="s"))
    live.add(spans_of("d", "1", cost="1", response_id="other"))
    live.settle()

    live.add(spans_of("a", "2"))

    assert held(live.dirty_sets()) == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1")]


@pytest.mark.parametrize(
    ("second", "tied"),
    [
        ({"scope_name": FRAMEWORK, "start": 1, "end": 2}, True),
        ({"scope_name": FRAMEWORK, "start": 4, "end": 5}, False),
        ({"start": 1, "end": 2}, False),
        ({"scope_name": FRAMEWORK, "start": 1, "end": 2, "output_tokens": 7}, False),
        ({"scope_name": FRAMEWORK, "start": 1, "end": 2, "tenant": "other"}, False),
        ({"scope_name": FRAMEWORK, "start": 1, "end": 2, "service_name": "other"}, False),
    ],
)
def test_traces_are_tied_by_equal_calls_of_two_scopes_at_one_time(
    live: LiveTraces, second: dict[str, Any], tied: bool
) -> None:
    live.add(spans_of("a", "1", cost="1", start=0, end=3))
    live.settle()

    live.add(spans_of("b", "1", cost="1", **second))

    assert set(live.dirty_sets()["trace_id"]) == ({"a", "b"} if tied else {"b"})


def test_a_response_id_that_too_many_traces_show_ties_nothing_any_more(live: LiveTraces) -> None:
    def shown_by(*traces: int) -> pl.DataFrame:
        told = {"cost": "1", "response_id": "one-for-all"}
        return pl.concat([spans_of(f"t{n}", "1", **told) for n in traces])

    live.add(shown_by(*range(MOST_TRACES)))
    assert live.worn_among(shown_by(0)).is_empty()
    live.settle()

    live.add(shown_by(MOST_TRACES))
    # What was tied together until now has to be rolled up apart.
    assert live.dirty_sets().height == MOST_TRACES + 1
    live.settle()

    late = shown_by(MOST_TRACES + 1)
    live.add(late)
    assert held(live.dirty_sets()) == [(f"t{MOST_TRACES + 1}", "1")]
    assert live.worn_among(late).rows() == [("", "one-for-all")]


def test_a_bound_on_spans_evicts_what_was_silent_longest() -> None:
    live = LiveTraces(max_spans=32)
    for number in range(32):
        live.add(spans_of(f"{number:02}", "1"))
    live.add(spans_of("00", "2"))
    live.add(spans_of("new", *map(str, range(8))))
    live.settle()

    assert len(live) <= 32
    assert live.evicted == 32 + 1 - live.traces
    for trace, spans in {"00": 3, "31": 2, "01": 1}.items():
        live.add(spans_of(trace, "late"))
        assert live.dirty_sets().height == spans
        live.settle()


def test_a_trace_larger_than_the_bound_is_left_to_repair() -> None:
    live = LiveTraces(max_spans=10)

    live.add(spans_of("a", *map(str, range(50))))

    assert (len(live), live.dirty, live.evicted) == (0, 0, 1)


def test_traces_that_ended_long_before_what_comes_now_are_evicted() -> None:
    live = LiveTraces(max_spans=8, idle_s=60)
    live.add(spans_of("old", "1", "2", "3", start=0))
    live.add(spans_of("recent", "1", "2", "3", start=50))

    live.add(spans_of("now", "1", start=100))

    assert (live.traces, live.evicted) == (2, 1)


def test_spans_read_back_make_a_live_trace_whole_and_start_no_other(live: LiveTraces) -> None:
    live.add(spans_of("a", "3"))
    live.settle()

    live.complete(pl.concat([spans_of("a", "1", "2", "3"), spans_of("b", "1")]))

    assert (live.dirty, live.traces, len(live)) == (0, 1, 3)
    live.add(spans_of("a", "4"))
    assert live.dirty_sets().height == 4


def test_packed_spans_come_back_as_they_were() -> None:
    live = LiveTraces(max_spans=64)
    told = {"cost": "0.000000000000000001", "units": [{"unit": "web_search", "quantity": "2"}]}
    first = spans_of("a", "1", "2", "3", turn_id=None, blind_to=["web_search"], **told)
    live.add(first)
    for number in range(50):
        live.add(spans_of(str(number), "1"))
    live.settle()

    live.add(spans_of("a", "4"))

    back = live.dirty_sets().filter(pl.col("span_id") != "4")
    assert back.sort("span_id").equals(first.select(back.columns).sort("span_id"))


def test_any_order_and_batching_gives_the_same_sets() -> None:
    spans = pl.concat([spans_of(str(n % 7), str(n), cost="1", response_id=f"r{n % 5}")
                       for n in range(60)])  # fmt: skip
    seen = set()
    for batches in (spans.iter_slices(60), spans.reverse().iter_slices(7), _one_by_one(spans)):
        live = LiveTraces(max_spans=200)
        for batch in batches:
            live.add(batch)
        seen.add(tuple(held(live.dirty_sets())))

    assert len(seen) == 1


def _one_by_one(spans: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return spans.sample(fraction=1, shuffle=True, seed=3).iter_slices(1)


def test_what_is_added_to_a_fork_is_not_added_to_what_it_was_forked_from() -> None:
    live = LiveTraces(max_spans=64)
    for number in range(50):
        live.add(spans_of(str(number), "1"))
    live.settle()

    fork = live.fork()
    fork.add(pl.concat([spans_of("0", "2"), spans_of("new", "1")]))

    assert held(fork.dirty_sets()) == [("0", "1"), ("0", "2"), ("new", "1")]
    assert (len(live), live.traces, live.dirty) == (50, 50, 0)
    live.add(pl.concat([spans_of("0", "3"), spans_of("49", "2")]))
    assert held(live.dirty_sets()) == [("0", "1"), ("0", "3"), ("49", "1"), ("49", "2")]
