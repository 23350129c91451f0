"""Whatever a plan file holds: it makes tiers, or a sentence says where it is wrong."""

import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings

from farebox_processor.errors import PriceBookError
from farebox_processor.plans import load_plans
from support.hostile_yaml import damaged, trees

DOCS = Path(__file__).parents[2] / "docs" / "plans.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
PLAN = "plan: acme\ntenant: acme\ntiers: [{tier: all, price_usd: %s}]\nflat_fee_usd: 1\n"
WORDS = [*sorted(set(re.findall(r"[a-z_]{2,}", "\n".join(EXAMPLES)))), "1", "0.5", "default"]
FUZZED = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def accepts_or_names_the_place(content: str) -> None:
    refusal = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_text(content, encoding="utf-8")
        try:
            load_plans([path])
        except PriceBookError as error:
            refusal = str(error).removeprefix(folder)
    assert re.fullmatch(r"(/p\.yaml:\d+: .+; .+)?", refusal, re.DOTALL)


@FUZZED
@given(content=damaged(EXAMPLES))
@example(content="plan: \x00")
@example(content="[" * 5000)
@example(content=PLAN % '"1000000000"')
@example(content=PLAN % '"0.0000000000000000000000000001"')
@example(content=(PLAN % "1") + "included_conversations: " + "9" * 30 + "\noverage_price_usd: 1\n")
def test_a_damaged_plan_file_is_usable_or_refused_with_its_place(content: str) -> None:
    accepts_or_names_the_place(content)


@FUZZED
@given(content=trees(WORDS))
def test_any_tree_of_the_words_of_plans_is_usable_or_refused_with_its_place(content: str) -> None:
    accepts_or_names_the_place(content)
