"""Calls that carry a response id in, pairs of those that are one call out.

Providers draw their ids: who shows the same one shows the same call. Doubles, gateways and small
servers give every answer one id, or one of a few. Then the calls themselves say so, see
`_occasions`.
"""

from typing import Final

import polars as pl

__all__ = ["same_response"]

_ID: Final = ["tenant", "response_id", "place"]
_EMITTER: Final = [*_ID, "service_name", "scope_name"]
_DRAWN_LETTERS: Final = 20
"""The ids of providers have 22 letters and more: see `_is_drawn`."""


def same_response(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return pairs, `left` and `right`, that connect the candidates which are one call.

    Wants `index`, trace, tenant, response_id, is_worn, service_name, scope_name, the totals and the
    times. What is worn ties calls of one trace only.
    """
    response = pl.col("response_id")
    shared = candidates.select(
        *("index", "tenant", "response_id", "service_name", "scope_name"),
        *("input_total", "output_total", "started_at", "ended_at"),
        place=pl.when("is_worn").then(pl.col("trace").cast(pl.Int64)).otherwise(-1),
    ).filter(response.is_not_null() & response.is_duplicated())
    if shared.is_empty():
        return pl.DataFrame(schema={"left": pl.Int64, "right": pl.Int64})
    # An id that no emitter shows twice says nothing against itself; nearly all are such.
    is_twice = pl.struct(_EMITTER).is_duplicated().any().over(_ID)
    once, twice = shared.filter(~is_twice), shared.filter(is_twice)
    calls = [once.select("index", *_ID, occasion=pl.lit(0, pl.UInt64)), _occasions(twice)]
    return (
        pl.concat(calls)
        .sort("index")
        .select(left=pl.col("index"), right=pl.col("index").first().over(*_ID, "occasion"))
        .filter(pl.col("left") != pl.col("right"))
        .cast(pl.Int64)
    )


def _occasions(calls: pl.DataFrame) -> pl.DataFrame:
    """Return which `occasion` of its response id each call is of: those of one are one call.

    Where one emitter reads different totals from one id, the id is of several calls: those with
    equal totals at one time are one. Where one emitter shows an id again at another time, and the
    id is none that a provider draws, those at one time are one.
    """
    totals = ("input_total", "output_total")
    # An end before its start: the time lies between them all the same.
    began = pl.min_horizontal("started_at", "ended_at")
    is_later = pl.col("began") > pl.col("over").cum_max().shift().over(_ID)
    return (
        calls.with_columns(began=began, over=pl.max_horizontal("started_at", "ended_at"))
        .sort(*_ID, "began")
        .with_columns(moment=is_later.fill_null(True).cum_sum())
        .with_columns(
            differs=pl.any_horizontal(
                (pl.col(total).min() != pl.col(total).max()).over(_EMITTER) for total in totals
            ),
            returns=(pl.col("moment").min() != pl.col("moment").max()).over(_EMITTER),
            is_drawn=_is_drawn(),
        )
        .with_columns(pl.col("differs", "returns").fill_null(False).any().over(_ID))
        .select(
            "index",
            *_ID,
            occasion=pl.when("differs")
            .then(pl.struct(pl.col(totals).fill_null(-1), "moment").hash())
            .when(pl.col("returns") & ~pl.col("is_drawn"))
            .then(pl.col("moment").cast(pl.UInt64))
            .otherwise(pl.lit(0, pl.UInt64)),
        )
    )


def _is_drawn() -> pl.Expr:
    """Return whether an id looks like one that a provider has drawn.

    Hexadecimal ids have digits enough; of 22 letters out of 62 one in fifty has but one digit, and
    all have both cases. What people make up is in one case.
    """
    response = pl.col("response_id")
    is_mixed = response.str.contains("[a-z]") & response.str.contains("[A-Z]")
    return (response.str.len_chars() >= _DRAWN_LETTERS) & (
        response.str.contains(r"^(?:\D*\d){3}") | (is_mixed & response.str.contains(r"\d"))
    )
