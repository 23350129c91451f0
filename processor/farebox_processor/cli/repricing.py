"""`farebox reprice`: rates what is stored with the prices of today, and shows the difference."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import polars as pl
import typer
from clickhouse_connect.driver.client import Client
from rich.table import Table

from farebox_processor.cli.console import as_sent, err, money, out, print_json, told_plainly
from farebox_processor.cli.moments import Since, Until, read_moment
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.cli.stores import reading, writing
from farebox_processor.frames import RATING_REVISIONS
from farebox_processor.pipeline import Rules
from farebox_processor.rating import DIFFERENCES, differences, rate_again, superseded
from farebox_processor.rules import load_rules
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store.queries import read
from farebox_processor.store.writer import Writer

__all__ = ["reprice_command"]

_PAGE_SPANS = 50_000
_SPAN = ["tenant", "trace_id", "span_id"]


@dataclass(frozen=True, slots=True)
class _Selection:
    since: datetime | None
    until: datetime | None
    only_tenant: str | None
    only_model: str | None


def reprice_command(
    *,
    since: Since = None,
    until: Until = None,
    tenant: Annotated[str | None, typer.Option(help="Only spans of this tenant.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only calls of this model, as asked, served or priced.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Store the new rating.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Rate spans in the store with the current price book. Without --yes only shows the difference.

    The new rating becomes a revision of its own; what spans cost before stays in the table
    superseded_ratings. An embedded store admits one process: stop the server for the time of --yes.

    Examples:

    - `farebox reprice --since 2026-11-01 --model gpt-5.6-sol`
    - `farebox reprice --since 7d --yes`
    """
    with told_plainly():
        selection = _Selection(read_moment(since), read_moment(until), tenant, model)
        settings = load_config(config)
        rules = load_rules(settings)
        opened = writing if yes else reading
        with opened(settings) as client, err.status("rating"):
            revision = read(client, "latest_revision", {})["rating_revision"].item() + 1
            changes, spans = _rate(client, rules, selection, revision, store=yes)
            if yes:
                _record(client, rules, selection, revision, changes=changes, spans=spans)
                Repair(client, rules, Metrics()).run()
    _print(changes, revision, stored=yes, as_json=json)


def _rate(
    client: Client, rules: Rules, selection: _Selection, revision: int, *, store: bool
) -> tuple[pl.DataFrame, int]:
    """Rate page by page; return DIFFERENCES of what is billed and how many spans were rated."""
    writer = Writer(client)
    changes, spans = pl.DataFrame(schema=DIFFERENCES), 0
    for before in _pages(client, rules, selection):
        after = rate_again(before, rules.book, revision)
        if store:
            writer.write("superseded_ratings", superseded(before, after))
            writer.write("spans", after)
        spans += after.height
        # All are rated; what repeats a call, as a wrapper does, is in no conversation's cost.
        counted = after.join(_rejected(client, before), on=_SPAN, how="anti")
        changes = pl.concat([changes, differences(before, counted)])
    return _summed(changes), spans


def _rejected(client: Client, page: pl.DataFrame) -> pl.DataFrame:
    """Return the keys of spans from the first to the last of `page` that were rejected."""
    ends = {"first": page.row(0, named=True), "last": page.row(-1, named=True)}
    bounds = {f"{end}_{name}": row[name] for end, row in ends.items() for name in _SPAN}
    return read(client, "rejected_calls", bounds)


def _pages(client: Client, rules: Rules, selection: _Selection) -> Iterator[pl.DataFrame]:
    asked = {
        **asdict(selection),
        "rule_columns": list(rules.book.rule_columns),
        "limit": _PAGE_SPANS,
    }
    after = {"after_tenant": "", "after_trace": "", "after_span": ""}
    while True:
        page = read(client, "spans_to_rate", asked | after)
        if page.is_empty():
            return
        yield page
        last = page.row(-1, named=True)
        after = {
            "after_tenant": last["tenant"],
            "after_trace": last["trace_id"],
            "after_span": last["span_id"],
        }


def _summed(changes: pl.DataFrame) -> pl.DataFrame:
    amounts = ("cost_before_usd", "cost_after_usd")
    return (
        changes.group_by("model", maintain_order=True)
        .agg(
            pl.col("calls", "changed", "priced_before", "priced_after").sum(),
            *(
                pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
                for name in amounts
            ),
        )
        .select(*DIFFERENCES)
    )


def _record(
    client: Client,
    rules: Rules,
    selection: _Selection,
    revision: int,
    *,
    changes: pl.DataFrame,
    spans: int,
) -> None:
    row = asdict(selection) | {
        "rating_revision": revision,
        "price_book": rules.book.version,
        "spans": spans,
        "cost_before_usd": _total(changes["cost_before_usd"]),
        "cost_after_usd": _total(changes["cost_after_usd"]),
    }
    Writer(client).write("rating_revisions", pl.DataFrame([row], schema=RATING_REVISIONS))


def _total(amounts: pl.Series) -> Decimal:
    return sum(amounts.drop_nulls(), Decimal(0))


def _print(changes: pl.DataFrame, revision: int, *, stored: bool, as_json: bool) -> None:
    before, after = (_total(changes[name]) for name in ("cost_before_usd", "cost_after_usd"))
    if as_json:
        told: dict[str, Any] = {
            "rating_revision": revision,
            "stored": stored,
            "cost_before_usd": before,
            "cost_after_usd": after,
            "models": changes.to_dicts(),
        }
        print_json(told)
        return
    table = Table("model", header_style="bold", box=None, pad_edge=False)
    for heading in ("calls", "changed", "before", "after", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in changes.iter_rows(named=True):
        old, new = row["cost_before_usd"], row["cost_after_usd"]
        known = old is not None and new is not None
        table.add_row(
            as_sent(row["model"]),
            f"{row['calls']:,}",
            f"{row['changed']:,}",
            money(old),
            money(new),
            money(new - old) if known else "",
        )
    out.print(table)
    out.print(f"{money(before)} before, {money(after)} after: {money(after - before)}")
    if stored:
        out.print(f"stored as rating revision {revision}")
    else:
        out.print("nothing was stored; add --yes to store this rating", style="dim")
