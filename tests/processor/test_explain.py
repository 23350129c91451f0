"""A conversation's bill: lines that multiply out, sums that agree, nothing hidden."""

from decimal import Decimal
from typing import Any

from farebox_processor.explain import Explanation, Line, explain
from farebox_processor.price_book import load_price_book
from farebox_processor.rollup import roll_up
from support.rows import priced_spans

SIX_USD_PER_MILLION = Decimal("0.000006")
TWO_USD_PER_MILLION = Decimal("0.000002")


def explained(*spans: dict[str, Any]) -> Explanation:
    priced = priced_spans(*spans)
    return explain(priced, roll_up(priced, load_price_book()).calls)


def lines_of(explanation: Explanation, span_id: str) -> list[Line]:
    [node] = [node for _, node in explanation.nodes() if node.span["span_id"] == span_id]
    return node.lines


def test_each_line_is_quantity_times_unit_price_and_the_lines_sum_to_the_total() -> None:
    explanation = explained(
        {
            "span_id": "a",
            "cost": "0.0126",
            "input_tokens": 3000,
            "input_tokens_price_usd": TWO_USD_PER_MILLION,
            "output_tokens": 1100,
            "output_tokens_price_usd": SIX_USD_PER_MILLION,
            "reasoning_tokens": 900,
        }
    )

    assert lines_of(explanation, "a") == [
        Line("input_tokens", Decimal(3000), TWO_USD_PER_MILLION, Decimal("0.006")),
        Line("output_tokens", Decimal(1100), SIX_USD_PER_MILLION, Decimal("0.0066")),
    ]
    assert explanation.total_usd == Decimal("0.0126")


def test_reasoning_with_a_price_of_its_own_is_a_line_and_not_part_of_the_output() -> None:
    explanation = explained(
        {
            "span_id": "a",
            "cost": "0.0044",
            "input_tokens": 0,
            "output_tokens": 1000,
            "output_tokens_price_usd": TWO_USD_PER_MILLION,
            "reasoning_tokens": 600,
            "reasoning_tokens_price_usd": SIX_USD_PER_MILLION,
        }
    )

    assert lines_of(explanation, "a") == [
        Line("output_tokens", Decimal(400), TWO_USD_PER_MILLION, Decimal("0.0008")),
        Line("reasoning_tokens", Decimal(600), SIX_USD_PER_MILLION, Decimal("0.0036")),
    ]


def test_counted_units_and_the_contract_have_lines_of_their_own() -> None:
    search = {"unit": "web_search", "quantity": Decimal(2), "price_usd": Decimal("0.01")}
    explanation = explained(
        {
            "span_id": "a",
            "cost": "0.018",
            "list_cost_usd": Decimal("0.02"),
            "input_tokens": 0,
            "output_tokens": 0,
            "units": [{"unit": "web_search", "quantity": Decimal(2)}],
            "unit_prices": [search],
            "contract": "acme-2026",
        }
    )

    assert lines_of(explanation, "a") == [
        Line("web_search", Decimal(2), Decimal("0.01"), Decimal("0.02")),
        Line("contract acme-2026", None, None, Decimal("-0.002")),
    ]


def test_a_quantity_without_a_price_is_shown_and_the_total_is_unknown() -> None:
    explanation = explained(
        {"span_id": "a", "cost": "0", "cost_usd": None, "cost_status": "unpriced"}
    )

    assert lines_of(explanation, "a")[0] == Line("input_tokens", Decimal(1000), None, None)
    assert explanation.total_usd is None


def test_every_span_of_a_cycle_is_shown_once() -> None:
    explanation = explained(
        {"span_id": "a", "parent": "c", "cost": "0.01", "response_id": "1"},
        {"span_id": "b", "parent": "a", "cost": "0.01", "response_id": "2"},
        {"span_id": "c", "parent": "b", "cost": "0.01", "response_id": "3"},
        {"span_id": "d", "parent": "lost", "cost": "0.01", "response_id": "4"},
    )

    shown = [node.span["span_id"] for _, node in explanation.nodes()]
    assert sorted(shown) == ["a", "b", "c", "d"]
    assert explanation.total_usd == Decimal("0.04")


def test_a_call_whose_span_was_retired_is_explained_all_the_same() -> None:
    price = {"input_tokens_price_usd": TWO_USD_PER_MILLION, "output_tokens": 0}
    spans = priced_spans(
        {"span_id": "a"},
        {"span_id": "b", "parent": "a", "cost": "0.002", **price},
        {"span_id": "c", "parent": "a", "cost": "0.002", **price, "start": 5},
    )
    calls = roll_up(spans, load_price_book()).calls

    explanation = explain(spans.filter(span_id="c"), calls)

    assert [node.span["span_id"] for _, node in explanation.nodes()] == ["b", "c"]
    assert sum(line.amount_usd or 0 for _, node in explanation.nodes() for line in node.lines) == (
        explanation.total_usd
    )
    assert explain(spans.clear(), calls).total_usd == Decimal("0.004")
