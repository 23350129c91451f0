"""Price files: what is read from them, and what is refused, with file, line and what to do."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from farebox_processor.errors import PriceBookError
from farebox_processor.price_book import load_price_book
from farebox_processor.price_entries import Rate
from farebox_processor.price_files import read_price_file

ENTRY = """\
models:
  - provider: acme
    model: m-1
    source: https://acme.test/prices
    recorded: 2026-11-21
"""


def test_tokens_are_priced_per_million_and_units_each() -> None:
    file = read_price_file(
        "p.yaml",
        ENTRY + '    prices: {input_tokens: "3", image: "0.04", page: {usd: 2, per: 1000}}',
    )

    assert file.models[0].prices == {
        "input_tokens": Rate(Decimal(3), 1_000_000),
        "image": Rate(Decimal("0.04"), 1),
        "page": Rate(Decimal(2), 1_000),
    }


def test_a_threshold_is_exceeded_or_reached_as_the_provider_says() -> None:
    file = read_price_file(
        "p.yaml",
        ENTRY + '    prices: {input_tokens: {usd: "1", above: {1000: "2"}, at_least: {5000: "3"}}}',
    )

    rate = file.models[0].prices["input_tokens"]

    assert [rate.usd_for(size) for size in (1000, 1001, 4999, 5000)] == [
        Decimal(1),
        Decimal(2),
        Decimal(2),
        Decimal(3),
    ]


def test_a_file_may_declare_units_of_its_own() -> None:
    file = read_price_file("p.yaml", "units: [map_tile]\n" + ENTRY + '    prices: {map_tile: "1"}')

    assert file.models[0].prices == {"map_tile": Rate(Decimal(1), 1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ENTRY + '    prices: {outptu_tokens: "3"}',
         "p.yaml:6: models[0].prices.outptu_tokens: unknown unit 'outptu_tokens'; "
         "did you mean 'output_tokens'?"),
        (ENTRY + '    prices: {input_tokens: "-3"}',
         "p.yaml:6: models[0].prices.input_tokens: found -3; "
         "a price is a finite number, not below 0"),
        (ENTRY + "    prices: {input_tokens: 0.15}",
         "p.yaml:6: models[0].prices.input_tokens: found the float 0.15; "
         'quote it, as "0.15", so that it stays exact'),
        (ENTRY + '    prices: {input_tokens: "three"}',
         "p.yaml:6: models[0].prices.input_tokens: found 'three'; write a decimal number"),
        (ENTRY + '    prices: {input_tokens: "0.0000000000000000001"}',
         "found 0.0000000000000000001; write at most 18 digits after the point"),
        (ENTRY + '    prices: {input_tokens: {usd: "1", per: 99999999999999999999}}',
         "found '99999999999999999999'; write a whole number above 0, at most 1000000000000000"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    from: 0001-01-01',
         "p.yaml:7: models[0].from: found 0001-01-01; write a date from 1970 to 2200"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    hours: ["01:00+02:00", "04:00"]',
         "found '01:00+02:00'; write the time in UTC"),
        ("models: \x07", "p.yaml:1: control characters are not allowed; correct the YAML"),
        (ENTRY + '    prices: {input_tokens: "NaN"}', "found NaN; a price is a finite number"),
        (ENTRY + "    price: {}", "p.yaml:6: models[0].price: unknown key 'price'; "
                                  "did you mean 'prices'?"),
        (ENTRY, "p.yaml:2: models[0]: the entry says nothing; give prices"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    from: 2026-02-01\n    until: 2026-01-01',
         "p.yaml:8: models[0].until: 2026-01-01 is not after 'from' 2026-02-01"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    from: tomorrow',
         "p.yaml:7: models[0].from: found 'tomorrow'; write a date, as 2026-11-21"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    weekdays: [caturday]',
         "unknown weekday 'caturday'; known: monday"),
        (ENTRY + '    prices: {image: "1"}\n    uncertain: {low: "0.5", high: "0.9", because: x}',
         "p.yaml:7: models[0].uncertain: found low 0.5 and high 0.9; write multiples of the price"
         ' around it, as low: "0.5", high: "2"'),
        (ENTRY + '    prices: {image: "1"}\n    uncertain: {low: "0.5", high: "2"}',
         "p.yaml:7: models[0].uncertain: 'because' is missing; add it"),
        (ENTRY + '    prices: {input_tokens: "1"}\n    hours: ["01:00"]',
         'found 1 times; write two, as ["01:00", "04:00"]'),
        (ENTRY + '    prices: {input_tokens: "1", input_tokens: "2"}',
         "'input_tokens' is given twice; keep one of them"),
        (ENTRY + '    prices: {input_tokens: {usd: "1", above: {lots: "2"}}}',
         "found the key 'lots'; write a whole number of tokens above 0"),
        (ENTRY.replace("    recorded: 2026-11-21\n", ""),
         "models[0]: 'recorded' is missing; add it"),
        ("models: {}", "p.yaml:1: models: found a mapping; write a list"),
        ("models: [", "p.yaml:2: did not find expected node content; correct the YAML"),
        ("", "p.yaml:1: the file is empty; remove it or write entries into it"),
        ("aliases: {fast: gpt-4o}", "aliases.fast: found 'gpt-4o'; write provider/model"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place_and_what_to_do(content: str, message: str) -> None:
    with pytest.raises(PriceBookError) as refused:
        read_price_file("p.yaml", content)

    assert message in str(refused.value)


def dated(start: str, end: str = "") -> str:
    until = f", until: {end}" if end else ""
    return (
        f"  - {{provider: acme, model: m-1, from: {start}{until}, source: x,"
        ' recorded: 2026-11-21, prices: {input_tokens: "1"}}\n'
    )


@pytest.mark.parametrize(
    "entries",
    [
        dated("2026-01-01", "2026-07-01") + dated("2026-06-30"),
        dated("2026-01-01") + dated("2026-01-01"),
        dated("2026-06-30") + dated("2026-01-01", "2026-07-01"),
    ],
)
def test_two_entries_for_one_day_are_refused(entries: str) -> None:
    with pytest.raises(PriceBookError, match="its dates overlap with the entry on line"):
        read_price_file("p.yaml", "models:\n" + entries)


def test_a_new_price_is_a_new_entry_and_the_old_one_ends_where_it_begins() -> None:
    file = read_price_file("p.yaml", "models:\n" + dated("2026-01-01") + dated("2026-06-30"))

    assert len(file.models) == 2


def test_contracts_of_one_tenant_must_not_overlap() -> None:
    contract = (
        "  - {id: c, tenant: acme, from: 2026-01-01, until: 2027-01-01, source: x,"
        ' recorded: 2026-01-01, discount_percent: "5"}\n'
    )

    with pytest.raises(PriceBookError, match=r"p\.yaml:3: contracts\[1\]: its dates overlap"):
        read_price_file("p.yaml", "contracts:\n" + contract + contract)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"

    with pytest.raises(PriceBookError, match=r"none\.yaml: cannot be read"):
        load_price_book([missing])


def test_a_later_file_wins_and_changes_the_version(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text(ENTRY + '    prices: {input_tokens: "1", output_tokens: "5"}')
    second.write_text(ENTRY + '    prices: {input_tokens: "2"}')

    both, one = load_price_book([first, second]), load_price_book([first])

    moment = datetime(2026, 1, 1, tzinfo=UTC)
    layers = [e.prices for e in both.entries["acme", "m-1"] if e.applies(None, {}, moment)]
    assert [sorted(prices) for prices in layers] == [
        ["input_tokens", "output_tokens"],
        ["input_tokens"],
    ]
    assert both.version != one.version
    assert both.version == load_price_book([first, second]).version


def test_every_shipped_entry_cites_its_source() -> None:
    book = load_price_book()

    sources = [
        entry.origin.source
        for file in book.files
        for entry in (*file.models, *file.adjustments, *file.rules)
    ]

    assert len(sources) > 15
    assert all(source.startswith("https://") for source in sources)
