"""What spans report in, which call each of them is out: kind, provider, model, end, and terms.

Nearly all of it follows from a few words that repeat from span to span.
"""

from functools import lru_cache
from typing import Final

import polars as pl

from farebox_processor.dialect_model import NO_CALL, TEXTS, Common
from farebox_processor.folded import Folded
from farebox_processor.usage_columns import NO_TEXT, SHAPES, Given, Step, apply
from farebox_processor.usage_terms import is_replayed, terms

__all__ = ["describe_calls", "was_refused"]

_APART: Final = ("response_id", "refusal", "tool_name", "error_type", "price_rule", "tool_call")
"""Texts that are another one on every span, or that nothing follows from."""

_WORDS: Final = (*(name for name in TEXTS if name not in _APART), "kind")

_OPERATION_OF_KIND: Final = {
    "inference": "chat",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "retrieval": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
}

_TOOL_CALL: Final = r"(?i)tool[_-]?(?:call|use)|function_call"
"""tool_calls, tool_call, tool_use, tool-calls, toolUse, function_call: all in use."""

_PLAIN_END: Final = "end_turn"
"""Anthropic's word for an answer that waits for nothing, even if a server tool was used in it."""

_OPENAI_MODEL: Final = r"^(?:[a-z_.]+/)?(?:gpt-|chatgpt|o[0-9]|text-embedding-)"


def describe_calls(reported: Folded, common: Common) -> Folded:
    """Return `reported` with its words made into columns of frames.USAGE, and these for later:

    vendor (anthropic, google, openai: whose model it is), is_no_call, marked_reading,
    is_foreign_cost, is_estimated, is_streamed, is_replayed. The provider is null where the span
    names a framework: it is inferred from the model with the price.
    """
    words = [name for name in _WORDS if name in reported.columns]
    known = apply(reported, _of_words(common, frozenset(words)))
    calls = known.drop([name for name in words if name not in _KEPT])
    return apply(calls, _of_spans(frozenset(calls.columns)))


_OWN_FAULT: Final = (
    r"(?:^|\.)(?:CancelledError|GeneratorExit|KeyboardInterrupt|SystemExit|ValidationError"
    r"|JSONDecodeError|LengthFinishReasonError|ContentFilterFinishReasonError)$|^2[0-9]{2}$"
)
"""Errors of whoever asked: it gave up, or could make nothing of the answer, which had come."""


def was_refused() -> pl.Expr:
    """Return whether a call failed before anybody began to answer: who refuses charges nothing.

    Whoever shows the id of a response has heard the beginning of one, which is charged; and what
    the service itself gave up, or could not read, was not refused.
    """
    is_own = pl.col("error_type").str.contains(_OWN_FAULT).fill_null(False)
    return pl.col("is_error").fill_null(False) & pl.col("response_id").is_null() & ~is_own


_KEPT: Final = ("provider", "operation", "request_model", "response_model", "kind", "region")


@lru_cache(maxsize=SHAPES)
def _of_words(common: Common, words: frozenset[str]) -> list[Step]:
    """Return the steps for what follows from the words of a span alone."""
    given = Given(words)
    operation = given.text("operation").str.to_lowercase().replace(common.operations)
    kind = pl.when(given.text("kind") != NO_CALL).then(given.text("kind"))
    first = {
        "provider": _provider(given, common),
        "request_model": given.text("request_model"),
        "response_model": given.text("response_model"),
        "model": given.first_text("response_model", "request_model"),
        "is_no_call": (given.text("kind") == NO_CALL).fill_null(False),
        "kind": kind,
        "operation": pl.coalesce(
            operation,
            kind.replace_strict(_OPERATION_OF_KIND, default=None, return_dtype=pl.String),
        ),
        "ends_with_tool": pl.when(
            ~given.text("finish_reason").str.contains(_PLAIN_END, literal=True)
        )
        .then(given.text("finish_reason").str.contains(_TOOL_CALL))
        .when(given.text("finish_reason").is_not_null())
        .then(False),
        "ends_plainly": given.text("finish_reason").str.contains(_PLAIN_END, literal=True),
        "marked_reading": given.text("reading").str.to_lowercase(),
        "is_streamed": given.text("streaming").str.to_lowercase().is_in(["true", "1"]),
        "is_replayed": is_replayed(given),
        "is_estimated": given.text("estimated").str.to_lowercase() == "true",
    }
    return [first, {"vendor": _vendor()}, *terms(given)]


def _of_spans(columns: frozenset[str]) -> list[Step]:
    """Return the steps for what also follows from the rest of a span."""
    return _steps_of_spans(
        columns
        & {"tool_call", "error_type", "refusal", "tool_name", "response_id", "input", "output"}
    )


@lru_cache(maxsize=SHAPES)
def _steps_of_spans(columns: frozenset[str]) -> list[Step]:
    given = Given(columns)
    stated = [pl.col(name).is_not_null() for name in ("input", "output") if name in given]
    is_stating = pl.any_horizontal(stated) & ~pl.col("is_no_call") if stated else pl.lit(False)
    kind = pl.coalesce("kind", pl.when(is_stating).then(pl.lit("inference")))
    asks = pl.when(given.text("tool_call").is_not_null() & ~pl.col("ends_plainly").fill_null(False))
    step = {
        "call_kind": kind,
        "operation": pl.coalesce("operation", pl.when(is_stating).then(pl.lit("chat"))),
        "is_error": pl.col("is_failed") | given.text("error_type").is_not_null(),
        "error_type": given.text("error_type"),
        "tool_name": pl.when(kind == "tool").then(given.text("tool_name")),
        # A cache answers again with the id of the call that filled it, which is another call.
        "response_id": pl.when(
            (kind != "agent").fill_null(True)
            & ~pl.col("is_replayed")
            & given.text("refusal").is_null()
        ).then(given.text("response_id")),
        "ends_in_tool_call": asks.then(True).otherwise(pl.col("ends_with_tool")),
    }
    return [step]


def _provider(given: Given, common: Common) -> pl.Expr:
    """Return the convention's name; `openai.chat` is openai; a framework is null."""
    told = [name for name in ("provider", "request_model", "response_model") if name in given]
    if not told:
        return NO_TEXT
    # Other spans have hosts too: a client's span below that of the call.
    is_of_model = pl.any_horizontal(pl.col(name).is_not_null() for name in told)
    host = pl.when(is_of_model).then(given.text("host"))
    name = pl.coalesce(host, given.text("provider")).str.to_lowercase()
    head = name.str.extract(r"^([^.]+)")
    known = list(common.providers)

    def normal(spelling: pl.Expr) -> pl.Expr:
        return spelling.replace_strict(common.providers, default=None, return_dtype=pl.String)

    return (
        pl.when(name.is_in(known))
        .then(normal(name))
        .when(head.is_in(known))
        .then(normal(head))
        .otherwise(name)
    )


def _vendor() -> pl.Expr:
    model, provider = pl.col("model"), pl.col("provider")
    return (
        pl.when(model.str.contains("claude", literal=True) | (provider == "anthropic"))
        .then(pl.lit("anthropic"))
        .when(model.str.contains("gemini", literal=True) | provider.str.starts_with("gcp."))
        .then(pl.lit("google"))
        .when(provider.is_in(["openai", "azure.ai.openai"]) | model.str.contains(_OPENAI_MODEL))
        .then(pl.lit("openai"))
    )
