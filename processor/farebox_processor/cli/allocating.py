"""`farebox allocate`: shared costs, onto the conversations that bear them."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from farebox_processor.allocation import allocate
from farebox_processor.allocation_files import SharedCost, read_shared_costs
from farebox_processor.cli.console import as_sent, money, out, print_json, told_plainly
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.cli.stores import reading, writing
from farebox_processor.frames import ALLOCATIONS
from farebox_processor.store.queries import used_between
from farebox_processor.store.writer import Writer

__all__ = ["allocate_command"]


def allocate_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Shared costs, in YAML or CSV: docs/plans.md.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option(help="Only show; store nothing.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Allocate shared costs (idle GPUs, cache storage, an index) to conversations.

    An allocation of the same id replaces the one before; one of $0 takes it back.

    Examples:

    - `farebox allocate shared-costs.yaml --dry-run`
    - `farebox allocate gpu-hours.csv`
    """
    with told_plainly():
        settings = load_config(config)
        costs = read_shared_costs(file, tuple(settings.dimensions.extra))
        opened = reading if dry_run else writing
        with opened(settings) as client:
            allocated = {
                cost.id: allocate(cost, used_between(client, cost.starts, cost.ends))
                for cost in costs
            }
            if not dry_run:
                writer = Writer(client)
                # One block each: an allocation is replaced as a whole.
                for rows in allocated.values():
                    writer.write("allocations", rows)
    rows = pl.concat([pl.DataFrame(schema=ALLOCATIONS), *allocated.values()])
    if json:
        print_json({"dry_run": dry_run, "allocations": rows.to_dicts()})
    else:
        out.print(_table(costs, rows))


def _table(costs: list[SharedCost], rows: pl.DataFrame) -> Table:
    """Lay out what became of each cost, in the order of the file."""
    table = Table("allocation", "from", "until", "by", header_style="bold", box=None)
    for heading in ("conversations", "amount", "allocated", "unallocated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cost in costs:
        of_cost = rows.filter(allocation_id=cost.id)
        unallocated: Decimal = of_cost.filter("is_unallocated")["amount_usd"].item()
        table.add_row(
            as_sent(cost.id),
            f"{cost.starts:%Y-%m-%d %H:%M}",
            f"{cost.ends:%Y-%m-%d %H:%M}",
            cost.by,
            f"{of_cost.height - 1:,}",
            money(cost.amount_usd),
            money(cost.amount_usd - unallocated),
            money(unallocated),
        )
    return table
