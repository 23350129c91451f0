"""Shared costs: files of them, and what conversations bear, to the last digit."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_processor.allocation import allocate, spread
from farebox_processor.allocation_files import SharedCost, read_shared_costs
from farebox_processor.errors import PriceBookError
from farebox_processor.frames import DIMENSIONS, EXTRA_DIMENSIONS, MONEY, TOKENS

WORKED_CASES = Path(__file__).parents[1] / "fixtures" / "worked_cases.json"
TEN, ELEVEN = (datetime(2026, 11, 2, hour, tzinfo=UTC) for hour in (10, 11))


def shared(amount: str, by: str = "conversations", **terms: Any) -> SharedCost:
    return SharedCost("gpu", Decimal(amount), TEN, ELEVEN, by, **terms)


def used(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return what conversations used: nothing but what is said."""
    defaults = {
        "tenant": "acme",
        "model": None,
        **dict.fromkeys((*DIMENSIONS, *TOKENS)),
        "dimensions": {},
        "cost_usd": None,
    }
    schema = {
        **dict.fromkeys(("tenant", "conversation_id", "model", *DIMENSIONS), pl.String()),
        "dimensions": EXTRA_DIMENSIONS,
        **dict.fromkeys(TOKENS, pl.Int64()),
        "cost_usd": MONEY,
    }
    return pl.DataFrame([defaults | row for row in rows], schema=schema)


def borne(cost: SharedCost, *rows: dict[str, Any]) -> dict[str, str]:
    """Return what each conversation bears, by its id; "" is what nobody does."""
    allocated = allocate(cost, used(*rows))
    return dict(
        zip(
            allocated["conversation_id"],
            (f"{amount:f}" for amount in allocated["amount_usd"]),
            strict=True,
        )
    )


def tokens(conversation_id: str, output: int, **facts: Any) -> dict[str, Any]:
    return {"conversation_id": conversation_id, "output_tokens": output, **facts}


def test_a_gpu_hour_by_output_tokens_leaves_what_was_idle_to_nobody() -> None:
    [case] = [case for case in json.loads(WORKED_CASES.read_text()) if case["id"] == 52]
    cost = shared("3.50", "output_tokens", capacity=180_000)

    found = borne(cost, tokens("c-1", 1200))

    # 3.50 x 1200 / 180 000. The case multiplies by a price that was rounded to 16 digits.
    assert found == {"c-1": "0.023333333333333333", "": "3.476666666666666667"}
    assert abs(Decimal(found["c-1"]) - Decimal(case["total"])) < Decimal("1e-12")


def test_storage_of_a_cache_is_borne_by_the_conversations_that_read_it() -> None:
    [case] = [case for case in json.loads(WORKED_CASES.read_text()) if case["id"] == 53]
    gemini = {"model": "gemini-2.5-pro"}
    cost = shared(case["total"], "cache_read_tokens", where=(("model", "gemini-2.5-pro"),))

    found = borne(
        cost,
        {"conversation_id": "twice", "cache_read_tokens": 200_000, **gemini},
        {"conversation_id": "once", "cache_read_tokens": 100_000, **gemini},
        {"conversation_id": "never", "cache_read_tokens": 0, **gemini},
        {"conversation_id": "elsewhere", "cache_read_tokens": 9_000, "model": "gpt-4o"},
    )

    assert found == {
        "once": "0.450000000000000000",
        "twice": "0.900000000000000000",
        "": "0.000000000000000000",
    }


def test_the_rows_say_what_was_allocated_by_which_rule() -> None:
    allocated = allocate(shared("3", where=(("tenant", "acme"),)), used(tokens("c-1", 1)))

    said = {
        "allocation_id": "gpu",
        "period_from": TEN,
        "period_until": ELEVEN,
        "allocated_by": "conversations",
        "origin_usd": Decimal(3),
    }
    assert allocated.to_dicts() == [
        {
            **said,
            "tenant": "acme",
            "conversation_id": "c-1",
            "is_unallocated": False,
            "amount_usd": Decimal(3),
        },
        {
            **said,
            "tenant": "",
            "conversation_id": "",
            "is_unallocated": True,
            "amount_usd": Decimal(0),
        },
    ]


