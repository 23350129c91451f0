"""`farebox conversations`, `farebox totals` and `farebox explain`: what the store knows."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

import polars as pl
import typer
from rich.table import Table

from farebox_processor.cli.bills import bill_object, bill_tree
from farebox_processor.cli.console import (
    as_sent,
    money,
    out,
    print_json,
    say_and_exit,
    say_more,
    told_plainly,
)
from farebox_processor.cli.files import price_files
from farebox_processor.cli.moments import Since, Until, read_moment
from farebox_processor.cli.options import ConfigFile, Json, OtlpFiles, load_config
from farebox_processor.cli.pricing import conversation_table
from farebox_processor.cli.stores import reading
from farebox_processor.errors import ConfigError
from farebox_processor.explain import explain
from farebox_processor.pipeline import roll_up_set
from farebox_processor.report import conversation_objects
from farebox_processor.rules import load_rules
from farebox_processor.store import queries
from farebox_processor.store.queries import ConversationFilter

__all__ = ["conversations", "explain_command", "totals"]

OfTenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")]
_LISTED = 10
_CONVERSATION = ["tenant", "conversation_id"]
_TRACE = ["tenant", "trace_id"]

Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")]


def conversations(
    *,
    since: Since = None,
    until: Until = None,
    tenant: OfTenant = None,
    tier: Annotated[str | None, typer.Option(help="Only of this tier.")] = None,
    model: Annotated[str | None, typer.Option(help="Only those that used this model.")] = None,
    service: Annotated[str | None, typer.Option(help="Only of this service.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    feature: Annotated[str | None, typer.Option(help="Only of this feature.")] = None,
    dimension: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Only with this value of a configured dimension; repeatable."
        ),
    ] = None,
    limit: Limit = 20,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List conversations, the costliest first.

    Examples:

    - `farebox conversations --since 24h`
    - `farebox conversations --tier enterprise --feature search --json`
    - `farebox conversations --dimension region=eu`
    """
    with told_plainly():
        settings = load_config(config)
        which = ConversationFilter(
            since=read_moment(since),
            until=read_moment(until),
            tenant=tenant,
            tier=tier,
            model=model,
            service_name=service,
            user_id=user,
            feature=feature,
            dimensions=_dimensions(dimension or [], settings.dimensions.extra),
        )
        with reading(settings) as client:
            rows = conversation_objects(queries.conversations(client, which, limit=limit + 1))
    if json:
        print_json({"conversations": rows[:limit]})
    elif rows:
        out.print(conversation_table(rows[:limit]))
    else:
        out.print("no conversation fits; leave out filters, or see whether spans arrive")
    if len(rows) > limit:
        say_more()


