"""What a set of spans comes to: which calls are billed, and what the trace says."""

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.rollup import RolledUp, roll_up
from farebox_processor.rollup.kin import MOST_TRACES
from support.rows import priced_spans

NATIVE = "com.anthropic.sdk.python"
FRAMEWORK = "opentelemetry.instrumentation.langchain"


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_price_book()


def rejections(rolled_up: RolledUp) -> dict[str, tuple[str | None, str | None]]:
    """Return for each candidate why it was rejected and what was billed instead."""
    rows = rolled_up.calls.select("span_id", "rejected_as", "billed_instead").iter_rows()
    return {span_id: (reason, instead) for span_id, reason, instead in rows}


def trace(rolled_up: RolledUp, *columns: str, trace_id: str = "trace") -> dict[str, Any]:
    return rolled_up.traces.filter(trace_id=trace_id).select(columns).to_dicts()[0]


def agent(span_id: str, **columns: Any) -> dict[str, Any]:
    return {"span_id": span_id, "call_kind": "agent", **columns}


def aggregate(span_id: str, **columns: Any) -> dict[str, Any]:
    """Build an agent span that repeats the usage of what it called."""
    usage = {"candidate": True, "has_usage": True, "input_tokens": 1000, "output_tokens": 100}
    return agent(span_id, cost_status="estimated", model=None, **usage | columns)


def framework(span_id: str, **columns: Any) -> dict[str, Any]:
    """Build a call as the framework around an SDK records it."""
    return {"span_id": span_id, "cost": "0.01", "scope_name": FRAMEWORK, **columns}


def native(span_id: str, parent: str | None = None, **columns: Any) -> dict[str, Any]:
    """Build a call as the SDK itself records it."""
    return {"span_id": span_id, "parent": parent, "cost": "0.01", "scope_name": NATIVE, **columns}


SILENT: Mapping[str, Any] = {"has_usage": False, "input_tokens": None, "output_tokens": None}


def failed(span_id: str, **columns: Any) -> dict[str, Any]:
    return {"span_id": span_id, "cost": "0", "is_error": True, **SILENT, **columns}


