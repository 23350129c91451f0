"""What the configuration says the chain goes by."""

import pytest

from farebox_processor.config import Config
from farebox_processor.rules import load_rules


@pytest.mark.parametrize(
    ("settings", "trusted"),
    [
        ({}, {"openrouter"}),
        ({"FAREBOX_PRICES__TRUSTED_COSTS": "operation.cost, openrouter"}, None),
        ({"FAREBOX_PRICES__TRUSTED_COSTS": "*"}, {"*"}),
    ],
)
def test_whose_supplied_costs_win_is_a_setting(
    settings: dict[str, str], trusted: set[str] | None
) -> None:
    book = load_rules(Config.load(None, settings)).book

    assert set(book.trusted) == (trusted or {"operation.cost", "openrouter"})
