"""Reported quantities, which overlap, in; the disjoint token quantities of frames.TOKENS out.

Parts that are larger than their whole are cut down to it, and the span is marked as contradictory.
Of the input the cache reads keep their count first, then the cache writes, then audio, image and
video; of the output audio, image and video; what remains is text.
"""

from functools import lru_cache
from typing import Final

import polars as pl

from farebox_processor.dialect_model import QUANTITIES, READINGS
from farebox_processor.frames import TOKENS
from farebox_processor.usage_columns import NO_NUMBER, NO_TEXT, SHAPES, Given, Step, apply

__all__ = ["split_tokens"]

_CACHED_PARTS: Final = ("audio", "image")
_PARTS: Final = ("audio", "image", "video")
_NO_TOKENS: Final = pl.lit(0, dtype=pl.Int64)


def split_tokens(calls: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with frames.TOKENS, usage_reading, usage_rule and has_usage.

    Wants `scope_reading`, what the scope says about the input. Adds `is_contradictory`, and
    `untimed_writes`: written tokens whose time to live is not stated.
    """
    stated = frozenset(calls.columns).intersection((*QUANTITIES, "layout_reading"))
    return apply(calls, _steps(stated))


@lru_cache(maxsize=SHAPES)
def _steps(stated: frozenset[str]) -> list[Step]:
    given = Given(stated)
    return [
        _wholes(given),
        _reading(given),
        _cached(given),
        {**_split_cache(given), **_split_output(given)},
        _split_input(given),
        _verdict(given),
    ]


def _wholes(given: Given) -> Step:
    """Return the wholes that parts are taken from: input, read, written, output, reasoning."""
    is_embeddings = (pl.col("call_kind") == "embeddings").fill_null(False)
    total, whole = given.number("total"), given.number("input")
    output = given.sum("output", "thoughts", "output_beside")
    thoughts = given.number("thoughts")
    if "total" in given:
        # Google's total counts the thoughts that some emitters leave out of the output, and xAI's
        # the reasoning that it states beside it, whoever resells its models.
        unspoken = total - whole - given.number("output")
        is_theirs = (
            (pl.col("vendor") == "google")
            | (pl.col("provider") == "x_ai")
            | (unspoken == given.number("reasoning"))
        )
        is_left_out = is_theirs & (unspoken > 0) & ~is_embeddings
        unspoken = pl.when(is_left_out & thoughts.is_null()).then(unspoken)
        output = output + unspoken.fill_null(0)
        thoughts = pl.coalesce(thoughts, unspoken)
        whole = pl.coalesce(whole, pl.when(is_embeddings).then(total))
    timed = given.sum("cache_write_5m", "cache_write_1h")
    return {
        "input": whole,
        "output": output,
        "read": pl.coalesce(
            given.number("cache_read"), given.sum(*(f"cache_read_{part}" for part in _CACHED_PARTS))
        ),
        "written": pl.max_horizontal(given.number("cache_write"), timed),
        "timed_writes": timed.fill_null(0),
        "reasoning": pl.coalesce(given.number("reasoning"), thoughts),
    }


def _reading(given: Given) -> Step:
    """Return whether the input includes cached tokens, and by what that was decided.

    A marker decides, else a proof (less input than cached tokens), else what the layout or the
    scope is known for, else the convention: it does.
    """
    marker, layout, scope = (
        pl.col("marked_reading"),
        given.text("layout_reading"),
        pl.col("scope_reading"),
    )
    cached = pl.col("read").fill_null(0) + pl.col("written").fill_null(0)
    rules = {
        "marker": (marker.is_in(READINGS), marker),
        "proof": (pl.col("input") < cached, pl.lit("exclusive")),
        "layout": (layout.is_not_null(), layout),
        "scope": (scope.is_not_null(), scope),
    }
    reading, rule = pl.lit("inclusive"), pl.lit("default")
    for name, (holds, answer) in reversed(rules.items()):
        reading = pl.when(holds).then(answer).otherwise(reading)
        rule = pl.when(holds).then(pl.lit(name)).otherwise(rule)
    is_stated = pl.col("input").is_not_null() | pl.col("output").is_not_null()
    if not given.any("input", "output", "total", "thoughts"):
        return {"usage_reading": NO_TEXT, "usage_rule": NO_TEXT}
    return {
        "usage_reading": pl.when(is_stated).then(reading),
        "usage_rule": pl.when(is_stated).then(rule),
    }


def _cached(given: Given) -> Step:
    """Return what was read, written and fresh, cut down to the whole where it includes them."""
    whole, read, written = pl.col("input"), pl.col("read"), pl.col("written")
    is_inclusive = pl.col("usage_reading") == "inclusive"

    def keep(part: pl.Expr, room: pl.Expr) -> pl.Expr:
        kept = pl.min_horizontal(part.fill_null(0), room)
        return pl.when(is_inclusive).then(kept).otherwise(part.fill_null(0))

    kept_read = keep(read, whole)
    kept_written = keep(written, whole - kept_read)
    return {
        "kept_read": pl.when(read.is_not_null()).then(kept_read),
        "kept_written": pl.when(written.is_not_null()).then(kept_written),
        "fresh": pl.when(is_inclusive).then(whole - kept_read - kept_written).otherwise(whole),
    }


def _split_cache(given: Given) -> Step:
    """Return the cache columns: reads by modality, writes by time to live."""
    reads = {
        f"cache_read_{part}_tokens": _maybe(given, f"cache_read_{part}") for part in _CACHED_PARTS
    }
    columns, text = _cut(pl.col("kept_read"), reads)
    written = pl.col("kept_written")
    one_hour = pl.min_horizontal(given.number("cache_write_1h").fill_null(0), written)
    return {
        **columns,
        "cache_read_tokens": text,
        "cache_write_1h_tokens": pl.when(written.is_not_null()).then(one_hour),
        "cache_write_5m_tokens": written - one_hour,
        "untimed_writes": (written - pl.col("timed_writes")).clip(0).fill_null(0),
    }


def _split_output(given: Given) -> Step:
    parts = {f"output_{part}_tokens": _maybe(given, f"output_{part}") for part in _PARTS}
    columns, text = _cut(pl.col("output"), parts)
    return {
        **columns,
        "output_tokens": text,
        "reasoning_tokens": pl.when(pl.col("reasoning").is_not_null()).then(
            pl.min_horizontal("reasoning", "output")
        ),
    }


def _split_input(given: Given) -> Step:
    parts = {}
    for part in _PARTS:
        whole = _maybe(given, f"input_{part}")
        if whole is not None and f"cache_read_{part}" in given:
            whole = (whole - pl.col(f"cache_read_{part}_tokens").fill_null(0)).clip(0)
        parts[f"input_{part}_tokens"] = whole
    columns, text = _cut(pl.col("fresh"), parts)
    if "input_beside" in given:
        beside = pl.col("input_beside")
        text = pl.when(beside.is_null()).then(text).otherwise(text.fill_null(0) + beside)
    return columns | {"input_tokens": text}


def _verdict(given: Given) -> Step:
    """Return whether anything was used, and whether a part was stated larger than its whole."""
    read, written = pl.col("read").fill_null(0), pl.col("written").fill_null(0)
    claims = [
        (pl.col("usage_reading") == "inclusive") & (read + written > pl.col("input")),
        pl.col("reasoning") > pl.col("output"),
    ]
    for side in ("input", "output"):
        parts = [f"{side}_{part}" for part in _PARTS]
        if given.any(*parts):
            claims.append(given.sum(*parts) > pl.col(side))
    used = [pl.col(name) > 0 for name in TOKENS if _may_hold(name, given)]
    return {
        "has_usage": pl.any_horizontal(used).fill_null(False),
        "is_contradictory": pl.any_horizontal(claim.fill_null(False) for claim in claims),
    }


def _may_hold(token: str, given: Given) -> bool:
    """Return whether the batch can have some of a quantity: the rare ones only where stated."""
    stem = token.removesuffix("_tokens")
    return stem in given or not stem.endswith(_PARTS)


def _maybe(given: Given, name: str) -> pl.Expr | None:
    return pl.col(name) if name in given else None


def _cut(whole: pl.Expr, parts: dict[str, pl.Expr | None]) -> tuple[dict[str, pl.Expr], pl.Expr]:
    """Return `parts` cut down to what `whole` has left for each, and what remains of it."""
    columns, rest = {}, whole
    for name, part in parts.items():
        if part is None:
            columns[name] = NO_NUMBER
            continue
        columns[name] = pl.when(part.is_not_null()).then(pl.min_horizontal(part, rest))
        rest = rest - columns[name].fill_null(0)
    return columns, rest