class TestDuplicates:
    def test_spans_with_one_response_id_are_one_call_and_the_deepest_is_billed(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "outer", "cost": "0.01", "response_id": "r1"},
            {"span_id": "inner", "parent": "outer", "cost": "0.01", "response_id": "r1"},
        )

        assert rejections(roll_up(spans, book)) == {
            "outer": ("duplicate", "inner"),
            "inner": (None, None),
        }

    @pytest.mark.parametrize("around", [{"response_id": "r1"}, {"response_id": None}])
    def test_what_a_cache_answers_again_does_not_take_the_place_of_the_call_that_filled_it(
        self, book: PriceBook, around: dict[str, Any]
    ) -> None:
        gateway = {"scope_name": "litellm"}
        replayed = {"cost": "0", "cost_reason": "response_cache_hit", **gateway}
        asked = {"trace_id": "1", "cost": "0.01", "response_id": "r1", **gateway}
        spans = priced_spans(
            {"span_id": "asked", **asked},
            {"span_id": "around", "trace_id": "2", "start": 60, "cost": "0.01", **around},
            {"span_id": "hit", "trace_id": "2", "parent": "around", "start": 60, **replayed},
        )

        rolled_up = roll_up(spans, book)

        billed = rolled_up.calls.filter(pl.col("rejected_as").is_null())
        assert billed["cost_usd"].sum() == Decimal("0.01")
        assert rejections(rolled_up)["hit"] == (None, None)

    def test_the_span_with_the_better_verdict_is_billed_although_it_is_not_the_deepest(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "outer", "cost": "0.01", "response_id": "r1"},
            {
                "span_id": "inner",
                "parent": "outer",
                "cost": "0.02",
                "response_id": "r1",
                "cost_status": "upper_bound",
            },
        )

        assert rejections(roll_up(spans, book)) == {
            "outer": (None, None),
            "inner": ("duplicate", "outer"),
        }

    def test_one_response_id_in_two_traces_is_one_call_of_one_conversation(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "a", "cost": "0.01", "response_id": "r1", "conversation_id": "chat-1"},
            {
                "span_id": "b",
                "trace_id": "native",
                "scope_name": NATIVE,
                "cost": "0.01",
                "response_id": "r1",
                "cache_read_tokens": 0,
            },
        )

        rolled_up = roll_up(spans, book)

        assert rejections(rolled_up) == {"a": ("duplicate", "b"), "b": (None, None)}
        told = ("conversation_id", "conversation_id_source", "cost_usd", "spans_in_set")
        assert trace(rolled_up, *told) == {
            "conversation_id": "chat-1",
            "conversation_id_source": "span",
            "cost_usd": Decimal(0),
            "spans_in_set": 2,
        }
        assert trace(rolled_up, *told, trace_id="native") == {
            "conversation_id": "chat-1",
            "conversation_id_source": "shared_call",
            "cost_usd": Decimal("0.01"),
            "spans_in_set": 2,
        }

    def test_equal_calls_of_two_scopes_nested_in_time_are_one_without_response_ids(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "a", "start": 0, "end": 4, "cost": "0.01", "scope_name": FRAMEWORK},
            {"span_id": "b", "trace_id": "other", "start": 1, "end": 3, "cost": "0.01"},
        )

        assert rejections(roll_up(spans, book)) == {"a": ("duplicate", "b"), "b": (None, None)}

    def test_equal_calls_that_only_overlap_are_two_calls(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "a", "start": 0, "end": 2, "cost": "0.01", "scope_name": FRAMEWORK},
            {"span_id": "b", "start": 1, "end": 3, "cost": "0.01"},
        )

        assert trace(roll_up(spans, book), "cost_usd") == {"cost_usd": Decimal("0.02")}

    @pytest.mark.parametrize(
        ("lasted", "late", "cost"),
        [
            # A tenth of the call, at least 20 ms, at most half of it.
            (2, 0.2, "0.01"),
            (2, 0.21, "0.02"),
            (0.06, 0.02, "0.01"),
            (0.06, 0.021, "0.02"),
            (0.01, 0.005, "0.01"),
            (0.01, 0.006, "0.02"),
        ],
    )
    def test_who_hears_late_of_the_end_of_a_call_still_recorded_it(
        self, book: PriceBook, lasted: float, late: float, cost: str
    ) -> None:
        spans = priced_spans(
            framework("around", start=0, end=1 + lasted - late),
            native("inside", start=1, end=1 + lasted, trace_id="other"),
        )

        assert roll_up(spans, book).traces["cost_usd"].sum() == Decimal(cost)

    def test_equal_calls_of_one_scope_are_two_calls(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "a", "start": 0, "end": 4, "cost": "0.01"},
            {"span_id": "b", "start": 1, "end": 3, "cost": "0.01"},
        )

        assert trace(roll_up(spans, book), "cost_usd") == {"cost_usd": Decimal("0.02")}

    def test_a_span_around_two_equal_calls_is_not_both_of_them(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "around", "start": 0, "end": 9, "cost": "0.01", "scope_name": FRAMEWORK},
            {"span_id": "a", "trace_id": "t", "start": 1, "end": 2, "cost": "0.01"},
            {"span_id": "b", "trace_id": "t", "start": 3, "end": 4, "cost": "0.01"},
        )

        assert roll_up(spans, book).traces["cost_usd"].sum() == Decimal("0.02")

    @pytest.mark.parametrize("call_kind", ["inference", "embeddings"])
    @pytest.mark.parametrize("seconds_apart", [0, 1])
    def test_equal_calls_at_one_time_are_each_one_with_the_span_around_it(
        self, book: PriceBook, call_kind: str, seconds_apart: int
    ) -> None:
        spans = priced_spans(
            *(
                span
                for number, start in ((n, n * seconds_apart) for n in range(5))
                for span in (
                    framework(f"around-{number}", start=start, end=start + 10),
                    native(f"call-{number}", f"around-{number}", start=start + 2, end=start + 9),
                )
            )
        ).with_columns(call_kind=pl.lit(call_kind))

        rolled_up = roll_up(spans, book)

        assert rejections(rolled_up) == {
            **{f"around-{number}": ("duplicate", f"call-{number}") for number in range(5)},
            **{f"call-{number}": (None, None) for number in range(5)},
        }
        assert trace(rolled_up, "cost_usd") == {"cost_usd": Decimal("0.05")}

    def test_equal_calls_in_traces_of_their_own_lie_within_as_many_others_as_they_can(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            framework("long", start=0, end=20),
            framework("short", start=1, end=6),
            native("first", start=2, end=18, trace_id="t-1"),
            native("second", start=3, end=5, trace_id="t-2"),
            native("third", start=4, end=5, trace_id="t-3"),
        )

        rolled_up = roll_up(spans, book)

        assert rejections(rolled_up) == {
            "long": ("duplicate", "first"),
            "short": ("duplicate", "second"),
            "first": (None, None),
            "second": (None, None),
            "third": (None, None),
        }

    def test_a_scope_has_no_two_spans_in_one_call(self, book: PriceBook) -> None:
        spans = priced_spans(
            framework("a", start=0, end=9, trace_id="t-1"),
            native("b", start=1, end=8, trace_id="t-2"),
            framework("c", start=2, end=7, trace_id="t-3"),
        )

        assert roll_up(spans, book).traces["cost_usd"].sum() == Decimal("0.02")

    def test_what_stands_around_its_own_calls_is_no_record_of_an_equal_one_beside_them(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            framework("sum", start=0, end=9, input_tokens=2000),
            native("a", "sum", start=1, end=2),
            native("b", "sum", start=3, end=4),
            native("beside", start=5, end=6, input_tokens=2000, trace_id="t"),
        )

        assert rejections(roll_up(spans, book)) == {
            "sum": ("wrapper", "a"),
            "a": (None, None),
            "b": (None, None),
            "beside": (None, None),
        }

    def test_of_calls_that_cover_each_other_crosswise_one_is_billed(self, book: PriceBook) -> None:
        spans = priced_spans(
            framework("a", start=0, end=9, response_id="r-1", input_tokens=7),
            native("b", "a", start=1, end=8, response_id="r-2"),
            framework("c", start=0, end=9, response_id="r-2", trace_id="t"),
            native("d", "c", start=1, end=8, response_id="r-1", input_tokens=7, trace_id="t"),
        )

        assert rejections(roll_up(spans, book)) == {
            "a": ("wrapper", "b"),
            "b": (None, None),
            "c": ("duplicate", "b"),
            "d": ("wrapper", "b"),
        }

    def test_nested_embeddings_are_one_call_although_they_put_nothing_out(
        self, book: PriceBook
    ) -> None:
        embeddings = {"call_kind": "embeddings", "output_tokens": None, "cost": "0.01"}
        spans = priced_spans(
            {"span_id": "a", "start": 0, "end": 4, "scope_name": FRAMEWORK, **embeddings},
            {"span_id": "b", "parent": "a", "start": 1, "end": 3, **embeddings},
        )

        assert rejections(roll_up(spans, book)) == {"a": ("duplicate", "b"), "b": (None, None)}

    def test_a_span_that_repeats_the_last_of_several_calls_is_a_wrapper_and_none_of_them(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "around", "start": 0, "end": 9, "cost": "0.01", "scope_name": FRAMEWORK},
            {
                "span_id": "first",
                "parent": "around",
                "start": 1,
                "end": 2,
                "cost": "0.05",
                "input_tokens": 5000,
            },
            {"span_id": "last", "parent": "around", "start": 3, "end": 4, "cost": "0.01"},
        )

        assert rejections(roll_up(spans, book)) == {
            "around": ("wrapper", "first"),
            "first": (None, None),
            "last": (None, None),
        }

    @pytest.mark.parametrize("kind", ["inference", "embeddings"])
    @pytest.mark.parametrize("of_one_trace", [True, False])
    @pytest.mark.parametrize("later", [0, 0.1, 1.5])
    def test_equal_calls_side_by_side_are_each_one_with_its_own_record(
        self, book: PriceBook, kind: str, of_one_trace: bool, later: float
    ) -> None:
        told = {"cost": "0.01", "call_kind": kind}
        spans = priced_spans(
            *(
                {"span_id": f"outer-{n}", "start": n * later, "end": n * later + 5, **told}
                | {"scope_name": FRAMEWORK}
                for n in range(3)
            ),
            *(
                {"span_id": f"sdk-{n}", "start": n * later + 1, "end": n * later + 4, **told}
                | {"response_id": f"r{n}"}
                | ({"parent": f"outer-{n}"} if of_one_trace else {"trace_id": f"sdk-{n}"})
                for n in range(3)
            ),
        )

        rolled_up = roll_up(spans, book)

        assert rolled_up.traces["cost_usd"].sum() == Decimal("0.03")
        assert len({instead for _, instead in rejections(rolled_up).values()} - {None}) == 3

    def test_a_record_of_a_call_that_another_scope_tells_the_id_of_is_of_no_other_call(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            *(
                {"span_id": f"{scope}-{n}", "trace_id": scope, "scope_name": scope}
                | {"start": 0.1 * n + late, "end": 9 + 0.1 * n - late}
                | {"cost": "0.01", "response_id": None if scope == FRAMEWORK else f"r{n}"}
                for n in range(2)
                for scope, late in ((FRAMEWORK, 0), (NATIVE, 1), ("httpx", 0.5))
            )
        )

        assert roll_up(spans, book).traces["cost_usd"].sum() == Decimal("0.02")

    def test_two_tenants_may_have_the_same_response_id(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "a", "tenant": "acme", "cost": "0.01", "response_id": "r1"},
            {"span_id": "a", "tenant": "umbrella", "cost": "0.01", "response_id": "r1"},
        )

        assert roll_up(spans, book).traces["cost_usd"].to_list() == [Decimal("0.01")] * 2


