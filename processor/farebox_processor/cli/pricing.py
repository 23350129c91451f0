"""`farebox price`: what conversations in OTLP files cost, without a database."""

from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from farebox_processor.cli.console import (
    STATUS_STYLE,
    as_sent,
    money,
    out,
    print_json,
    told_plainly,
)
from farebox_processor.cli.files import read_requests
from farebox_processor.cli.options import ConfigFile, Files, Json, Tenant, load_config
from farebox_processor.report import price_report
from farebox_processor.rules import load_rules

__all__ = ["conversation_table", "price"]


def price(
    files: Files,
    *,
    json: Json = False,
    tenant: Tenant = "",
    config: ConfigFile = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of the table at most.")] = 50,
) -> None:
    """Price the conversations in OTLP files. All files are one set: a call is billed once.

    Examples:

    - `farebox price traces.jsonl`
    - `farebox price exported/ --json | jq '.totals'`
    """
    with told_plainly():
        rules = load_rules(load_config(config))
        requests = list(read_requests(files))
        bodies, names = ([r.body for r in requests], [r.where for r in requests])
        report = price_report(bodies, rules, tenant=tenant, names=names)
    if json:
        print_json(report)
        return
    conversations = report["conversations"]
    out.print(conversation_table(conversations[:limit]))
    if len(conversations) > limit:
        out.print(f"… and {len(conversations) - limit} more; see --limit and --json", style="dim")
    totals = report["totals"]
    out.print(
        f"{len(conversations)} conversations, {totals['billed_calls']} billed calls of"
        f" {totals['calls']} in {totals['spans']} spans: [bold]{_shown(totals['cost_usd'])}[/bold]"
    )
    if totals["unpriced_calls"]:
        out.print(f"{totals['unpriced_calls']} calls have no price", style="red")
    if totals["rejected_spans"]:
        out.print(f"{totals['rejected_spans']} spans could not be read", style="red")


def conversation_table(conversations: list[dict[str, Any]]) -> Table:
    """Lay out conversations (as in the report, money as text): the costliest first."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("conversation", overflow="fold", min_width=16)
    for heading in ("turns", "calls", "tokens", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("tier", no_wrap=True)
    for heading in ("price", "margin"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("models", overflow="fold", min_width=16)
    for row in conversations:
        status = row["cost_status"]
        table.add_row(
            as_sent(row["conversation_id"]),
            str(row["turns"]),
            str(row["calls"]),
            f"{row['total_tokens']:,}",
            _shown(row["cost_usd"]),
            f"[{STATUS_STYLE[status]}]{status}[/]",
            as_sent(row["tier"] or ""),
            _shown(row["tier_price_usd"]),
            _margin(row["margin_usd"]),
            as_sent(", ".join(row["models"])),
        )
    return table


def _shown(amount: str | None) -> str:
    return money(None if amount is None else Decimal(amount))


def _margin(amount: str | None) -> str:
    shown = "" if amount is None else _shown(amount)
    return f"[red]{shown}[/]" if shown.startswith("-") else shown
