"""Shared by the tests of the processor."""

from collections.abc import Callable

import polars as pl
import pytest

from farebox_processor.pipeline import Rules
from farebox_processor.rollup import RolledUp
from farebox_processor.server import steady_roll_up


@pytest.fixture
def roll_up_fails_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function after which the roll up raises for sets with one of the given traces."""
    roll_up = steady_roll_up.roll_up_set

    def fail_for(*trace_ids: str) -> None:
        def mistaken(spans: pl.DataFrame, rules: Rules, worn: pl.DataFrame) -> RolledUp:
            for bad in set(trace_ids) & set(spans["trace_id"]):
                raise ValueError(f"a mistake in {bad}")
            return roll_up(spans, rules, worn)

        monkeypatch.setattr(steady_roll_up, "roll_up_set", mistaken)

    return fail_for
