"""What a span leaves open, and the bounds between which the truth then lies."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farebox_processor.frames import COST_COMPONENTS
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_verdicts import STATUS_OF
from farebox_processor.pricing import price_spans
from farebox_processor.verdicts import CostStatus, Reason, Uncertainty

UsageOf: TypeAlias = Callable[..., pl.DataFrame]
GPT_4O = {"provider": "openai", "model": "gpt-4o"}  # 2.50 in, 1.25 cached, 10 out; no write price
# 3 in, 0.30 cached, 3.75 written for 5 m, 6 for 1 h, 15 out; from 200k: 6, 0.6, 7.5, 12, 22.5
SONNET = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
BEDROCK = {"provider": "aws.bedrock", "model": "claude-sonnet-4-5-20250929-v1:0"}  # 3.30 in


def judged(priced: pl.DataFrame) -> tuple[str | None, ...]:
    status, reason, *money = priced.select(
        "cost_status", "cost_reason", "cost_usd", "cost_low_usd", "cost_high_usd"
    ).row(0)
    return status, reason, *(None if one is None else f"{one.normalize():f}" for one in money)


@pytest.mark.parametrize(
    ("call", "codes", "expected"),
    [
        (GPT_4O | {"input_tokens": 1000}, ["cache_read_unreported"],
         ("upper_bound", "cache_read_unreported", "0.0025", "0.00125", "0.0025")),
        (SONNET | {"input_tokens": 1000}, ["cache_write_unreported"],
         ("estimated", "cache_write_unreported", "0.003", "0.003", "0.006")),
        (SONNET | {"cache_write_5m_tokens": 1000}, ["cache_write_ttl_unreported"],
         ("estimated", "cache_write_ttl_unreported", "0.00375", "0.00375", "0.006")),
        (SONNET | {"input_tokens": 1000}, ["cache_read_unreported", "cache_write_unreported"],
         ("estimated", "cache_write_unreported", "0.003", "0.0003", "0.006")),
        (GPT_4O | {"output_tokens": 100}, ["output_overcounted"],
         ("upper_bound", "output_overcounted", "0.001", "0.00092", "0.001")),
        (GPT_4O | {"output_tokens": 100}, ["usage_incomplete"],
         ("partial", "usage_incomplete", "0.001", "0.001", None)),
        (GPT_4O | {"output_tokens": 100}, ["reasoning_unreported"],
         ("partial", "reasoning_unreported", "0.001", "0.001", None)),
        (GPT_4O | {"output_tokens": 100}, ["calls_unreported"],
         ("partial", "calls_unreported", "0.001", "0.001", None)),
        (GPT_4O | {"output_tokens": 100}, ["units_unreported"],
         ("partial", "units_unreported", "0.001", "0.001", None)),
        (GPT_4O | {"output_tokens": 100}, ["cache_uncounted"],
         ("partial", "cache_uncounted", "0.001", "0.001", None)),
        (GPT_4O | {"output_tokens": 100}, ["usage_estimated"],
         ("estimated", "usage_estimated", "0.001", "0", None)),
        (GPT_4O | {"output_tokens": 100}, ["usage_contradictory"],
         ("estimated", "usage_contradictory", "0.001", "0", None)),
        (GPT_4O | {"output_tokens": 100}, ["usage_invalid"],
         ("unpriced", "usage_invalid", None, "0", None)),
        (GPT_4O, ["usage_missing"], ("unpriced", "usage_missing", None, "0", None)),
        (GPT_4O | {"input_tokens": 1000}, ["aggregate"],
         ("estimated", "aggregate", "0.0025", "0.0025", "0.0025")),
        # one call of 300k or several smaller ones: 3 or 6 dollars per million
        (SONNET | {"input_tokens": 300_000}, ["aggregate"],
         ("estimated", "aggregate", "1.8", "0.9", "1.8")),
        (SONNET | {"input_tokens": 100_000}, ["aggregate"],
         ("estimated", "aggregate", "0.3", "0.3", "0.6")),
        # global 3, us 3.30, us-gov 3.60 dollars per million
        (BEDROCK | {"input_tokens": 1000}, ["region_unreported"],
         ("estimated", "region_unreported", "0.0033", "0.003", "0.0036")),
        # at the global price with everything cached ... in us-gov with nothing cached
        (BEDROCK | {"input_tokens": 1000}, ["region_unreported", "cache_read_unreported"],
         ("estimated", "region_unreported", "0.0033", "0.0003", "0.0036")),
    ],
)  # fmt: skip
def test_what_is_open_decides_the_verdict_and_the_bounds(
    book: PriceBook,
    usage_of: UsageOf,
    call: dict[str, Any],
    codes: list[str],
    expected: tuple[str | None, ...],
) -> None:
    priced = price_spans(usage_of(call | {"uncertainty": codes}), book)

    assert judged(priced) == expected


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"provider": "openai", "model": "text-embedding-3-small", "input_tokens": 1000},
         "cache_read_unreported"),
        (GPT_4O | {"input_tokens": 1000}, "cache_write_unreported"),
        (GPT_4O | {"cache_write_5m_tokens": 1000}, "cache_write_ttl_unreported"),
        (GPT_4O | {"input_tokens": 1000, "output_tokens": 0}, "output_overcounted"),
        (GPT_4O | {"input_tokens": 1000}, "region_unreported"),
    ],
)  # fmt: skip
def test_what_is_open_but_costs_the_same_either_way_leaves_a_number_exact(
    usage_of: UsageOf, book: PriceBook, call: dict[str, Any], code: str
) -> None:
    if code == "region_unreported":
        call = call | {"provider": "groq", "model": "llama-3.3-70b-versatile"}

    status, reason, cost, low, high = judged(
        price_spans(usage_of(call | {"uncertainty": [code]}), book)
    )

    assert (status, reason) == ("exact", None)
    assert low == cost == high


def test_an_hour_of_cache_without_a_price_costs_at_least_what_five_minutes_do(
    usage_of: UsageOf, tmp_path: Path
) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        "models: [{provider: acme, model: m, source: x, recorded: 2026-11-21,"
        ' prices: {input_tokens: "1", cache_write_5m_tokens: "1.25"}}]'
    )
    call = {"provider": "acme", "model": "m", "input_tokens": 0, "output_tokens": None}
    usage = usage_of(
        call | {"cache_write_1h_tokens": 1000},
        call | {"cache_write_5m_tokens": 1000, "cache_write_1h_tokens": 0},
        call
        | {"cache_write_5m_tokens": 1000, "cache_write_1h_tokens": 0}
        | {"uncertainty": ["cache_write_ttl_unreported"]},
    )

    priced = price_spans(usage, load_price_book([path]))

    # $1.25 a million, or more
    assert judged(priced[0]) == ("partial", "no_price_for_unit", "0.00125", "0.00125", None)
    assert judged(priced[1]) == ("exact", None, "0.00125", "0.00125", "0.00125")
    assert judged(priced[2]) == (
        "estimated", "cache_write_ttl_unreported", "0.00125", "0.00125", None
    )  # fmt: skip


def test_the_worst_of_several_uncertainties_decides(book: PriceBook, usage_of: UsageOf) -> None:
    codes = ["output_overcounted", "cache_read_unreported", "aggregate", "calls_unreported"]
    call = GPT_4O | {"input_tokens": 1000, "output_tokens": 100}
    usage = usage_of(*(call | {"uncertainty": codes[: count + 1]} for count in range(len(codes))))

    reasons = price_spans(usage, book)["cost_reason"].to_list()

    assert reasons == [
        "output_overcounted",
        "cache_read_unreported",
        "aggregate",
        "calls_unreported",
    ]


def test_every_code_has_its_verdict() -> None:
    assert set(STATUS_OF) == set(Reason) | set(Uncertainty)


TOKENS = st.one_of(st.none(), st.integers(0, 400_000))


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(
        [GPT_4O, SONNET, BEDROCK, {"provider": "gcp.gemini", "model": "gemini-2.5-pro"}]
    ),
    tokens=st.fixed_dictionaries(
        {
            name: TOKENS
            for name in (
                "input_tokens",
                "cache_read_tokens",
                "cache_write_5m_tokens",
                "cache_write_1h_tokens",
                "output_tokens",
                "input_audio_tokens",
            )
        }
    ),
    codes=st.lists(st.sampled_from(sorted(Uncertainty)), unique=True),
)
def test_the_cost_lies_between_its_bounds_and_its_parts_sum_to_it(
    book: PriceBook,
    usage_of: UsageOf,
    model: dict[str, Any],
    tokens: dict[str, int | None],
    codes: list[str],
) -> None:
    row = price_spans(usage_of(model | tokens | {"uncertainty": codes}), book).row(0, named=True)

    cost, low, high = row["cost_usd"], row["cost_low_usd"], row["cost_high_usd"]
    if cost is None:
        assert (row["cost_status"], low, high) == (CostStatus.UNPRICED, Decimal(0), None)
    else:
        assert low <= cost
        assert high is None or cost <= high
        parts = [row[name] for name in COST_COMPONENTS]
        assert sum(parts) == row["list_cost_usd"] == cost
    if row["cost_status"] == CostStatus.EXACT:
        assert low == cost == high
