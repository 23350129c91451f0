"""What holds for any spans at all."""

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from farebox_processor.config import Config
from farebox_processor.frames import ALIKE, SPANS, TERMS, TOKENS
from farebox_processor.pricing import price_spans
from farebox_processor.rules import load_rules

_counts = st.one_of(
    st.integers(-3, 5000),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["12", "12.0", "", "x", True, 2**63 - 1]),
)
_texts = st.sampled_from(
    ["", "chat", "openai", "gpt-4o", "claude-x", "gemini-3", "tool_calls", "c1"]
)

_COUNTED = [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.total_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.image.input_tokens",
    "gen_ai.usage.audio.cache_read.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    "farebox.usage.web_search",
    "llm.token_count.prompt",
    "llm.token_count.completion",
    "ai.usage.inputTokens",
    "codex.turn.token_usage.input_tokens",
]
_TOLD = [
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "openinference.span.kind",
    "ai.operationId",
    "langfuse.observation.usage_details",
    "session.id",
    "gen_ai.token.semantics",
]

_spans = st.dictionaries(st.sampled_from(_COUNTED), _counts, max_size=8).flatmap(
    lambda counts: st.dictionaries(st.sampled_from(_TOLD), _texts, max_size=5).map(
        lambda texts: counts | texts
    )
)


def _usage(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what was read, without what only says where in the batch the span stood."""
    return frame.drop([*SPANS, ALIKE], strict=False)


@settings(max_examples=20, deadline=None)
@given(spans=st.lists(_spans, min_size=1, max_size=6), order=st.randoms(use_true_random=False))
def test_a_span_is_read_alone_whatever_stands_beside_it_and_in_whatever_order(
    read: Any, spans: list[dict[str, Any]], order: Any
) -> None:
    places = list(range(len(spans)))
    order.shuffle(places)

    together = _usage(read(*spans))
    shuffled = _usage(read(*(spans[place] for place in places)))
    alone = pl.concat([_usage(read(span)) for span in spans])

    assert_frame_equal(together, alone)
    assert_frame_equal(together[places], shuffled)


def test_attributes_with_a_value_of_their_own_on_every_span_are_read_like_those_that_repeat(
    read: Any,
) -> None:
    spans = [
        {
            "gen_ai.operation.name": f"Chat{number}" if number % 3 else "chat",
            "gen_ai.provider.name": f"openai.{number}",
            "gen_ai.request.model": f"eu.anthropic.claude-{number}",
            "gen_ai.response.finish_reasons": [f"tool_calls{number}"],
            "gen_ai.usage.input_tokens": number,
            "farebox.feature": f"feature {number}",
        }
        for number in range(80)
    ]

    alone = pl.concat([_usage(read(span)) for span in spans])

    assert_frame_equal(_usage(read(*spans)), alone)


def test_words_of_which_every_span_has_its_own_combination_are_read_like_those_that_repeat(
    read: Any,
) -> None:
    spans = [
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": f"eu.anthropic.claude-{number % 48}",
            "farebox.feature": f"feature {number // 48}",
            "gen_ai.usage.input_tokens": number,
        }
        for number in range(48 * 48)
    ]

    few = pl.concat([_usage(read(*spans[start : start + 48])) for start in range(0, 48 * 48, 48)])

    assert_frame_equal(_usage(read(*spans)), few)


@settings(max_examples=20, deadline=None)
@given(spans=st.lists(_spans, min_size=1, max_size=8))
def test_spans_that_are_marked_alike_have_the_same_terms_and_so_the_same_prices(
    read: Any, spans: list[dict[str, Any]]
) -> None:
    usage = read(*spans)

    terms = usage.group_by(ALIKE).agg(pl.col(TERMS).n_unique())

    assert set(terms.drop(ALIKE).unpivot()["value"]) == {1}
    book = load_rules(Config()).book
    assert_frame_equal(price_spans(usage, book), price_spans(usage.drop(ALIKE), book))


@settings(max_examples=50, deadline=None)
@given(spans=st.lists(_spans, min_size=1, max_size=8))
def test_no_quantity_is_ever_negative(read: Any, spans: list[dict[str, Any]]) -> None:
    usage = read(*spans)

    assert usage.select(pl.col(TOKENS).min().fill_null(0) >= 0).row(0) == (True,) * len(TOKENS)


_whole = st.integers(0, 10_000)


@settings(max_examples=50, deadline=None)
@given(
    total=_whole,
    parts=st.dictionaries(
        st.sampled_from(
            [
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.cache_write.input_tokens",
                "gen_ai.usage.audio.input_tokens",
                "gen_ai.usage.image.input_tokens",
                "gen_ai.usage.audio.cache_read.input_tokens",
                "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
            ]
        ),
        _whole,
    ),
)
def test_the_disjoint_parts_of_an_inclusive_input_sum_to_it(
    read: Any, total: int, parts: dict[str, int]
) -> None:
    whole = {"gen_ai.usage.input_tokens": total, "gen_ai.usage.output_tokens": 1}

    usage = read(whole | parts | {"gen_ai.token.semantics": "inclusive"})

    inputs = [name for name in TOKENS if name.startswith(("input", "cache"))]
    assert usage.select(pl.sum_horizontal(inputs)).item() == total
