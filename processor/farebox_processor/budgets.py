"""Budgets and what was spent in, how each stands out. A budget warns; it never refuses data."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from farebox_processor.frames import MONEY

__all__ = ["month_and_day", "stand_of_budgets"]

_SUBJECT: Final = ["tenant", "feature", "scope", "value", "period"]
_SECONDS_PER_HOUR: Final = 3600


def month_and_day(at: datetime) -> tuple[datetime, datetime]:
    """Return when the month and the day of `at`, which is in UTC, began."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1), day


def stand_of_budgets(budgets: pl.DataFrame, spent: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Return how each budget stands that somebody spends against, the fullest first.

    `budgets` are frames.BUDGETS, `spent` is what store.queries.spent_since says of month and day of
    `at`. A budget for one tenant or value takes the place of one for each. Columns: plan, tenant
    and value that spend, feature of the plan, scope, period, amount_usd, spent_usd, spent_share,
    usd_per_hour so far, forecast_usd for the end of the period at that pace, unpriced_calls (not in
    spent_usd), warned_at (the highest share that is reached), state (ok | warned | exceeded) and
    forecast_exceeds.
    """
    numbered = budgets.with_row_index("budget").rename({"tenant": "of_tenant", "value": "of_value"})
    is_day = pl.col("period") == "day"
    return (
        _spenders(numbered, spent)
        .group_by("budget", "tenant", "value")
        .agg(pl.col("day_usd", "month_usd", "day_unpriced", "month_unpriced").sum())
        .join(numbered, on="budget")
        # Made most closely for whoever spends: for the tenant, then for the value.
        .sort(pl.col("of_tenant") == "", pl.col("of_value") == "", "budget")
        .unique(_SUBJECT, keep="first", maintain_order=True)
        .with_columns(
            _clock(at),
            spent_usd=pl.when(is_day).then("day_usd").otherwise("month_usd"),
            unpriced_calls=pl.when(is_day).then("day_unpriced").otherwise("month_unpriced"),
        )
        .with_columns(_pace())
        .pipe(_add_warnings)
        .with_columns(_state())
        .sort("spent_share", *_SUBJECT, descending=[True, *[False] * 5], nulls_last=True)
        .select(
            "plan",
            *_SUBJECT,
            "amount_usd",
            "spent_usd",
            "spent_share",
            "usd_per_hour",
            "forecast_usd",
            "unpriced_calls",
            "warned_at",
            "state",
            "forecast_exceeds",
        )
    )


def _spenders(budgets: pl.DataFrame, spent: pl.DataFrame) -> pl.DataFrame:
    """Pair each budget with the spending that counts against it; `value` is who spends."""
    whose = {"tenant": pl.lit(""), "user": pl.col("user_id"), "feature": pl.col("feature")}
    return (
        budgets.select("budget", "of_tenant", "scope", "of_value", of_feature="feature")
        .join(spent, how="cross")
        .with_columns(
            value=pl.coalesce(pl.when(scope=name).then(who) for name, who in whose.items())
        )
        .filter(
            (pl.col("of_tenant") == "") | (pl.col("of_tenant") == pl.col("tenant")),
            (pl.col("of_feature") == "") | (pl.col("of_feature") == pl.col("feature")),
            pl.col("value").is_not_null(),
            (pl.col("of_value") == "") | (pl.col("of_value") == pl.col("value")),
        )
    )


def _clock(at: datetime) -> list[pl.Expr]:
    """Say how many seconds of the period have passed, at least one, and how many it has."""
    month, day = month_and_day(at)
    ends = {"day": day + timedelta(days=1), "month": (month + timedelta(days=32)).replace(day=1)}
    begins = {"day": day, "month": month}
    passed = {period: max(1, int((at - start).total_seconds())) for period, start in begins.items()}
    whole = {period: int((ends[period] - begins[period]).total_seconds()) for period in begins}
    return [
        pl.col("period").replace_strict(seconds, return_dtype=pl.Int64).alias(name)
        for name, seconds in (("seconds_passed", passed), ("seconds", whole))
    ]


def _pace() -> list[pl.Expr]:
    spent = pl.col("spent_usd")
    return [
        pl.when(pl.col("amount_usd") > 0).then(spent / pl.col("amount_usd")).alias("spent_share"),
        (spent * _SECONDS_PER_HOUR / pl.col("seconds_passed")).cast(MONEY).alias("usd_per_hour"),
        (spent * pl.col("seconds") / pl.col("seconds_passed")).cast(MONEY).alias("forecast_usd"),
    ]


def _add_warnings(stood: pl.DataFrame) -> pl.DataFrame:
    """Add warned_at, the highest share to warn at that is reached."""
    reached = (
        stood.select(*_SUBJECT, "spent_usd", "amount_usd", warned_at="warn_at")
        .explode("warned_at")
        .filter(pl.col("warned_at") * pl.col("amount_usd") <= pl.col("spent_usd"))
        .group_by(_SUBJECT)
        .agg(pl.col("warned_at").max())
    )
    return stood.join(reached, on=_SUBJECT, how="left")


def _state() -> list[pl.Expr]:
    over = pl.col("spent_usd") > pl.col("amount_usd")
    warned = pl.col("warned_at").is_not_null()
    state = pl.when(over).then(pl.lit("exceeded")).when(warned).then(pl.lit("warned"))
    return [
        state.otherwise(pl.lit("ok")).alias("state"),
        (pl.col("forecast_usd") > pl.col("amount_usd")).alias("forecast_exceeds"),
    ]
