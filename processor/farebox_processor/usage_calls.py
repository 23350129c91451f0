"""What spans report in, which call each of them is out: kind, operation, provider, model, end."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from farebox_processor.dialect_model import NO_CALL, Common

__all__ = ["describe_calls"]

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


def describe_calls(reported: pl.DataFrame, common: Common) -> pl.DataFrame:
    """Return `reported` with what is known of the call under the names of frames.USAGE.

    Adds `vendor` (anthropic, google, openai: whose model it is) and `is_no_call`. The provider is
    null where the span names a framework: it is inferred from the model with the price.
    """
    is_stating = pl.any_horizontal(pl.col("input", "output").is_not_null())
    named = reported.with_columns(
        kind=pl.coalesce("kind", pl.when(is_stating).then(pl.lit("inference"))),
        provider=_normalised(reported["provider"], lambda name: _provider(name, common.providers)),
        operation=_normalised(
            reported["operation"], lambda name: common.operations.get(name, name)
        ),
        model=pl.coalesce("response_model", "request_model"),
        is_error=pl.col("is_failed") | pl.col("error_type").is_not_null(),
    )
    kind = pl.when(pl.col("kind") != NO_CALL).then(pl.col("kind"))
    return named.with_columns(
        call_kind=kind,
        is_no_call=(pl.col("kind") == NO_CALL).fill_null(False),
        operation=pl.coalesce(
            "operation",
            kind.replace_strict(_OPERATION_OF_KIND, default=None, return_dtype=pl.String),
        ),
        tool_name=pl.when(kind == "tool").then("tool_name"),
        response_id=pl.when((kind != "agent").fill_null(True)).then("response_id"),
        ends_in_tool_call=_ends_in_tool_call(),
        vendor=_vendor(),
    )


def _ends_in_tool_call() -> pl.Expr:
    """Return whether the answer asks for a tool: null where the span does not say how it ended."""
    reason = pl.col("finish_reason")
    return (
        pl.when(reason.str.contains(_PLAIN_END, literal=True))
        .then(False)
        .when(pl.col("tool_call").is_not_null())
        .then(True)
        .when(reason.is_not_null())
        .then(reason.str.contains(_TOOL_CALL))
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


def _provider(name: str, providers: Mapping[str, str | None]) -> str | None:
    """Return the convention's name of a provider; `openai.chat` is openai, a framework is None."""
    head = name.partition(".")[0]
    if name in providers:
        return providers[name]
    return providers.get(head, name)


def _normalised(names: pl.Series, normalise) -> pl.Series:
    """Return `names` in lower case and through `normalise`, called once per different name."""
    lower = names.str.to_lowercase()
    distinct = lower.drop_nulls().unique()
    if distinct.is_empty():
        return lower
    mapped = [normalise(name) for name in distinct]
    return lower.replace_strict(distinct, pl.Series(mapped, dtype=pl.String), default=None)
