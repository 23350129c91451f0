"""`farebox budgets`: how much of each budget is spent, and where the period will end."""

from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
import typer
from rich.table import Table

from farebox_processor.budgets import month_and_day, stand_of_budgets
from farebox_processor.cli.console import as_sent, money, out, print_json, told_plainly
from farebox_processor.cli.moments import read_moment
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.cli.stores import reading
from farebox_processor.plans import load_plans
from farebox_processor.store.queries import spent_since

__all__ = ["budgets"]

_STYLE = {"ok": "green", "warned": "yellow", "exceeded": "red"}


def budgets(
    *,
    at: Annotated[
        str | None, typer.Option(help="As of when: 2026-11-21, 2026-11-21T10:00, 7d; else now.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only budgets of this tenant.")] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what is spent of each budget of the plans, and the forecast for the end of its period.

    A budget warns and never refuses data. Days and months are of UTC.

    Examples:

    - `farebox budgets`
    - `farebox budgets --at 2026-10-31T23:59 --json`
    """
    with told_plainly():
        settings = load_config(config)
        planned = load_plans(settings.plans.paths, settings.dimensions.extra).budgets
        moment = read_moment(at) or datetime.now(UTC)
        month, day = month_and_day(moment)
        with reading(settings) as client:
            spent = spent_since(client, month, day, until=moment)
    stood = stand_of_budgets(planned, spent, moment)
    shown = stood if tenant is None else stood.filter(tenant=tenant)
    if json:
        print_json({"at": moment, "budgets": shown.to_dicts()})
    elif planned.is_empty():
        out.print("no plan has a budget; write one under `budgets` of a plan: docs/plans.md")
    elif shown.is_empty():
        out.print(f"nothing is spent against a budget since {month:%Y-%m-%d}")
    else:
        out.print(_table(shown))


def _table(shown: pl.DataFrame) -> Table:
    table = Table("budget", "tenant", "period", header_style="bold", box=None, pad_edge=False)
    for heading in ("amount", "spent", "share", "per hour", "forecast"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state")
    for row in shown.iter_rows(named=True):
        share = row["spent_share"]
        forecast = money(row["forecast_usd"])
        table.add_row(
            as_sent(_name(row)),
            as_sent(row["tenant"] or "—"),
            row["period"],
            money(row["amount_usd"]),
            money(row["spent_usd"]) + (" and more" if row["unpriced_calls"] else ""),
            "" if share is None else f"{share:.0%}",
            money(row["usd_per_hour"]),
            f"[red]{forecast}[/]" if row["forecast_exceeds"] else forecast,
            f"[{_STYLE[row['state']]}]{row['state']}[/]",
        )
    return table


def _name(row: dict[str, Any]) -> str:
    """Say whose budget it is: user ann (feature search)."""
    whose = f"{row['scope']} {row['value']}".rstrip()
    return f"{whose} (feature {row['feature']})" if row["feature"] else whose
