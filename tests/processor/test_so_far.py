"""What conversations cost so far: of the traces that were rolled up lately, each counted once."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from farebox_processor.conversations import summarise
from farebox_processor.plans import Plans, load_plans
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.rollup import roll_up
from farebox_processor.so_far import ConversationsSoFar
from support.rows import priced_spans


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_price_book()


@pytest.fixture(scope="module")
def plans() -> Plans:
    return load_plans()


@pytest.fixture
def so_far() -> ConversationsSoFar:
    return ConversationsSoFar(max_traces=8)


def calls(trace: str, *costs: str, **columns: Any) -> pl.DataFrame:
    """Calls of 1 100 tokens, one after another, in the conversation `c`."""
    given = {"trace_id": trace, "conversation_id": "c"} | columns
    return priced_spans(
        *(
            {"span_id": f"{number}", "start": 10 * number, "cost": cost, **given}
            for number, cost in enumerate(costs)
        )
    )


def told(
    so_far: ConversationsSoFar, spans: pl.DataFrame, rows: pl.DataFrame, plans: Plans
) -> list[tuple[Any, ...]]:
    return so_far.of_spans(spans, rows, plans).rows()


def test_a_conversation_is_the_sum_of_the_traces_known_and_of_those_just_rolled_up(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    so_far.remember(roll_up(calls("a", "0.01"), book).traces)
    spans = calls("b", "0.02")

    found = told(so_far, spans, roll_up(spans, book).traces, plans)

    # 2 turns and 2 200 tokens: below 4 turns and 5 000 tokens
    assert found == [(Decimal("0.03"), 2, "simple", Decimal("0.02"))]


def test_a_trace_that_grows_is_replaced_and_not_added(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    so_far.remember(roll_up(calls("a", "0.01"), book).traces)
    grown = calls("a", "0.01", "0.02")

    before = told(so_far, grown, roll_up(grown, book).traces, plans)
    so_far.remember(roll_up(grown, book).traces)
    after = told(so_far, grown, roll_up(grown, book).traces, plans)

    assert {row[0] for row in [*before, *after]} == {Decimal("0.03")}
    assert len(so_far) == 1


def test_a_row_of_fewer_spans_takes_nothing_back(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    so_far.remember(roll_up(calls("a", "0.01", "0.02"), book).traces)
    late = calls("a", "0.01")
    so_far.remember(roll_up(late, book).traces)

    assert told(so_far, late, roll_up(late, book).traces, plans)[0][0] == Decimal("0.03")


def test_a_trace_that_changes_its_conversation_leaves_the_other(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    so_far.remember(roll_up(calls("a", "0.01"), book).traces)
    moved = calls("a", "0.01", "0.01", conversation_id="d")
    so_far.remember(roll_up(moved, book).traces)
    spans = calls("b", "0.05")

    assert told(so_far, spans, roll_up(spans, book).traces, plans)[0][0] == Decimal("0.05")


def test_spans_of_a_trace_that_was_not_looked_at_are_told_what_is_known(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    rows = roll_up(calls("a", "0.01"), book).traces
    so_far.remember(rows)

    assert told(so_far, calls("a", "7"), rows.clear(), plans)[0][0] == Decimal("0.01")
    assert told(so_far, calls("b", "7"), rows.clear(), plans) == [(None, None, None, None)]


def test_conversations_of_one_id_and_two_tenants_are_two(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    so_far.remember(roll_up(calls("a", "0.01", tenant="acme"), book).traces)
    spans = calls("b", "0.02", tenant="globex")

    assert told(so_far, spans, roll_up(spans, book).traces, plans)[0][0] == Decimal("0.02")


def test_it_is_what_the_summary_of_the_same_traces_says(book: PriceBook, plans: Plans) -> None:
    spans = pl.concat(
        [
            calls("a", *["0.01"] * 6, turn_id="1", feature="support"),
            calls("b", "0.02", "0.03", turn_id="1"),
            calls("c", "0.04"),
            calls("d", *["1"] * 9, conversation_id="other"),
        ]
    )
    traces = roll_up(spans, book).traces
    so_far = ConversationsSoFar(max_traces=8)
    so_far.remember(traces)
    columns = ["cost_usd", "turns", "tier", "tier_price_usd"]
    summary = summarise(traces, plans).select("conversation_id", *columns)

    found = so_far.of_spans(spans, traces.clear(), plans)

    by_span = spans.select("conversation_id").join(
        summary, on="conversation_id", maintain_order="left"
    )
    assert found.rows() == by_span.select(columns).rows()


def test_above_the_limit_the_longest_silent_conversations_are_forgotten_whole(
    so_far: ConversationsSoFar, book: PriceBook, plans: Plans
) -> None:
    for number in range(9):
        spans = calls(f"{number}", "1", conversation_id=f"{number % 3}")
        so_far.remember(roll_up(spans, book).traces)

    # Nine are one too many; six is three quarters of eight: conversation 0 was heard of first.
    probes = [calls("new", "1", conversation_id=f"{number}") for number in range(3)]
    costs = [told(so_far, probe, roll_up(probe, book).traces, plans)[0][0] for probe in probes]
    assert (len(so_far), costs) == (6, [Decimal(1), Decimal(4), Decimal(4)])


def test_a_conversation_larger_than_the_limit_is_forgotten_and_the_others_stay(
    so_far: ConversationsSoFar, book: PriceBook
) -> None:
    so_far.remember(roll_up(calls("small", "1", conversation_id="small"), book).traces)
    for number in range(8):
        so_far.remember(roll_up(calls(f"{number}", "1"), book).traces)

    assert len(so_far) == 1