@pytest.mark.parametrize(
    ("by", "first", "second"),
    [
        ("conversations", "5", "5"),
        ("cost_usd", "2.5", "7.5"),
        ("total_tokens", "4", "6"),
        ("input_tokens", "10", None),
    ],
)
def test_an_amount_is_shared_by_what_the_rule_names(
    by: str, first: str, second: str | None
) -> None:
    found = borne(
        shared("10", by),
        {"conversation_id": "a", "cost_usd": Decimal("0.02"), "input_tokens": 3, "output_tokens": 1,
         "reasoning_tokens": 1},
        {"conversation_id": "b", "cost_usd": Decimal("0.06"), "output_tokens": 6},
    )  # fmt: skip

    assert Decimal(found["a"]) == Decimal(first)
    assert (Decimal(found["b"]) if "b" in found else None) == (second and Decimal(second))


def test_an_idle_share_is_borne_by_nobody() -> None:
    found = borne(shared("4", shares=((None, Decimal("0.75")),)), tokens("a", 1), tokens("b", 9))

    assert {name: Decimal(amount) for name, amount in found.items()} == {
        "a": Decimal("1.5"),
        "b": Decimal("1.5"),
        "": Decimal(1),
    }


def test_shares_of_a_dimension_are_fixed_and_what_nobody_used_of_one_is_borne_by_nobody() -> None:
    shares = (("search", Decimal("0.5")), ("chat", Decimal("0.2")), ("maps", Decimal("0.1")))
    found = borne(
        shared("10", "output_tokens", dimension="feature", shares=shares),
        tokens("a", 1, feature="search"),
        tokens("a", 1, feature="chat"),
        tokens("b", 3, feature="search"),
        tokens("c", 8, feature="other"),
    )

    # search 5 as 1 : 3, chat 2 to a; maps 1 and the missing 0.2 to nobody.
    assert {name: Decimal(amount) for name, amount in found.items()} == {
        "a": Decimal("3.25"),
        "b": Decimal("3.75"),
        "": Decimal(3),
    }


def test_above_capacity_the_whole_amount_is_borne_by_use() -> None:
    found = borne(shared("9", "output_tokens", capacity=2), tokens("a", 2), tokens("b", 1))

    assert {name: Decimal(amount) for name, amount in found.items()} == {
        "a": Decimal(6),
        "b": Decimal(3),
        "": Decimal(0),
    }


def test_without_any_use_all_of_it_is_borne_by_nobody() -> None:
    assert borne(shared("3.5", "output_tokens")) == {"": "3.500000000000000000"}


def test_conversations_of_one_id_in_two_tenants_bear_their_own() -> None:
    allocated = allocate(shared("2"), used(tokens("c", 1), tokens("c", 1, tenant="other")))

    assert allocated["tenant"].to_list() == ["acme", "other", ""]


def test_the_last_digits_go_to_those_that_lost_most_then_to_the_earlier() -> None:
    assert spread(Decimal(1), [Decimal(1)] * 3) == [
        Decimal("0.333333333333333334"),
        Decimal("0.333333333333333333"),
        Decimal("0.333333333333333333"),
    ]
    assert spread(Decimal("0.000000000000000001"), [Decimal(1), Decimal(2)]) == [
        Decimal(0),
        Decimal("0.000000000000000001"),
    ]


amounts = st.decimals(0, 10**9, places=18)
weights = st.lists(st.decimals(0, 10**12, places=9), min_size=1, max_size=30)


@given(amount=amounts, weights=weights)
def test_the_parts_of_an_amount_sum_to_it_and_miss_their_share_by_less_than_a_digit(
    amount: Decimal, weights: list[Decimal]
) -> None:
    parts = spread(amount, weights)

    total = sum(map(int_units, weights))
    assert sum(map(int_units, parts)) == (int_units(amount) if total else 0)
    for part, weight in zip(parts, weights, strict=True):
        exact = int_units(amount) * int_units(weight)
        assert abs(int_units(part) * total - exact) < (total or 1)


def int_units(amount: Decimal) -> int:
    """Return how many times the smallest amount fits."""
    sign, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    return (-1) ** sign * int("".join(map(str, digits))) * 10 ** (18 + exponent)


share = st.decimals(0, "0.3", places=4)


