"""Batches that are costed in parts."""

from pathlib import Path

import polars as pl
import pytest

from farebox_processor import span_parts
from farebox_processor.config import Config
from farebox_processor.otlp import Decoded, decode
from farebox_processor.pipeline import cost_spans
from farebox_processor.rules import load_rules

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "corpus").glob("*/case.pb"))


@pytest.mark.parametrize("processors", [2, 3, 7])
def test_a_batch_costs_the_same_in_parts_as_in_one_piece(
    monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    decoded = decode([path.read_bytes() for path in CORPUS], [""] * len(CORPUS))
    rules = load_rules(Config())
    whole = cost_spans(decoded, rules)

    monkeypatch.setattr(span_parts, "_SMALLEST", 16)
    monkeypatch.setattr(span_parts.os, "cpu_count", lambda: processors)
    sizes: list[int] = []

    def noted(part: Decoded) -> pl.DataFrame:
        sizes.append(part.spans.height)
        return part.spans

    assert span_parts.in_parts(decoded, noted).equals(decoded.spans)
    assert len(sizes) == processors
    in_parts = cost_spans(decoded, rules)
    assert (in_parts.equals(whole), in_parts.n_chunks()) == (True, 1)


def test_a_small_batch_is_costed_in_one_piece() -> None:
    decoded = decode([CORPUS[0].read_bytes()], [""])

    assert span_parts.in_parts(decoded, lambda part: part.spans) is decoded.spans
