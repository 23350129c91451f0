"""Whatever a price file holds: it can be priced by, or one sentence says where it is wrong."""

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings

from farebox_processor.errors import PriceBookError
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_cards import CallTerms, draw_card
from farebox_processor.price_changes import compare_prices, compare_terms
from farebox_processor.price_files import read_price_file
from farebox_processor.price_query import price_list
from farebox_processor.price_rules import rule_list
from farebox_processor.price_table import CardTable
from support.hostile_yaml import damaged, trees

DOCS = Path(__file__).parents[3] / "docs" / "prices.md"
_documented = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
assert _documented is not None
EXAMPLE = _documented[1]
ENTRY = """\
models:
  - {provider: acme, model: m-1, source: x, recorded: 2026-01-01, prices: {input_tokens: "1"}%s}
"""
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORDS = [
    *sorted(set(re.findall(r"[a-z_]{2,}", EXAMPLE))),
    "models",
    "rules",
    "contracts",
    "2026-01-01",
]


@cache
def shipped() -> PriceBook:
    return load_price_book()


def use(content: str) -> None:
    """Do everything with a file that a server and the command line do."""
    file = read_price_file("p.yaml", content)
    book = PriceBook(base=shipped().base, files=(*shipped().files, file))
    CardTable(book)
    price_list(book)
    rule_list(book, NOON)
    compare_prices(shipped(), book)
    compare_terms(shipped(), book)
    subjects = [(one.provider, one.model) for one in file.models] + [("acme", "acme-large")]
    for provider, model in subjects:
        for tenant in (None, "globex"):
            terms = CallTerms(provider, model, region="eu", tenant=tenant)
            draw_card(book, terms, NOON, 300_000, contracted=tenant is not None)


def accepts_or_names_the_place(content: str) -> None:
    refusal = ""
    try:
        use(content)
    except PriceBookError as error:
        refusal = str(error)
    assert re.fullmatch(r"(p\.yaml:\d+: .+; .+)?", refusal, re.DOTALL)


FUZZED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZED
@given(content=damaged([EXAMPLE]))
@example(content="models: \x00")
@example(content="models: \x07")
@example(content="[" * 5000)
@example(content=ENTRY % ", from: 0001-01-01")
@example(content=ENTRY % ", until: 9999-12-31")
@example(content=ENTRY % ', hours: ["16:30+01:00", "17:00"]')
@example(content=(ENTRY % "").replace('"1"', '{usd: "1", above: {999999999999999999999999: "2"}}'))
@example(content=(ENTRY % "").replace('"1"', '{usd: "1", per: ' + "9" * 5000 + "}"))
@example(content=(ENTRY % "").replace('"1"', '{usd: "1", per: 999999999999999999999999}'))
@example(content=(ENTRY % "").replace('"1"', '"1e-999999999"'))
@example(content=(ENTRY % "").replace('"1"', '"1000000000"'))
@example(content=EXAMPLE.replace('call: "0.001"', f'call: "0.001{"9" * 5000}"'))
@example(content=EXAMPLE.replace('low: "0.5"', 'low: "1e-999999999"'))
@example(content=(ENTRY % "").replace('"1"', '{usd: "1", above: {100: "2", 100: "3"}}'))
def test_a_damaged_price_file_is_usable_or_refused_with_its_place(content: str) -> None:
    accepts_or_names_the_place(content)


@FUZZED
@given(content=trees(WORDS))
def test_any_tree_of_the_words_of_price_files_is_usable_or_refused_with_its_place(
    content: str,
) -> None:
    accepts_or_names_the_place(content)