@st.composite
def shared_costs(draw: st.DrawFn) -> SharedCost:
    """Return a cost by any of the rules."""
    by = draw(st.sampled_from(["conversations", "cost_usd", "output_tokens", "total_tokens"]))
    amount = str(draw(amounts))
    if draw(st.booleans()):
        shares = tuple(("xyz"[place], draw(share)) for place in range(3))
        return shared(amount, by, dimension="feature", shares=shares)
    capacity = draw(st.none() | st.integers(1, 10**9))
    return shared(amount, by, shares=((None, 1 - draw(share)),), capacity=capacity)


uses = st.builds(
    dict,
    conversation_id=st.sampled_from("abc"),
    tenant=st.sampled_from(["acme", "other"]),
    feature=st.sampled_from([None, "x", "y", "z"]),
    output_tokens=st.none() | st.integers(0, 10**9),
    cost_usd=st.none() | st.decimals(0, 1000, places=12),
)


@given(cost=shared_costs(), rows=st.lists(uses, max_size=12))
def test_allocations_and_their_unallocated_rest_sum_to_the_origin_in_any_order_of_rows(
    cost: SharedCost, rows: list[dict[str, Any]]
) -> None:
    allocated = allocate(cost, used(*rows))

    assert sum(map(int_units, allocated["amount_usd"])) == int_units(cost.amount_usd)
    assert allocated["amount_usd"].min() >= 0
    assert allocated["is_unallocated"].sum() == 1
    assert allocated.equals(allocate(cost, used(*reversed(rows))))


YAML = """
allocations:
  - id: gpu-10h
    amount_usd: "3.50"
    from: 2026-11-02T10:00:00Z
    until: 2026-11-02T11:00:00Z
    by: output_tokens
    where: {service_name: vllm}
    capacity: 180000
  - {id: index, amount_usd: "90", from: 2026-11-01, until: 2026-12-01, by: conversations,
     shares: {feature: {Search: "0.6", chat: "0.3"}}}
"""
CSV = """id,amount_usd,from,until,by,service_name,tenant,unallocated_share
gpu-10h,3.50,2026-11-02T10:00,2026-11-02T11:00,output_tokens,vllm,,0.25

cache,1.35,2026-11-01,2026-12-01,cache_read_tokens,,acme,
"""


def test_shared_costs_are_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    file.write_text(YAML, encoding="utf-8")

    assert read_shared_costs(file) == [
        SharedCost(
            "gpu-10h", Decimal("3.50"), TEN, ELEVEN, "output_tokens",
            where=(("service_name", "vllm"),), capacity=180_000,
        ),
        SharedCost(
            "index", Decimal(90), datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC), "conversations", dimension="feature",
            shares=(("Search", Decimal("0.6")), ("chat", Decimal("0.3"))),
        ),
    ]  # fmt: skip


def test_an_empty_csv_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shared.csv"
    file.touch()

    with pytest.raises(PriceBookError, match=r"shared\.csv:1: the file is empty"):
        read_shared_costs(file)


def test_shared_costs_are_read_from_csv(tmp_path: Path) -> None:
    file = tmp_path / "shared.csv"
    file.write_text(CSV, encoding="utf-8")

    assert read_shared_costs(file) == [
        SharedCost(
            "gpu-10h", Decimal("3.50"), TEN, ELEVEN, "output_tokens",
            where=(("service_name", "vllm"),), shares=((None, Decimal("0.75")),),
        ),
        SharedCost(
            "cache", Decimal("1.35"), datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC), "cache_read_tokens", where=(("tenant", "acme"),),
        ),
    ]  # fmt: skip


BY_EXTRA = """
allocations:
  - {id: eu, amount_usd: "90", from: 2026-11-01, until: 2026-12-01, by: conversations,
     where: {region: eu}, shares: {campaign: {spring: "0.5"}}}
"""
CSV_BY_EXTRA = """id,amount_usd,from,until,by,region
eu,90,2026-11-01,2026-12-01,conversations,eu
"""