DRAWN = "chatcmpl-BxK2mT9vQ4wZ7pR1sN8"


def billed(rolled_up: RolledUp) -> list[str]:
    return sorted(rolled_up.calls.filter("billed")["span_id"])


class TestResponseIdsThatAreOfSeveralCalls:
    @pytest.mark.parametrize("response_id", ["chatcmpl-mock", "0", "chatcmpl-mock-of-the-gateway"])
    def test_calls_of_one_emitter_at_different_times_are_several(
        self, book: PriceBook, response_id: str
    ) -> None:
        spans = priced_spans(
            *(
                {"span_id": f"s{n}", "trace_id": f"t{n % 2}", "start": n, "end": n + 0.9}
                | {"cost": "0.01", "response_id": response_id}
                for n in range(4)
            )
        )

        assert billed(roll_up(spans, book)) == ["s0", "s1", "s2", "s3"]

    @pytest.mark.parametrize(
        "response_id",
        [
            DRAWN,
            "msg_01XFDUDYJgAACzvnptvVoYEL",
            "resp_68a5f0c2e5b08191a7fbe1d2c3a4b5c6",
            "0f3c9f6e-9f0e-4ecb-8a53-2f9d1c7c1f6b",
        ],
    )
    def test_an_id_that_a_provider_has_drawn_is_one_call_whenever_it_is_seen(
        self, book: PriceBook, response_id: str
    ) -> None:
        told = {"cost": "0.01", "response_id": response_id}
        spans = priced_spans(
            {"span_id": "asked", "start": 0, "end": 2, **told},
            {"span_id": "fetched", "start": 90, "end": 91, **told},
        )

        assert len(billed(roll_up(spans, book))) == 1

    def test_calls_of_one_emitter_with_other_totals_are_several_even_at_one_time(
        self, book: PriceBook
    ) -> None:
        told = {"start": 0, "end": 9, "cost": "0.01", "response_id": DRAWN}
        spans = priced_spans(
            {"span_id": "a", **told},
            {"span_id": "b", **told, "trace_id": "other", "input_tokens": 7},
        )

        assert billed(roll_up(spans, book)) == ["a", "b"]

    def test_two_emitters_may_read_other_totals_from_one_call(self, book: PriceBook) -> None:
        told = {"start": 0, "end": 9, "cost": "0.01", "response_id": "r1"}
        spans = priced_spans(
            {"span_id": "a", **told},
            {"span_id": "b", **told, "scope_name": FRAMEWORK, "input_tokens": 7},
        )

        assert len(billed(roll_up(spans, book))) == 1

    def test_each_call_through_a_gateway_is_still_one_with_what_the_gateway_says_of_it(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            *(
                {
                    "span_id": f"{side}{n}",
                    "trace_id": f"{side}{n}",
                    "service_name": side,
                    "start": 3 * n + late,
                    "end": 3 * n + 2 - late,
                    "cost": "0.01",
                    "response_id": "chatcmpl-mock",
                    "input_tokens": 1000 + n,
                }
                for n in range(3)
                for side, late in (("client", 0), ("gateway", 0.5))
            )
        )

        rolled_up = roll_up(spans, book)

        assert rolled_up.traces["cost_usd"].sum() == Decimal("0.03")
        assert [
            span[-1] == other[-1] for span, (_, other) in rejections(rolled_up).items() if other
        ] == [True] * 3


