"""What is attached to the calls among the spans."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.enrichment import attach
from farebox_processor.otlp import Decoded, decode
from farebox_processor.so_far import SO_FAR
from support.rows import priced_spans


def decoded_spans(*attributes: dict[str, str]) -> Decoded:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, given in enumerate(attributes, start=1):
        span = spans.add(trace_id=b"t" * 16, span_id=bytes([number]) * 8)
        for key, value in given.items():
            span.attributes.add(key=key).value.string_value = value
    return decode([request.SerializeToString()], [""])


def proposed(sent: dict[str, str], **columns: Any) -> dict[str, Any]:
    """Return what one call gets under the proposed names."""
    call = priced_spans({"span_id": "1", "cost": "0.0035", **columns})
    [row] = attach(decoded_spans(sent), call, proposed_names=True).attributes.to_dicts()
    prefix = "gen_ai.usage.cost."
    return {
        key.removeprefix(prefix): value
        for key, value in row.items()
        if key.startswith(prefix) and value is not None
    }


def test_a_call_gets_its_cost_and_what_its_conversation_cost_so_far() -> None:
    spans = priced_spans(
        {"span_id": "1"},
        {"span_id": "2", "cost": "0.0035", "input_cost_usd": Decimal("0.0025")},
    )
    so_far = pl.DataFrame(
        [(None,) * 4, (Decimal("1.50"), 3, "simple", Decimal("0.02"))], schema=SO_FAR, orient="row"
    )

    attached = attach(decoded_spans({}, {}), spans, so_far)

    assert attached.rows.to_list() == [1]
    assert attached.attributes.unpivot().drop_nulls().rows() == [
        ("farebox.cost.usd", "0.0035"),
        ("farebox.cost.input_usd", "0.0025"),
        ("farebox.cost.currency", "USD"),
        ("farebox.cost.status", "exact"),
        ("farebox.conversation.cost_usd", "1.5"),
        ("farebox.conversation.turns", "3"),
        ("farebox.conversation.tier", "simple"),
        ("farebox.conversation.tier_price_usd", "0.02"),
    ]


def test_the_proposed_names_say_who_computed_the_cost_and_in_which_currency() -> None:
    assert proposed({}) == {"amount": 0.0035, "currency": "USD", "source": "local"}


def test_who_made_a_supplied_cost_is_not_said() -> None:
    assert proposed({}, cost_status="supplied") == {"amount": 0.0035, "currency": "USD"}


@pytest.mark.parametrize("name", ["amount", "currency", "source"])
def test_a_cost_that_came_under_a_proposed_name_is_left_alone(name: str) -> None:
    assert proposed({f"gen_ai.usage.cost.{name}": "9"}) == {}


@pytest.mark.parametrize(
    "columns",
    [
        {"call_kind": "agent"},
        {"call_kind": "tool"},
        {"cost_usd": None, "cost_status": "unpriced"},
    ],
)
def test_what_is_no_inference_or_has_no_cost_gets_no_proposed_names(columns: dict) -> None:
    assert proposed({}, **columns) == {}