def test_shared_costs_may_be_allocated_by_configured_dimensions(tmp_path: Path) -> None:
    in_yaml, in_csv = tmp_path / "shared.yaml", tmp_path / "shared.csv"
    in_yaml.write_text(BY_EXTRA, encoding="utf-8")
    in_csv.write_text(CSV_BY_EXTRA, encoding="utf-8")
    of_spring = {"region": "eu", "campaign": "spring"}
    conversations = (
        tokens("a", 1, dimensions=of_spring),
        tokens("b", 1, dimensions={"region": "eu"}),
        tokens("c", 1, dimensions={"region": "us", "campaign": "spring"}),
        tokens("d", 1),
    )

    [shares], [one] = (
        read_shared_costs(file, ("region", "campaign")) for file in (in_yaml, in_csv)
    )

    assert {name: Decimal(usd) for name, usd in borne(shares, *conversations).items()} == {
        "a": Decimal(45),
        "": Decimal(45),
    }
    assert {name: Decimal(usd) for name, usd in borne(one, *conversations).items()} == {
        "a": Decimal(45),
        "b": Decimal(45),
        "": Decimal(0),
    }


def test_a_dimension_that_is_not_configured_is_unknown_to_shared_costs(tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    file.write_text(BY_EXTRA, encoding="utf-8")

    with pytest.raises(PriceBookError, match="unknown key 'region'"):
        read_shared_costs(file, ("campaign",))


def test_times_of_another_zone_are_told_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(
        "id,amount_usd,from,until,by\na,1,2026-11-01T00:30+02:00,2026-11-01T01:00Z,conversations\n"
    )

    [cost] = read_shared_costs(path)

    assert (cost.starts.isoformat(), cost.ends.isoformat()) == (
        "2026-10-31T22:30:00+00:00",
        "2026-11-01T01:00:00+00:00",
    )


ENTRY = "allocations:\n- {{id: a, amount_usd: '1', from: 2026-11-01, until: {}, by: {}}}\n"
HEADER = "id,amount_usd,from,until,by\n"


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.yaml", "costs: []\n", 1, "unknown key 'costs'"),
        ("a.yaml", ENTRY.format("2026-11-02", "size"), 2, "found 'size'; write one of conv"),
        ("a.yaml", ENTRY.format("2026-10-02", "cost_usd"), 2, "is not after 'from'"),
        ("a.yaml", ENTRY.format("soon", "cost_usd"), 2, "found 'soon'; write a date or a time"),
        ("a.yaml", ENTRY.format("9999-12-31", "cost_usd"), 2, "write a time from 1970 to 2200"),
        (
            "a.yaml",
            ENTRY.format("2026-11-02", "cost_usd, shares: {feature: {x: '0.8', y: '0.3'}}"),
            2,
            "the shares sum to 1.1; write shares that sum to 1 or less",
        ),
        (
            "a.yaml",
            ENTRY.format("2026-11-02", "cost_usd, shares: {}"),
            2,
            "found 0 dimensions; write one",
        ),
        (
            "a.yaml",
            ENTRY.format("2026-11-02", "cost_usd, capacity: 9, shares: {feature: {x: '1'}}"),
            2,
            "found capacity beside shares",
        ),
        (
            "a.yaml",
            ENTRY.format("2026-11-02", "cost_usd, unallocated_share: '2'"),
            2,
            "found 2; write a share up to 1",
        ),
        (
            "a.yaml",
            ENTRY.format("2026-11-02", "cost_usd, unallocated_share: '0.1234567890123456789'"),
            2,
            "write at most 18 digits",
        ),
        (
            "a.yaml",
            ENTRY.format(
                "2026-11-02", "cost_usd, unallocated_share: '0.1', shares: {feature: {x: '1'}}"
            ),
            2,
            "found unallocated_share beside shares",
        ),
        ("a.csv", "id,amount\n", 1, "unknown key 'amount'; did you mean 'amount_usd'?"),
        ("a.csv", HEADER + "a,1,2026-11-01,2026-11-02\n", 2, "found 4 cells; write 5"),
        ("a.csv", HEADER + "a,,2026-11-01,2026-11-02,cost_usd\n", 2, "'amount_usd' is missing"),
        (
            "a.csv",
            HEADER + "a,1,2026-11-01,2026-11-02,cost_usd\n" * 2,
            3,
            "'a' is given twice",
        ),
    ],
)
def test_a_file_with_an_error_is_refused_with_file_line_and_what_to_do(
    tmp_path: Path, name: str, text: str, *, line: int, said: str
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")

    with pytest.raises(PriceBookError) as refused:
        read_shared_costs(file)

    assert str(refused.value).startswith(f"{file}:{line}: ")
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match=r"none\.yaml: cannot be read"):
        read_shared_costs(tmp_path / "none.yaml")