def shown_by(traces: int, **columns: Any) -> pl.DataFrame:
    """Build two calls of two emitters in each of so many traces, all with one response id."""
    told = {"start": 0, "end": 9, "cost": "0.01", "response_id": "one-for-all"} | columns
    spans = priced_spans({"span_id": "a", **told}, {"span_id": "b", **told, "scope_name": NATIVE})
    return (
        pl.concat([spans] * traces)
        .with_columns(trace_id=pl.format("t{}", pl.int_range(pl.len()) // 2))
        .with_columns(content_hash=pl.int_range(pl.len(), dtype=pl.UInt64) * (1 << 42))
    )


class TestWornResponseIds:
    def test_an_id_ties_no_traces_any_more_when_too_many_show_it(self, book: PriceBook) -> None:
        tied, apart = (roll_up(shown_by(count), book) for count in (MOST_TRACES, MOST_TRACES + 1))

        assert tied.calls["billed"].sum() == 1
        assert tied.traces["spans_in_set"].unique().to_list() == [2 * MOST_TRACES]
        assert tied.traces["worn_response_ids"].list.len().sum() == 0
        assert apart.calls.filter("billed")["trace_id"].n_unique() == MOST_TRACES + 1
        assert apart.calls["billed"].sum() == MOST_TRACES + 1
        assert apart.traces["spans_in_set"].unique().to_list() == [2]
        assert apart.traces["worn_response_ids"].to_list() == [["one-for-all"]] * (MOST_TRACES + 1)

    def test_a_trace_alone_comes_to_the_same_when_it_is_told_what_is_worn(
        self, book: PriceBook
    ) -> None:
        every = shown_by(MOST_TRACES + 1)
        worn = pl.DataFrame({"tenant": [""], "response_id": ["one-for-all"]})

        alone = roll_up(every.filter(trace_id="t7"), book, worn)

        together = roll_up(every, book)
        assert_frame_equal(alone.calls, together.calls.filter(trace_id="t7"))
        assert_frame_equal(alone.traces, together.traces.filter(trace_id="t7"))

    def test_what_a_worn_id_held_together_is_a_later_state_of_each_of_its_traces(
        self, book: PriceBook
    ) -> None:
        version = ["own_version", "set_version"]
        tied, apart = (
            roll_up(shown_by(count, rating_revision=9, end_unix_nano=2 * 10**18), book)
            .traces.filter(trace_id="t7")
            .select(version)
            .row(0)
            for count in (MOST_TRACES, MOST_TRACES + 1)
        )

        assert apart > tied


class TestWrappersAndAggregates:
    def test_a_call_around_another_one_for_the_same_model_is_a_wrapper(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "gateway", "end": 9, "cost": "0.05", "response_id": "invented"},
            {"span_id": "mid", "parent": "gateway", "start": 1, "end": 8, "call_kind": "agent"},
            {"span_id": "sdk", "parent": "mid", "start": 2, "end": 3, "cost": "0.04"},
        )

        assert rejections(roll_up(spans, book)) == {
            "gateway": ("wrapper", "sdk"),
            "sdk": (None, None),
        }

    def test_a_call_is_no_wrapper_of_one_that_the_same_emitter_made_after_its_end(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            framework("first", end=1),
            framework("second", parent="first", start=2, end=3),
            framework("third", parent="second", start=4, end=5, has_usage=False, candidate=True),
        )

        assert rejections(roll_up(spans, book)) == {
            "first": (None, None),
            "second": (None, None),
            "third": (None, None),
        }

    def test_nested_wrappers_all_name_the_span_that_is_billed(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "a", "cost": "0.03"},
            {"span_id": "b", "parent": "a", "cost": "0.02", "input_tokens": 3},
            {"span_id": "c", "parent": "b", "cost": "0.01", "input_tokens": 4},
        )

        assert rejections(roll_up(spans, book)) == {
            "a": ("wrapper", "c"),
            "b": ("wrapper", "c"),
            "c": (None, None),
        }

    def test_a_call_for_another_model_below_a_call_is_billed_beside_it(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "a", "cost": "0.03"},
            {
                "span_id": "b",
                "parent": "a",
                "cost": "0.01",
                "model": "gpt-4o-mini",
                "priced_model": "openai/gpt-4o-mini",
            },
        )

        assert trace(roll_up(spans, book), "cost_usd") == {"cost_usd": Decimal("0.04")}

    def test_a_silent_call_inside_one_that_tells_its_usage_is_a_duplicate(
        self, book: PriceBook
    ) -> None:
        silent = {"has_usage": False, "cost_usd": None, "cost_status": "unpriced"}
        spans = priced_spans(
            {"span_id": "framework", "cost": "0.03"},
            {"span_id": "sdk", "parent": "framework", "cost": "0", **silent},
        )

        assert rejections(roll_up(spans, book)) == {
            "framework": (None, None),
            "sdk": ("duplicate", "framework"),
        }

    def test_an_agent_that_repeats_its_calls_is_an_aggregate(self, book: PriceBook) -> None:
        spans = priced_spans(
            aggregate("workflow", cost="0.09"),
            aggregate("agent", parent="workflow", cost="0.09"),
            {"span_id": "call", "parent": "agent", "cost": "0.08"},
        )

        assert rejections(roll_up(spans, book)) == {
            "workflow": ("aggregate", "call"),
            "agent": ("aggregate", "call"),
            "call": (None, None),
        }

    def test_of_aggregates_without_calls_the_innermost_are_billed(self, book: PriceBook) -> None:
        spans = priced_spans(
            aggregate("workflow", cost="0.09"),
            aggregate("agent", parent="workflow", cost="0.08"),
        )

        rolled_up = roll_up(spans, book)

        assert rejections(rolled_up) == {"workflow": ("aggregate", "agent"), "agent": (None, None)}
        assert trace(rolled_up, "cost_usd", "cost_statuses") == {
            "cost_usd": Decimal("0.08"),
            "cost_statuses": ["estimated"],
        }

    def test_one_that_is_short_of_a_call_stands_beside_those_that_tell_their_usage(
        self, book: PriceBook
    ) -> None:
        short = {"candidate": True, "uncertainty": ["calls_unreported"], **SILENT}
        told = {"span_id": "told", "parent": "stopped", "cost": "0.01"}
        untold = told | {"span_id": "untold", "call_kind": "inference", "candidate": True, **SILENT}

        without = roll_up(priced_spans(agent("stopped", cost=None, **short), told), book)
        with_it = roll_up(priced_spans(agent("stopped", cost=None, **short), told, untold), book)

        assert rejections(without) == {"stopped": (None, None), "told": (None, None)}
        assert rejections(with_it) == {
            "stopped": ("aggregate", "untold"),
            "told": (None, None),
            "untold": (None, None),
        }

    def test_embeddings_around_requests_that_tell_their_usage_are_no_request(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "outer", "call_kind": "embeddings", "candidate": True, **SILENT},
            {"span_id": "first", "parent": "outer", "call_kind": "embeddings", "cost": "0.01"},
            {"span_id": "second", "parent": "outer", "call_kind": "embeddings", "cost": "0.01"},
        )

        assert rejections(roll_up(spans, book)) == {
            "outer": ("wrapper", "first"),
            "first": (None, None),
            "second": (None, None),
        }


