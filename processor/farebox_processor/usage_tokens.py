"""Reported quantities, which overlap, in; the disjoint token quantities of frames.TOKENS out.

Parts that are larger than their whole are cut down to it, and the span is marked as contradictory.
Of the input the cache reads keep their count first, then the cache writes, then audio, image and
video; of the output audio, image and video; what remains is text.
"""

from functools import reduce
from typing import Final

import polars as pl

from farebox_processor.frames import TOKENS
from farebox_processor.usage_sources import NO_NUMBER

__all__ = ["split_tokens"]

_INPUT_PARTS: Final = ("audio", "image", "video")
_CACHED_PARTS: Final = ("audio", "image")
_OUTPUT_PARTS: Final = ("audio", "image", "video")


def split_tokens(calls: pl.DataFrame) -> pl.DataFrame:
    """Return `calls` with frames.TOKENS, usage_reading, usage_rule and has_usage.

    Wants `scope_reading`, what the scope says about the input. Adds `is_contradictory`, and
    `untimed_writes`: written tokens whose time to live is not stated.
    """
    stated = _Stated(calls)
    calls = calls.with_columns(**_wholes(stated))
    calls = calls.with_columns(**_reading())
    calls = calls.with_columns(**_cached())
    calls = calls.with_columns(**_split_cache(stated), **_split_output(stated))
    calls = calls.with_columns(**_split_input(stated))
    return calls.with_columns(
        has_usage=pl.any_horizontal(pl.col(stated.tokens()) > 0).fill_null(False),
        is_contradictory=_is_contradictory(stated),
    )


class _Stated:
    """Which quantities a batch states: what it does not state costs no work."""

    def __init__(self, calls: pl.DataFrame) -> None:
        nulls = calls.null_count().row(0, named=True)
        self._held = frozenset(name for name, count in nulls.items() if count < calls.height)

    def any(self, *names: str) -> bool:
        return any(name in self._held for name in names)

    def column(self, name: str) -> pl.Expr:
        return pl.col(name) if name in self._held else NO_NUMBER

    def maybe(self, name: str) -> pl.Expr | None:
        return pl.col(name) if name in self._held else None

    def sum(self, *names: str) -> pl.Expr:
        """Return the sum of the stated ones, where null is 0; null where all are."""
        held = [name for name in names if name in self._held]
        if not held:
            return NO_NUMBER
        total = reduce(lambda one, other: one + other, (pl.col(name).fill_null(0) for name in held))
        return pl.when(pl.any_horizontal(pl.col(held).is_not_null())).then(total)

    def tokens(self) -> list[str]:
        """Return the disjoint quantities that may hold something."""
        cached = [f"cache_read_{part}_tokens" for part in _CACHED_PARTS]
        rare = {
            **{f"input_{part}_tokens": f"input_{part}" for part in _INPUT_PARTS},
            **{f"output_{part}_tokens": f"output_{part}" for part in _OUTPUT_PARTS},
            **dict.fromkeys(cached, "cache_read"),
        }
        return [name for name in TOKENS if name not in rare or self.any(rare[name])]


def _wholes(stated: _Stated) -> dict[str, pl.Expr]:
    """Return the wholes that parts are taken from: input, written, output."""
    is_embeddings = (pl.col("call_kind") == "embeddings").fill_null(False)
    total, given = stated.column("total"), stated.column("input")
    split = stated.sum("cache_write_5m", "cache_write_1h")
    outputs = ["output", "thoughts", "output_beside"]
    output = stated.sum(*outputs)
    if stated.any("total"):
        # Google's total counts the thoughts that some emitters leave out of the output.
        unspoken = total - given - stated.column("output")
        is_left_out = (pl.col("vendor") == "google") & (unspoken > 0) & ~is_embeddings
        if stated.any("thoughts"):
            is_left_out = is_left_out & pl.col("thoughts").is_null()
        unspoken = pl.when(is_left_out).then(unspoken).otherwise(0)
        output = output + unspoken
        given = pl.coalesce(given, pl.when(is_embeddings).then(total))
    else:
        unspoken = pl.lit(0, dtype=pl.Int64)
    thoughts = stated.column("thoughts").fill_null(0) + unspoken
    return {
        "input": given,
        "cache_read": pl.coalesce(
            stated.column("cache_read"),
            stated.sum(*(f"cache_read_{part}" for part in _CACHED_PARTS)),
        ),
        "written": pl.max_horizontal(stated.column("cache_write"), split),
        "timed_writes": split.fill_null(0),
        "output": output,
        "reasoning": pl.coalesce(stated.column("reasoning"), pl.when(thoughts > 0).then(thoughts)),
    }


