"""Twin calls in, one call out: what only a rejected twin carries goes over to the billed one.

One instrumentation knows the service tier, another one the searches. Where their totals agree they
tell of one request, and the billed span is priced again with all that is known of it. Where a twin
says all of that by itself, its rating is that of the call: of its time, whatever book is in force.
"""

from typing import Final

import polars as pl

from farebox_processor.frames import PRICED_SPANS, SPANS, TOKENS, USAGE
from farebox_processor.price_book import PriceBook
from farebox_processor.price_files import RULE_COLUMNS
from farebox_processor.pricing import price_spans
from farebox_processor.verdicts import Uncertainty

__all__ = ["complete_winners"]

_TERMS = ("service_tier", "price_context", "region")
_UNSEEN = Uncertainty.UNITS_UNREPORTED.value
_PRICED_BY: Final = (
    *("twins", *TOKENS, *RULE_COLUMNS, *_TERMS, "units", "uncertainty", "request_model"),
    *("supplied_cost_usd", "supplied_cost_source", "is_error", "error_type"),
)
"""What two records of one call that are priced alike have in common."""
_RATING: Final = [name for name in PRICED_SPANS if name not in SPANS and name not in USAGE]


def complete_winners(
    candidates: pl.DataFrame, priced: pl.DataFrame, book: PriceBook
) -> pl.DataFrame:
    """Return the winners of groups of twins that could be completed, priced again, with `row`.

    Wants `twins` and `winner` on the candidates, whose `at` is the row in `priced`.
    """
    keys = candidates.filter(pl.col("twins").is_duplicated()).select(
        "row", "twins", "winner", "input_total", "output_total", "at"
    )
    if keys.is_empty():
        return keys.clear()
    twins = pl.concat(
        [priced.select(pl.col(*PRICED_SPANS).gather(keys["at"])), keys], how="horizontal"
    )
    changed = _completed(twins).join(
        twins.select("row", "units", "uncertainty", *_TERMS),
        on=["row", "units", "uncertainty", *_TERMS],
        how="anti",
        nulls_equal=True,
    )
    if changed.is_empty():
        return changed
    rated = price_spans(changed.select(*PRICED_SPANS), book).with_columns(changed["row"])
    return rated.update(_rated_before(changed, twins), on="row", include_nulls=True)


def _rated_before(completed: pl.DataFrame, twins: pl.DataFrame) -> pl.DataFrame:
    """Return the rating of those that a twin of theirs has told completely, by `row`."""
    ratings = (
        twins.sort("rating_revision", "row", descending=[True, False])
        .select(*_PRICED_BY, *_RATING)
        .unique(_PRICED_BY, keep="first", maintain_order=True)
    )
    return (
        completed.select("row", *_PRICED_BY)
        .join(ratings, on=_PRICED_BY, how="inner", nulls_equal=True)
        .select("row", *_RATING)
    )


def _completed(twins: pl.DataFrame) -> pl.DataFrame:
    """Return the winners with what their twins with the same totals know besides."""
    is_winner = pl.col("row") == pl.col("winner")
    agrees = [
        pl.col(total).eq_missing(pl.col(total).filter(is_winner).first().over("twins"))
        for total in ("input_total", "output_total")
    ]
    counted = pl.col("units").list.len().fill_null(0) > 0
    return (
        twins.filter(agrees)
        .sort("row")
        .with_columns(
            *(
                pl.coalesce(name, pl.col(name).drop_nulls().first().over("twins")).alias(name)
                for name in _TERMS
            ),
            units=pl.when(counted)
            .then("units")
            .otherwise(pl.coalesce(pl.col("units").filter(counted).first().over("twins"), "units")),
            unseen=pl.col("uncertainty")
            .list.contains(_UNSEEN)
            .fill_null(False)
            .any()
            .over("twins"),
        )
        .filter(is_winner)
        .with_columns(
            uncertainty=_uncertainty(counted, pl.col("unseen")),
            blind_to=pl.col("blind_to").list.set_difference(
                pl.col("units").list.eval(pl.element().struct.field("unit")).fill_null([])
            ),
        )
    )


def _uncertainty(counted: pl.Expr, unseen: pl.Expr) -> pl.Expr:
    """Take the sight of a paid tool over to the winner, unless one of the twins has counted it."""
    told = pl.col("uncertainty")
    return (
        pl.when(counted)
        .then(told.list.set_difference([_UNSEEN]))
        .when(unseen)
        .then(told.fill_null([]).list.set_union([_UNSEEN]))
        .otherwise(told)
    )