class TestAttempts:
    def test_failures_and_the_success_after_them_are_attempts_of_one_request(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "root"},
            failed("first", parent="root", start=0),
            failed("second", parent="root", start=2),
            {"span_id": "third", "parent": "root", "start": 4, "cost": "0.01"},
            {"span_id": "next", "parent": "root", "start": 6, "cost": "0.01"},
        )

        calls = roll_up(spans, book).calls.sort("started_at")

        assert calls.select("span_id", "attempt", "retry_of", "fallback_from", "billed").rows() == [
            ("first", 1, None, None, False),
            ("second", 2, "first", None, False),
            ("third", 3, "second", None, True),
            ("next", 1, None, None, True),
        ]

    def test_an_attempt_with_another_model_is_a_fallback(self, book: PriceBook) -> None:
        mini = {"model": "gpt-4o-mini", "priced_model": "openai/gpt-4o-mini"}
        spans = priced_spans(
            failed("first", start=0), {"span_id": "second", "start": 2, "cost": "0.01", **mini}
        )

        calls = roll_up(spans, book).calls.sort("started_at")

        assert calls["fallback_from"].to_list() == [None, "openai/gpt-4o"]

    def test_attempts_are_linked_through_the_wrappers_around_them(self, book: PriceBook) -> None:
        spans = priced_spans(
            failed("outer-1", start=0, end=3),
            failed("inner-1", parent="outer-1", start=1, end=2),
            {"span_id": "outer-2", "start": 4, "end": 7, "cost": "0.01", "response_id": "r"},
            {
                "span_id": "inner-2",
                "parent": "outer-2",
                "start": 5,
                "end": 6,
                "cost": "0.01",
                "response_id": "r",
            },
        )

        rolled_up = roll_up(spans, book)

        billed = rolled_up.calls.filter("billed").select("span_id", "attempt", "retry_of")
        assert billed.rows() == [("inner-2", 2, "inner-1")]
        assert trace(rolled_up, "calls", "failed_calls", "billed_calls", "turns") == {
            "calls": 2,
            "failed_calls": 1,
            "billed_calls": 1,
            "turns": 1,
        }

    def test_a_failed_attempt_with_usage_is_billed_and_is_waste(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "cut", "cost": "0.02", "is_error": True},
            {"span_id": "again", "start": 2, "cost": "0.03"},
        )

        assert trace(roll_up(spans, book), "cost_usd", "waste_usd", "failed_calls") == {
            "cost_usd": Decimal("0.05"),
            "waste_usd": Decimal("0.02"),
            "failed_calls": 1,
        }

    def test_an_answer_that_broke_off_without_usage_leaves_the_cost_unknown(
        self, book: PriceBook
    ) -> None:
        unknown = {"cost_status": "unpriced", "cost_usd": None, "cost_high_usd": None}
        spans = priced_spans(
            failed("refused"),
            failed("broke-off", start=2, response_id="r1", **unknown),
            {"span_id": "again", "start": 4, "cost": "0.03"},
        )

        names = ("cost_usd", "cost_high_usd", "unpriced_calls", "billed_calls", "failed_calls")
        assert trace(roll_up(spans, book), *names) == {
            "cost_usd": Decimal("0.03"),
            "cost_high_usd": None,
            "unpriced_calls": 1,
            "billed_calls": 2,
            "failed_calls": 2,
        }