def totals(
    dimension: Annotated[
        str,
        typer.Argument(
            help=f"What to sum by: {', '.join(queries.TOTALS_BY)}, or a configured one."
        ),
    ] = "feature",
    *,
    since: Since = None,
    until: Until = None,
    tenant: OfTenant = None,
    limit: Limit = 50,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Sum conversations up by feature, tier, user or another dimension.

    Example:

    - `farebox totals tier --since 7d`
    """
    with told_plainly():
        settings = load_config(config)
        which = ConversationFilter(
            since=read_moment(since), until=read_moment(until), tenant=tenant
        )
        with reading(settings) as client:
            rows = queries.totals(
                client, dimension, which, extra=settings.dimensions.extra, limit=limit + 1
            )
    if json:
        print_json({"dimension": dimension, "totals": rows.head(limit).to_dicts()})
    else:
        out.print(totals_table(dimension, rows.head(limit)))
    if rows.height > limit:
        say_more()


def _dimensions(given: list[str], configured: Mapping[str, object]) -> dict[str, str]:
    """Return the names and values of NAME=VALUE; raise ConfigError for a name not configured."""
    pairs = [text.partition("=") for text in given]
    for name, _, value in pairs:
        if name not in configured:
            known = ", ".join(configured) or "none; see dimensions.extra of `farebox config`"
            raise ConfigError(f"--dimension: {name!r} is not configured; configured: {known}")
        if not value:
            raise ConfigError(f"--dimension: expected {name}=VALUE, found no value")
    return {name: value for name, _, value in pairs}


def totals_table(dimension: str, rows: pl.DataFrame) -> Table:
    """Lay out totals, the costliest first."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column(as_sent(dimension), overflow="fold")
    counts = ("conversations", "calls", "unpriced", "tokens", "succeeded")
    for heading in (*counts, "cost", "revenue", "margin", "cost per success"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows.iter_rows(named=True):
        table.add_row(
            as_sent(row["value"] or "—"),
            f"{row['conversations']:,}",
            f"{row['billed_calls']:,}",
            f"{row['unpriced_calls']:,}",
            f"{row['total_tokens']:,}",
            f"{row['succeeded']:,}",
            *(money(row[name]) for name in ("cost_usd", "revenue_usd", "margin_usd")),
            money(row["cost_per_success_usd"]) if row["succeeded"] else "",
        )
    return table


def explain_command(
    conversation_id: Annotated[
        str | None, typer.Argument(help="Which conversation; may be left out with one in --file.")
    ] = None,
    *,
    file: OtlpFiles = None,
    tenant: Annotated[str, typer.Option(help="Tenant that the conversation belongs to.")] = "",
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Explain a conversation: each call line by line, what was rejected and why, the sum.

    Examples:

    - `farebox explain chat-42`
    - `farebox explain --file recording.pb`
    """
    with told_plainly():
        if file:
            tenant, conversation_id, spans, calls = _from_files(
                file, conversation_id, tenant, config
            )
        elif conversation_id is None:
            say_and_exit("say which conversation, as `farebox conversations` lists them", code=2)
        else:
            with reading(load_config(config)) as client:
                spans = queries.spans_of_conversation(client, tenant, conversation_id)
                calls = queries.calls_of_conversation(client, tenant, conversation_id)
    if spans.is_empty() and calls.is_empty():
        of_tenant = f" of tenant {tenant!r}" if tenant else ""
        say_and_exit(f"there is no conversation {conversation_id!r}{of_tenant}")
    explanation = explain(spans, calls)
    if json:
        print_json(
            {"conversation_id": conversation_id, "tenant": tenant} | bill_object(explanation)
        )
    else:
        out.print(bill_tree(f"[bold]{as_sent(conversation_id or '')}[/bold]", explanation))


def _from_files(
    files: OtlpFiles, wanted: str | None, tenant: str, config: ConfigFile
) -> tuple[str, str, pl.DataFrame, pl.DataFrame]:
    """Price files and pick one conversation: its tenant, its id, its spans and calls.

    Conversations of two tenants may have one id. `tenant` asks for one of those that spans name;
    where none is named, all are its spans.
    """
    rules = load_rules(load_config(config))
    priced = price_files(files or [], rules, "")
    if tenant and (priced["tenant"] == "").all():
        priced = price_files(files or [], rules, tenant)
    rolled_up = roll_up_set(priced, rules)
    there = rolled_up.traces.select(*_CONVERSATION).unique().sort(_CONVERSATION)
    named = there if wanted is None else there.filter(conversation_id=wanted)
    of_tenant = named.filter(tenant=tenant)
    # An id that only another tenant has is still one conversation, unless a tenant is asked for.
    fitting = of_tenant if tenant or (wanted is not None and of_tenant.height) else named
    if fitting.height != 1:
        listed = ", ".join(_named(*row) for row in there.head(_LISTED).rows()) or "none"
        more = f" and {there.height - _LISTED} more" if there.height > _LISTED else ""
        raise ConfigError(
            f"say which conversation of the files to explain; they hold: {listed}{more}"
        )
    chosen = rolled_up.traces.join(fitting, on=_CONVERSATION, how="semi").select(_TRACE)
    return (
        *fitting.row(0),
        priced.join(chosen, on=_TRACE, how="semi"),
        rolled_up.calls.join(chosen, on=_TRACE, how="semi"),
    )


def _named(tenant: str, conversation_id: str) -> str:
    return f"{conversation_id} (--tenant {tenant})" if tenant else conversation_id
