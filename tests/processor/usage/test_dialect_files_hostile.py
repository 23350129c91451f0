"""Whatever a dialect file holds: spans are read by it, or a sentence says what is wrong with it."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from farebox_processor.dialects import load_dialects
from farebox_processor.errors import ConfigError
from farebox_processor.otlp import decode
from farebox_processor.usage import read_usage
from farebox_schemas import folder
from support.hostile_yaml import damaged, trees

# What Python and Polars will make of a pattern in some later version is no matter here.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

LITELLM = (
    (folder("dialects") / "litellm.yaml").read_text().replace("dialect: litellm", "dialect: x")
)
OWN = """\
dialect: x
emitters: [{scope: '^acme', reading: inclusive, versions: {below: '1.2'}}]
kind: [{attribute: acme.kind, values: {completion: inference}}]
layouts: [{name: acme, input: [acme.in], output: [acme.out], cache_read: ['acme.raw#cached']}]
texts: {request_model: [acme.model], tool_call: [{attribute: acme.raw, pattern: "'(tool)'"}]}
units: {page: [{attribute: acme.raw, count: 'page'}]}
"""
WORDS = sorted({*re.findall(r"[a-z_]{2,}", LITELLM + OWN), "openai_chat", "web_search"})
SPANS = (
    Path(__file__).parents[2] / "fixtures" / "corpus" / "litellm_openai_chat" / "case.pb"
).read_bytes()
FUZZED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def accepts_or_says_what_is_wrong(content: str) -> None:
    refusal = ""
    with tempfile.TemporaryDirectory() as folder_name:
        path = Path(folder_name) / "p.yaml"
        path.write_text(content, encoding="utf-8")
        try:
            dialects = load_dialects([path])
            read_usage(decode([SPANS], [""]), dialects)
        except ConfigError as error:
            refusal = str(error).removeprefix(folder_name)
    assert re.fullmatch(r"(/p\.yaml: .+)?", refusal, re.DOTALL)


@FUZZED
@given(content=damaged([LITELLM, OWN]))
@example(content=OWN + "about: 2026-13-45\n")
@example(content=OWN + "about: !!binary x\n")
@example(content=OWN + "about: " + "9" * 5000 + "\n")
@example(content=OWN + "about: !!int x\n")
@example(content=OWN + "marks: [\x00]\n")
@example(content="[" * 5000)
@example(content=OWN.replace("count: 'page'", "count: 'a{9999999999}'"))
@example(content=OWN.replace("below: '1.2'", f"below: '{'9' * 5000}'"))
@example(content=OWN + "marks: &a [*a]\n")
@example(content=OWN + "? [a, b]\n: c\n")
def test_a_damaged_dialect_file_is_usable_or_refused_by_name(content: str) -> None:
    accepts_or_says_what_is_wrong(content)


@FUZZED
@given(content=trees(WORDS))
def test_any_tree_of_the_words_of_dialects_is_usable_or_refused_by_name(content: str) -> None:
    accepts_or_says_what_is_wrong(content)