class TestTurns:
    def turns(self, book: PriceBook, *spans: dict[str, Any]) -> Any:
        return trace(roll_up(priced_spans(*spans), book), "turns")["turns"]

    def test_each_outermost_agent_is_a_turn(self, book: PriceBook) -> None:
        assert (
            self.turns(
                book,
                agent("one", end=5),
                {"span_id": "a", "parent": "one", "cost": "0.01", "response_id": "1"},
                agent("inner", parent="one", start=2),
                {"span_id": "b", "parent": "inner", "cost": "0.01", "response_id": "2"},
                agent("two", start=6),
                {"span_id": "c", "parent": "two", "start": 6, "cost": "0.01", "response_id": "3"},
            )
            == 2
        )

    def test_calls_outside_of_agents_are_chained_by_their_tool_calls(self, book: PriceBook) -> None:
        asks = {"ends_in_tool_call": True}
        assert (
            self.turns(
                book,
                {"span_id": "a", "start": 0, "cost": "0.01", "response_id": "1", **asks},
                {"span_id": "b", "start": 2, "cost": "0.01", "response_id": "2", **asks},
                {"span_id": "c", "start": 4, "cost": "0.01", "response_id": "3"},
                {"span_id": "d", "start": 6, "cost": "0.01", "response_id": "4"},
            )
            == 2
        )

    def test_failed_attempts_make_no_turns(self, book: PriceBook) -> None:
        assert self.turns(book, failed("a"), failed("b", start=2)) == 0

    def test_a_trace_of_embeddings_alone_is_one_turn(self, book: PriceBook) -> None:
        embeddings = {"call_kind": "embeddings", "cost": "0.01"}
        assert (
            self.turns(
                book, {"span_id": "a", **embeddings}, {"span_id": "b", "start": 2, **embeddings}
            )
            == 1
        )

    def test_turn_ids_count_alone_where_they_are_given(self, book: PriceBook) -> None:
        spans = priced_spans(
            {"span_id": "a", "cost": "0.01", "response_id": "1", "turn_id": "t1"},
            {"span_id": "b", "start": 2, "cost": "0.01", "response_id": "2", "turn_id": "t1"},
            {"span_id": "c", "start": 4, "cost": "0.01", "response_id": "3", "turn_id": "t2"},
        )

        assert trace(roll_up(spans, book), "turns", "turn_ids") == {
            "turns": 0,
            "turn_ids": ["t1", "t2"],
        }


class TestIdentity:
    def test_the_conversation_id_nearest_the_root_wins_and_disagreement_is_counted(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "root", "conversation_id": None},
            {"span_id": "a", "parent": "root", "start": 2, "conversation_id": "late"},
            {"span_id": "b", "parent": "root", "start": 1, "conversation_id": "early"},
            {"span_id": "c", "parent": "b", "start": 0, "conversation_id": "deep"},
        )

        assert trace(roll_up(spans, book), "conversation_id", "conversation_ids") == {
            "conversation_id": "early",
            "conversation_ids": 3,
        }

    @pytest.mark.parametrize(
        ("spans", "outcome"),
        [
            ({"first": (1, 2, "escalated"), "second": (3, 4, "resolved")}, "resolved"),
            ({"root": (0, 9, "resolved"), "first": (1, 2, "escalated")}, "resolved"),
            ({"first": (1, 2, "escalated"), "second": (3, 4, None)}, "escalated"),
        ],
    )
    def test_the_outcome_is_that_of_the_span_that_ended_last(
        self, book: PriceBook, spans: dict[str, tuple[int, int, str | None]], outcome: str
    ) -> None:
        told = [
            {
                "span_id": name,
                "parent": None if name == "root" else "root",
                "start": start,
                "end": end,
                "outcome": said,
            }
            for name, (start, end, said) in ({"root": (0, 9, None)} | spans).items()
        ]

        for order in (told, told[::-1]):
            assert trace(roll_up(priced_spans(*order), book), "outcome") == {"outcome": outcome}

    def test_of_spans_that_start_together_the_content_decides_whatever_else_is_rolled_up(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            *(
                {
                    "span_id": f"s{number}",
                    "trace_id": f"trace-{trace_number:02}",
                    # Those without a parent are nearest the root: of 1, 3, 5 and 7 it is 1.
                    "parent": "s1" if number % 2 == 0 else None,
                    "user_id": f"user-{number}",
                    "content_hash": number,
                }
                for trace_number in range(99)
                for number in range(8)
            )
        )

        assert roll_up(spans, book).traces["user_id"].to_list() == ["user-1"] * 99

    def test_without_an_id_on_a_span_the_resource_decides_then_the_trace(
        self, book: PriceBook
    ) -> None:
        told = ("conversation_id", "conversation_id_source")
        by_resource = priced_spans({"span_id": "a", "resource_conversation_id": "pod-7"})
        by_trace = priced_spans({"span_id": "a"})

        assert trace(roll_up(by_resource, book), *told) == {
            "conversation_id": "pod-7",
            "conversation_id_source": "resource",
        }
        assert trace(roll_up(by_trace, book), *told) == {
            "conversation_id": "trace",
            "conversation_id_source": "trace",
        }

    def test_calls_take_the_dimensions_of_their_trace_unless_they_have_their_own(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "root", "user_id": "u-1", "feature": "chat"},
            {"span_id": "call", "parent": "root", "cost": "0.01", "feature": "summary"},
        )

        assert roll_up(spans, book).calls.select("user_id", "feature").rows() == [
            ("u-1", "summary")
        ]

    def test_each_configured_dimension_is_taken_from_the_trace_by_itself(
        self, book: PriceBook
    ) -> None:
        spans = priced_spans(
            {"span_id": "root", "dimensions": {"campaign": "spring", "region": "eu"}},
            {
                "span_id": "call",
                "parent": "root",
                "cost": "0.01",
                "dimensions": {"region": "us", "team": "blue"},
            },
        )

        rolled_up = roll_up(spans, book)

        own = {"campaign": "spring", "region": "us", "team": "blue"}
        assert rolled_up.calls["dimensions"].to_list() == [own]
        assert trace(rolled_up, "dimensions") == {"dimensions": own | {"region": "eu"}}


