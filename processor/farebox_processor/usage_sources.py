"""Sources of a dialect in, Polars expressions over the wide frame out."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from farebox_processor.dialect_model import Source
from farebox_processor.frames import MONEY
from farebox_processor.usage_cells import Held, invalid_column, number_column

__all__ = ["is_nonsense", "money", "number", "searches", "text"]

# Keys of JSON or of a Python dict that was printed. A quote inside of a JSON text is escaped, so
# what a user or a model wrote cannot look like a key.
_KEY: Final = r"""["']{key}["']\s*:\s*"""
_DOWN: Final = r"\{(?:[^{}]|\{[^{}]*\})*?"
_NUMBER: Final = r"(-?[0-9][0-9.eE+-]*)"
# Twelve digits: anything larger is no count either, and needs no check of its own.
_COUNT: Final = r"([0-9]{1,12})(?:\.0*)?\s*(?:[,}\]]|$)"
_TEXT: Final = r"""["']([^"']+)["']"""


def searches(sources: Iterable[Source], held: Held) -> dict[str, pl.Expr]:
    """Return the columns that `number` reads, for counts that stand inside of a text.

    Each text is searched once per source, however often its count is then asked for.
    """
    return {
        _count_column(source): _searched(source)
        for source in sources
        if source.inside and _is_held(source, held)
    }


def number(sources: Iterable[Source], held: Held) -> pl.Expr | None:
    """Return the first count that `sources` find: Int64; None if the batch has none of them.

    Wants the columns of `searches`.
    """
    return _first([pl.col(_count_column(each)) for each in sources if _is_held(each, held)])


def text(sources: Iterable[Source], held: Held) -> pl.Expr | None:
    """Return the first text, not empty, that `sources` find; None if the batch has none of them."""
    return _first([_text(source) for source in sources if source.attribute in held.texts])


def money(source: Source, held: Held) -> pl.Expr | None:
    """Return the amount that `source` finds, 0 or more, as Decimal; None if the batch has none."""
    if source.attribute not in held.texts:
        return None
    column = pl.col(source.attribute)
    if source.sum is not None:
        each = pl.element().str.extract(source.sum).cast(MONEY, strict=False)
        amount = column.str.extract_all(source.sum).list.eval(each).list.sum()
    elif source.path:
        amount = column.str.extract(_pattern(source.path, _NUMBER)).cast(MONEY, strict=False)
    else:
        amount = column.cast(MONEY, strict=False)
    return pl.when(amount >= 0).then(amount)


def is_nonsense(sources: Iterable[Source], held: Held) -> pl.Expr | None:
    """Return whether an attribute of `sources` holds what is no count; None if none ever does."""
    wrong = [
        pl.col(invalid_column(source.attribute))
        for source in sources
        if not source.inside and source.attribute in held.invalid
    ]
    return pl.any_horizontal(wrong) if wrong else None


def _is_held(source: Source, held: Held) -> bool:
    return source.attribute in (held.texts if source.inside else held.numbers)


def _first(found: list[pl.Expr]) -> pl.Expr | None:
    if not found:
        return None
    return found[0] if len(found) == 1 else pl.coalesce(found)


def _count_column(source: Source) -> str:
    name = number_column(source.attribute)
    within = ".".join(source.path) or source.pattern or source.count or source.sum
    if source.distinct is not None:
        within = f"distinct {source.distinct}"
    return f"{name}#{within}" if source.inside else name


def _if_any(matches: pl.Expr) -> pl.Expr:
    return pl.when(matches > 0).then(matches.cast(pl.Int64))


def _searched(source: Source) -> pl.Expr:
    column = pl.col(source.attribute)
    if source.count is not None:
        return _if_any(column.str.count_matches(source.count))
    if source.distinct is not None:
        return _if_any(column.str.extract_all(source.distinct).list.n_unique())
    if source.sum is not None:
        each = pl.element().str.extract(source.sum).cast(pl.Int64, strict=False)
        return column.str.extract_all(source.sum).list.eval(each).list.sum()
    pattern = source.pattern or _pattern(source.path, _COUNT)
    return column.str.extract(pattern).cast(pl.Int64, strict=False)


def _text(source: Source) -> pl.Expr:
    column = pl.col(source.attribute)
    if source.value is not None:
        return pl.when(column.is_not_null()).then(pl.lit(source.value))
    if source.pattern is not None:
        return column.str.extract(source.pattern)
    if source.path:
        return column.str.extract(_pattern(source.path, _TEXT))
    return column


def _pattern(path: tuple[str, ...], value: str) -> str:
    return _DOWN.join(_KEY.format(key=key) for key in path) + value