def _reading() -> dict[str, pl.Expr]:
    """Return whether the input includes cached tokens, and by what that was decided."""
    marker = pl.col("reading").str.to_lowercase()
    is_marked = marker.is_in(["inclusive", "exclusive"])
    cached = pl.col("cache_read").fill_null(0) + pl.col("written").fill_null(0)
    is_proof = pl.col("input") < cached
    by_layout = pl.col("layout_reading").is_not_null()
    by_scope = pl.col("scope_reading").is_not_null()
    is_stated = pl.any_horizontal(pl.col("input", "output").is_not_null())

    def decide(*answers: pl.Expr) -> pl.Expr:
        conditions = (is_marked, is_proof, by_layout, by_scope)
        chain = answers[-1]
        for condition, answer in reversed(list(zip(conditions, answers[:-1], strict=True))):
            chain = pl.when(condition).then(answer).otherwise(chain)
        return pl.when(is_stated).then(chain)

    words = [pl.lit(word) for word in ("marker", "proof", "layout", "scope", "default")]
    return {
        "usage_reading": decide(
            marker,
            pl.lit("exclusive"),
            pl.col("layout_reading"),
            pl.col("scope_reading"),
            pl.lit("inclusive"),
        ),
        "usage_rule": decide(*words),
    }


def _cached() -> dict[str, pl.Expr]:
    """Return what was read, written and fresh, cut down to the whole where it includes them."""
    whole, read, written = pl.col("input"), pl.col("cache_read"), pl.col("written")
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


def _split_cache(stated: _Stated) -> dict[str, pl.Expr]:
    """Return the cache columns: reads by modality, writes by time to live."""
    reads = {
        f"cache_read_{part}_tokens": stated.maybe(f"cache_read_{part}") for part in _CACHED_PARTS
    }
    columns, text = _cut(pl.col("kept_read"), reads)
    written = pl.col("kept_written")
    one_hour = pl.min_horizontal(stated.column("cache_write_1h").fill_null(0), written)
    return {
        **columns,
        "cache_read_tokens": text,
        "cache_write_1h_tokens": pl.when(written.is_not_null()).then(one_hour),
        "cache_write_5m_tokens": written - one_hour,
        "untimed_writes": (written - pl.col("timed_writes")).clip(0).fill_null(0),
    }


def _split_output(stated: _Stated) -> dict[str, pl.Expr]:
    parts = {f"output_{part}_tokens": stated.maybe(f"output_{part}") for part in _OUTPUT_PARTS}
    columns, text = _cut(pl.col("output"), parts)
    return {
        **columns,
        "output_tokens": text,
        "reasoning_tokens": pl.when(pl.col("reasoning").is_not_null()).then(
            pl.min_horizontal("reasoning", "output")
        ),
    }


def _split_input(stated: _Stated) -> dict[str, pl.Expr]:
    parts = {}
    for part in _INPUT_PARTS:
        given = stated.maybe(f"input_{part}")
        if given is not None and stated.any(f"cache_read_{part}"):
            given = (given - pl.col(f"cache_read_{part}_tokens").fill_null(0)).clip(0)
        parts[f"input_{part}_tokens"] = given
    columns, text = _cut(pl.col("fresh"), parts)
    if stated.any("input_beside"):
        text = (
            pl.when(pl.col("input_beside").is_null())
            .then(text)
            .otherwise(text.fill_null(0) + pl.col("input_beside"))
        )
    return {**columns, "input_tokens": text}


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


def _is_contradictory(stated: _Stated) -> pl.Expr:
    """Return whether a part was stated that is larger than its whole."""
    claims = [
        (pl.col("usage_reading") == "inclusive")
        & (pl.col("cache_read").fill_null(0) + pl.col("written").fill_null(0) > pl.col("input")),
        pl.col("reasoning") > pl.col("output"),
    ]
    input_parts = [f"input_{part}" for part in _INPUT_PARTS]
    output_parts = [f"output_{part}" for part in _OUTPUT_PARTS]
    if stated.any(*input_parts):
        claims.append(stated.sum(*input_parts) > pl.col("input"))
    if stated.any(*output_parts):
        claims.append(stated.sum(*output_parts) > pl.col("output"))
    return pl.any_horizontal(claim.fill_null(False) for claim in claims)