class TestMoney:
    def test_a_trace_without_a_price_has_no_cost_rather_than_0(self, book: PriceBook) -> None:
        spans = priced_spans(
            {
                "span_id": "a",
                "cost": "0",
                "cost_usd": None,
                "cost_high_usd": None,
                "cost_status": "unpriced",
            }
        )

        told = ("cost_usd", "cost_low_usd", "cost_high_usd", "unpriced_calls")
        assert trace(roll_up(spans, book), *told) == {
            "cost_usd": None,
            "cost_low_usd": Decimal(0),
            "cost_high_usd": None,
            "unpriced_calls": 1,
        }

    def test_a_trace_of_nothing_but_failures_cost_nothing(self, book: PriceBook) -> None:
        rolled_up = roll_up(priced_spans(failed("a")), book)

        assert trace(rolled_up, "cost_usd", "cost_high_usd") == {
            "cost_usd": Decimal(0),
            "cost_high_usd": Decimal(0),
        }


class TestAnyShape:
    def test_a_chain_of_twenty_thousand_spans_bills_the_deepest(self, book: PriceBook) -> None:
        spans = priced_spans({"span_id": "0", "cost": "0.01"})
        chain = pl.concat([spans] * 20_000).with_columns(
            span_id=pl.int_range(pl.len()).cast(pl.String),
            parent_span_id=(pl.int_range(pl.len()) - 1).cast(pl.String).replace("-1", None),
            response_id=pl.format("r{}", pl.int_range(pl.len())),
        )

        rolled_up = roll_up(chain, book)

        assert rolled_up.calls.filter("billed")["span_id"].to_list() == ["19999"]

    @pytest.mark.parametrize("cycle", [1, 2, 1000])
    def test_a_cycle_of_parents_costs_what_its_spans_cost(
        self, book: PriceBook, cycle: int
    ) -> None:
        spans = priced_spans(
            *(
                {
                    "span_id": f"s{number}",
                    "parent": f"s{(number + 1) % cycle}",
                    "cost": "0.01",
                    "response_id": f"r{number}",
                }
                for number in range(cycle)
            )
        )

        assert trace(roll_up(spans, book), "cost_usd") == {"cost_usd": Decimal("0.01") * cycle}

    def test_no_spans_come_to_nothing(self, book: PriceBook) -> None:
        rolled_up = roll_up(priced_spans(), book)

        assert (rolled_up.calls.height, rolled_up.traces.height) == (0, 0)


SPAN_IDS = [f"s{number}" for number in range(8)]

any_spans = st.lists(
    st.fixed_dictionaries(
        {
            "span_id": st.sampled_from(SPAN_IDS),
            "trace_id": st.sampled_from(["t1", "t2", "t3"]),
            "parent": st.sampled_from([None, *SPAN_IDS]),
            "start": st.integers(0, 5),
            "end": st.integers(2, 9),
            "cost": st.sampled_from([None, "0", "0.01", "0.25"]),
            "call_kind": st.sampled_from(["inference", "agent", "embeddings", None]),
            "response_id": st.sampled_from([None, "r1", "r2", DRAWN]),
            "input_tokens": st.sampled_from([1000, 7]),
            "scope_name": st.sampled_from([NATIVE, FRAMEWORK]),
            "is_error": st.booleans(),
            "has_usage": st.booleans(),
            "conversation_id": st.sampled_from([None, "c1", "c2"]),
            "turn_id": st.sampled_from([None, None, "x"]),
            "content_hash": st.integers(0, 3),
            "dimensions": st.dictionaries(
                st.sampled_from(["campaign", "region"]), st.sampled_from(["a", "b"])
            ),
        }
    ),
    max_size=14,
)


