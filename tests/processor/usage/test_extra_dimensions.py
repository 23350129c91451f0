"""Configured dimensions: which attribute of a span or of its resource each is read from."""

from typing import Any

import pytest

from farebox_processor.dialects import load_dialects

from .conftest import ReadSpans, reader_of

CONFIGURED = {"region": ["app.region", "customer.region"], "campaign": []}


@pytest.fixture(scope="module")
def read_extra() -> ReadSpans:
    return reader_of(load_dialects(extra=CONFIGURED))


@pytest.mark.parametrize(
    ("attributes", "resource", "dimensions"),
    [
        ({}, {}, {}),
        ({"app.region": "eu"}, {}, {"region": "eu"}),
        ({"customer.region": "us", "app.region": "eu"}, {}, {"region": "eu"}),
        ({"app.region": "eu", "farebox.extra.region": "ap"}, {}, {"region": "ap"}),
        ({"customer.region": "us"}, {"app.region": "eu"}, {"region": "us"}),
        ({"app.region": ""}, {"app.region": "eu"}, {"region": "eu"}),
        ({}, {"app.region": "", "customer.region": "us"}, {"region": "us"}),
        ({"farebox.extra.campaign": "spring"}, {}, {"campaign": "spring"}),
        (
            {"app.region": "eu"},
            {"farebox.extra.campaign": "spring"},
            {"campaign": "spring", "region": "eu"},
        ),
        ({"app.region": 7}, {}, {"region": "7"}),
        ({"app.region": True}, {"customer.region": 8}, {"region": "true"}),
        ({"farebox.extra.other": "x", "other": "x"}, {}, {}),
    ],
)
def test_a_configured_dimension_is_the_first_of_its_attributes_on_the_span_then_on_the_resource(
    read_extra: ReadSpans,
    attributes: dict[str, Any],
    resource: dict[str, Any],
    dimensions: dict[str, str],
) -> None:
    assert read_extra(attributes, resource=resource)["dimensions"].to_list() == [dimensions]


def test_spans_of_one_request_each_have_their_own(read_extra: ReadSpans) -> None:
    usage = read_extra(
        {"app.region": "eu"}, {}, {"app.region": "us", "farebox.extra.campaign": "spring"}
    )

    assert usage["dimensions"].to_list() == [
        {"region": "eu"},
        {},
        {"campaign": "spring", "region": "us"},
    ]


def test_of_a_long_value_256_characters_are_kept(read_extra: ReadSpans) -> None:
    usage = read_extra({"app.region": "x" * 300})

    assert usage["dimensions"].to_list() == [{"region": "x" * 256}]


def test_what_is_not_configured_is_not_read(read: ReadSpans) -> None:
    usage = read({"app.region": "eu", "farebox.extra.region": "eu"})

    assert usage["dimensions"].to_list() == [{}]


def test_an_attribute_of_a_dialect_may_be_a_dimension_too() -> None:
    attributes = {"gen_ai.usage.input_tokens": 7, "user.id": "ann"}
    extra = {"size": ["gen_ai.usage.input_tokens"], "who": ["user.id"]}

    usage = reader_of(load_dialects(extra=extra))(attributes)

    assert usage.select("user_id", "input_tokens", "dimensions").rows() == [
        ("ann", 7, {"size": "7", "who": "ann"})
    ]
