"""Spans as they were rated in, the same spans rated with another book and the difference out."""

from dataclasses import replace

import polars as pl

from farebox_processor.frames import MONEY, PRICED_SPANS, SUPERSEDED_RATINGS, Schema
from farebox_processor.price_book import PriceBook
from farebox_processor.pricing import price_spans
from farebox_processor.usage import CALLS

__all__ = ["DIFFERENCES", "differences", "keep_ratings", "rate_again", "superseded"]

DIFFERENCES: Schema = {
    "model": pl.String(),  # of the price book where it is known there, else as the span says
    "calls": pl.UInt64(),
    "changed": pl.UInt64(),  # how many of them have another cost, verdict or bound
    "cost_before_usd": MONEY,  # of calls with a price; null if none has one
    "cost_after_usd": MONEY,
    "priced_before": pl.UInt64(),
    "priced_after": pl.UInt64(),
}

_RATING = ["cost_usd", "cost_low_usd", "cost_high_usd", "cost_status", "cost_reason"]
_SPAN = ["tenant", "trace_id", "span_id"]


def rate_again(spans: pl.DataFrame, book: PriceBook, revision: int) -> pl.DataFrame:
    """Return what of `spans` (frames.PRICED_SPANS) may carry money, rated as `revision`."""
    # What only a rule made a call is none without it.
    own = spans.with_columns(candidate=pl.col("candidate") & _may_cost_by_itself())
    rated = price_spans(own, replace(book, revision=revision)).select(*PRICED_SPANS)
    return rated.filter(pl.col("candidate") | spans["candidate"].fill_null(False))


def keep_ratings(priced: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return `priced` with the rows of `stored` (frames.PRICED_SPANS) for spans of equal content.

    The order stays, and what `priced` has besides (`request`) too.
    """
    content = [*_SPAN, "content_hash"]
    place = priced.select(content).join(
        stored.select(content).with_row_index("place", offset=priced.height),
        on=content,
        how="left",
        maintain_order="left",
    )["place"]
    if place.null_count() == priced.height:
        return priced
    own = pl.int_range(priced.height, dtype=pl.UInt32, eager=True)
    whole = pl.concat([priced, stored.select(*PRICED_SPANS)], how="diagonal")
    besides = [name for name in priced.columns if name not in PRICED_SPANS]
    return whole[place.fill_null(own)].with_columns(priced.select(besides).get_columns())


def differences(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return DIFFERENCES of the spans in `after` per model, the greatest change of cost first."""
    was = before.select(*_SPAN, *(pl.col(name).alias(f"{name}_before") for name in _RATING))
    changed = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in _RATING
    )
    cost_before = pl.col("cost_usd_before")
    return (
        after.join(was, on=_SPAN, how="left")
        .with_columns(
            model=pl.coalesce("priced_model", "model", "tool_name", pl.lit("not named")),
            changed=changed,
        )
        .group_by("model")
        .agg(
            calls=pl.len(),
            changed=pl.col("changed").sum(),
            cost_before_usd=_known_sum(cost_before),
            cost_after_usd=_known_sum(pl.col("cost_usd")),
            priced_before=cost_before.count(),
            priced_after=pl.col("cost_usd").count(),
        )
        .sort(
            (pl.col("cost_after_usd").fill_null(0) - pl.col("cost_before_usd").fill_null(0)).abs(),
            "model",
            descending=[True, False],
        )
        .cast(dict(DIFFERENCES))  # type: ignore[arg-type]
    )


def superseded(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return frames.SUPERSEDED_RATINGS: what the spans of `after` cost before."""
    revisions = after.select(*_SPAN, superseded_by="rating_revision")
    return (
        before.filter("candidate")
        .join(revisions, on=_SPAN, how="inner")
        .filter(pl.col("rating_revision") < pl.col("superseded_by"))
        .select(*SUPERSEDED_RATINGS)
    )


def _may_cost_by_itself() -> pl.Expr:
    """Tell what may carry money whatever is priced, of spans as they are stored."""
    return pl.any_horizontal(
        pl.col("has_usage").fill_null(False),
        pl.col("call_kind").is_in(CALLS).fill_null(False),
        *(pl.col(name).is_not_null() for name in ("supplied_cost_usd", "price_rule")),
        *((pl.col(name).list.len() > 0).fill_null(False) for name in ("units", "uncertainty")),
    )


def _known_sum(amounts: pl.Expr) -> pl.Expr:
    return pl.when(amounts.count() > 0).then(amounts.sum())