def different(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans once each: one identity and one content hash is one span."""
    return list({(s["trace_id"], s["span_id"], s["content_hash"]): s for s in spans}.values())


MOMENTS = st.integers(0, 40)


@st.composite
def records_of_calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw equal calls at any time, each told by several scopes, one within the other."""
    scopes = draw(st.sampled_from([["outer", "sdk"], ["outer", "sdk", "http"]]))
    with_id = draw(st.sets(st.sampled_from(scopes), max_size=len(scopes) - 1))
    given = {"cost": "0.01", "call_kind": draw(st.sampled_from(["inference", "embeddings"]))}
    spans = []
    for call in range(draw(st.integers(1, 5))):
        is_apart = len(scopes) == 2 and draw(st.booleans())
        start, end = draw(MOMENTS), draw(MOMENTS.map(lambda moment: moment + 60))
        for depth, scope in enumerate(scopes):
            above = f"{call} {scopes[depth - 1]}" if depth and not is_apart else None
            spans.append(
                {"span_id": f"{call} {scope}", "parent": above, "scope_name": scope}
                | {"trace_id": scope if is_apart else "trace", "start": start, "end": end}
                | {"response_id": f"r{call}" if scope in with_id else None}
                | {"content_hash": draw(st.integers(0, 9)), **given}
            )
            start, end = start + draw(st.integers(0, 3)), end - draw(st.integers(0, 3))
    return spans


class TestProperties:
    @given(spans=records_of_calls())
    def test_each_of_equal_calls_is_billed_once_however_many_scopes_tell_of_it(
        self, book: PriceBook, spans: list[dict[str, Any]]
    ) -> None:
        rolled_up = roll_up(priced_spans(*spans), book)

        assert rolled_up.calls["billed"].sum() == len({span["span_id"][0] for span in spans})

    @given(spans=any_spans)
    def test_a_configured_dimension_follows_the_same_rule_as_one_that_is_built_in(
        self, book: PriceBook, spans: list[dict[str, Any]]
    ) -> None:
        alike = [{**span, "feature": span["dimensions"].get("region")} for span in spans]

        rolled_up = roll_up(priced_spans(*alike), book)

        for rows in (rolled_up.calls, rolled_up.traces):
            extra = [row.get("region") for row in rows["dimensions"]]
            assert extra == rows["feature"].to_list()

    @given(spans=any_spans, seed=st.integers(0, 999))
    def test_order_and_repetition_of_spans_change_nothing(
        self, book: PriceBook, spans: list[dict[str, Any]], seed: int
    ) -> None:
        once = different(spans)
        again = once + once[: len(once) // 2]
        random.Random(seed).shuffle(again)

        straight, shuffled = (roll_up(priced_spans(*some), book) for some in (once, again))

        keys = ["tenant", "trace_id", "span_id"]
        assert_frame_equal(straight.calls.sort(keys), shuffled.calls.sort(keys))
        assert_frame_equal(straight.traces, shuffled.traces)

    @given(
        calls=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=8),
        is_below=st.booleans(),
    )
    def test_calls_recorded_twice_cost_what_they_cost_whatever_runs_beside_them(
        self, book: PriceBook, calls: list[tuple[int, int]], *, is_below: bool
    ) -> None:
        outer = [
            framework(f"around-{n}", start=start, end=start + seconds + 1, trace_id=f"t-{n}")
            for n, (start, seconds) in enumerate(calls)
        ]
        inner = [
            native(
                f"call-{n}",
                f"around-{n}" if is_below else None,
                start=start + 0.5,
                end=start + seconds,
                trace_id=f"t-{n}" if is_below else f"own-{n}",
            )
            for n, (start, seconds) in enumerate(calls)
        ]

        traces = roll_up(priced_spans(*outer, *inner), book).traces

        assert traces["cost_usd"].sum() == Decimal("0.01") * len(calls)

    @given(spans=any_spans)
    def test_what_a_set_comes_to_does_not_depend_on_what_is_rolled_up_beside_it(
        self, book: PriceBook, spans: list[dict[str, Any]]
    ) -> None:
        alone = priced_spans(*different(spans))
        tenants = [f"tenant-{number:02}" for number in range(30)]
        crowd = pl.concat([alone.with_columns(tenant=pl.lit(tenant)) for tenant in tenants])

        of_one, of_all = (roll_up(priced, book) for priced in (crowd[: alone.height], crowd))

        for one, others in ((of_one.calls, of_all.calls), (of_one.traces, of_all.traces)):
            expected = pl.concat([one.with_columns(tenant=pl.lit(tenant)) for tenant in tenants])
            assert_frame_equal(others, expected)

    @given(spans=any_spans)
    def test_traces_cost_what_their_billed_calls_cost_and_each_call_names_what_is_billed(
        self, book: PriceBook, spans: list[dict[str, Any]]
    ) -> None:
        rolled_up = roll_up(priced_spans(*spans), book)

        calls, traces = rolled_up.calls, rolled_up.traces
        billed = calls.filter("billed")
        assert traces["cost_usd"].sum() == billed["cost_usd"].sum()
        rejected = calls.filter(pl.col("rejected_as").is_not_null())
        unrejected = calls.filter(pl.col("rejected_as").is_null())
        named = rejected.join(
            unrejected,
            left_on=["tenant", "billed_instead_trace_id", "billed_instead"],
            right_on=["tenant", "trace_id", "span_id"],
            how="semi",
        )
        assert named.height == rejected.height
