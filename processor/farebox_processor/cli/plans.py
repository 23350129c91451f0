"""`farebox plans`: what conversations are sold for, and whether files of plans hold."""

from typing import Any

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from farebox_processor.cli.books import YamlFiles, yaml_files
from farebox_processor.cli.console import money, out, print_json, told_plainly
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.plans import load_plans

__all__ = ["plans"]

plans = typer.Typer(help="Show and check what conversations are sold for.", no_args_is_help=True)


@plans.command("show")
def plans_show(*, json: Json = False, config: ConfigFile = None) -> None:
    """Show every plan in use: tiers, actions, flat fees, idle timeouts and budgets.

    Example:

    - `farebox plans show`
    """
    with told_plainly():
        settings = load_config(config)
        in_use = load_plans(settings.plans.paths, settings.dimensions.extra)
    if json:
        print_json({"tiers": in_use.tiers.to_dicts(), "budgets": in_use.budgets.to_dicts()})
        return
    out.print(_tier_table(in_use.tiers))
    for row in in_use.tiers.filter(position=0).iter_rows(named=True):
        for term in _terms(row):
            out.print(f"{row['plan']}: {term}", markup=False)
    for row in in_use.budgets.iter_rows(named=True):
        out.print(f"{row['plan']}: {_budget(row)}", markup=False)


@plans.command("check")
def plans_check(files: YamlFiles = None, *, json: Json = False, config: ConfigFile = None) -> None:
    """Check files of plans together with the one that is shipped. Exit code 1 if one is wrong.

    Examples:

    - `farebox plans check`
    - `farebox plans check plans/acme.yaml`
    """
    with told_plainly():
        settings = load_config(config)
        paths = yaml_files(files) if files else settings.plans.paths
        tiers = load_plans(paths, settings.dimensions.extra).tiers
    names = tiers["plan"].unique(maintain_order=True).to_list()
    if json:
        print_json({"plans": names})
    else:
        out.print(f"{len(names)} plans, all good: {', '.join(names)}", markup=False)


def _tier_table(tiers: pl.DataFrame) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("plan", "tenant", "feature", "tier"):
        table.add_column(heading)
    for heading in ("price", "turns below", "tokens below"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in tiers.iter_rows(named=True):
        limits = (row["turns_below"], row["tokens_below"])
        table.add_row(
            *(escape(row[name] or "any") for name in ("plan", "tenant", "feature", "tier")),
            money(row["price_usd"]),
            *("no limit" if limit is None else f"{limit:,}" for limit in limits),
        )
    return table


def _terms(plan: dict[str, Any]) -> list[str]:
    """Say what a plan has besides tiers: actions, each with its price, a flat fee, a timeout."""
    terms = [
        f"action {action['action']} ({action['dimension']} {action['value']}):"
        f" {money(action['price_usd'])}, charged"
        f" {'always' if action['charged'] == 'always' else 'on success'}"
        for action in plan["actions"]
    ]
    if plan["flat_fee_usd"] is not None:
        included, overage = plan["included_conversations"], plan["overage_price_usd"]
        covers = "all conversations" if included is None else f"{included:,} conversations"
        beyond = "" if overage is None else f", {money(overage)} for each above"
        terms.append(f"{money(plan['flat_fee_usd'])} a month for {covers}{beyond}")
    if plan["idle_timeout_s"] is not None:
        terms.append(f"closed after {plan['idle_timeout_s']:,} s of silence")
    return terms


def _budget(row: dict[str, Any]) -> str:
    """Say whose budget it is, how large, and when it warns."""
    name = row["value"] or row.get(row["scope"])
    whose = f"{row['scope']} {name}" if name else f"each {row['scope']}"
    warnings = ", ".join(f"{share:.0%}" for share in row["warn_at"])
    amount = f"budget of {whose}: {money(row['amount_usd'])} a {row['period']}"
    return f"{amount}, warns at {warnings}" if warnings else amount
