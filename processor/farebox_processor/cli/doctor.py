"""`farebox doctor`: what the emitters of spans drop, repeat and hide, and what that is worth."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import typer
from rich.table import Table

from farebox_processor.cli.console import (
    as_sent,
    money,
    out,
    print_json,
    say_and_exit,
    told_plainly,
)
from farebox_processor.cli.files import price_files
from farebox_processor.cli.moments import read_moment
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.cli.stores import reading
from farebox_processor.doctor import Diagnosis, examine
from farebox_processor.doctor_advice import BLINDNESS_ADVICE
from farebox_processor.doctor_store import MOST_SPANS, spans_and_calls
from farebox_processor.pipeline import roll_up_set
from farebox_processor.report import decimal_text
from farebox_processor.rules import load_rules

__all__ = ["diagnosis_object", "doctor"]

_SHARE_DIGITS = Decimal("0.000001")
_KIND_STYLE = {
    "unpriced": "red",
    "uncertain": "yellow",
    "repeated": "cyan",
    "disputed": "yellow",
    "invalid": "red",
}


def doctor(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILES]…",
            help="OTLP files (.pb, .json, .jsonl, or .gz of these) or folders of them.",
        ),
    ] = None,
    *,
    source: Annotated[
        Literal["store"] | None, typer.Option("--from", help="Examine what is stored, not files.")
    ] = None,
    since: Annotated[
        str,
        typer.Option(help="With --from store: what started since; 2026-11-21, or 90m, 24h, 7d."),
    ] = "24h",
    tenant: Annotated[
        str | None, typer.Option(help="Only spans of this tenant; whose spans the files hold.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Examine instrumentations: what each drops or records twice, in dollars, and what to change.

    Examples:

    - `farebox doctor traces.jsonl`
    - `farebox doctor --from store --since 7d`
    """
    if bool(files) == bool(source):
        say_and_exit("name OTLP files to examine, or `--from store`; not both", code=2)
    with told_plainly():
        if files:
            priced, calls = _from_files(files, tenant or "", config)
        else:
            began = read_moment(since)
            with reading(load_config(config)) as client:
                priced, calls = spans_and_calls(client, began, tenant)
    diagnosis = examine(priced, calls)
    if json:
        print_json(diagnosis_object(diagnosis))
    elif diagnosis.emitters.is_empty():
        out.print("no spans to examine; see whether they arrive, or ask for a longer time: --since")
    else:
        _print(diagnosis)
        if source and priced.height == MOST_SPANS:
            out.print(f"Only the latest {MOST_SPANS:,} spans were examined.", style="dim")


def diagnosis_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis for programs; money is decimal text, unknown amounts are null."""
    counted = diagnosis.emitters.select("spans", "calls", "billed_calls", "unpriced_calls").sum()
    return {
        "emitters": [
            row | {"unpriced_share": decimal_text(_unpriced_share(row))}
            for row in diagnosis.emitters.iter_rows(named=True)
        ],
        "findings": diagnosis.findings.to_dicts(),
        "totals": {
            **counted.row(0, named=True),
            "billed_usd": diagnosis.billed_usd,
            "repeated_usd": diagnosis.repeated_usd,
        },
    }


def _from_files(
    files: list[Path], tenant: str, config: ConfigFile
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rules = load_rules(load_config(config))
    priced = price_files(files, rules, tenant)
    return priced, roll_up_set(priced, rules).calls


def _unpriced_share(emitter: dict[str, Any]) -> Decimal | None:
    """Return which part of an emitter's billed calls has no price; null without such calls."""
    if not emitter["billed_calls"]:
        return None
    share: Decimal = Decimal(emitter["unpriced_calls"]) / emitter["billed_calls"]
    return share.quantize(_SHARE_DIGITS)


def _print(diagnosis: Diagnosis) -> None:
    calling = diagnosis.emitters.filter(pl.col("calls") > 0)
    silent = diagnosis.emitters.filter(pl.col("calls") == 0)
    if calling.height:
        out.print(_emitter_table(calling))
    if silent.height:
        names = sorted(set(silent["scope_name"]) - {""}) or ["no scope"]
        spans = int(silent["spans"].sum())
        out.print(f"{spans:,} spans without calls: {as_sent(', '.join(names))}", style="dim")
    out.print()
    for finding in diagnosis.findings.iter_rows(named=True):
        _print_finding(finding)
    _print_blindness(calling)
    if diagnosis.billed_usd is not None:
        out.print(f"The calls cost [bold]{money(diagnosis.billed_usd)}[/bold], each billed once.")
    if diagnosis.repeated_usd:
        out.print(f"Adding up every span would charge {money(diagnosis.repeated_usd)} more.")
    unpriced = int(diagnosis.emitters["unpriced_calls"].sum())
    if unpriced:
        out.print(f"Billed calls whose cost is unknown, in no sum: {unpriced:,}.", style="red")


def _emitter_table(emitters: pl.DataFrame) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("emitter", overflow="fold")
    for heading in ("spans", "calls", "billed", "repeated", "unpriced", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("cached input is", overflow="fold")
    table.add_column("drops", overflow="fold")
    for row in emitters.iter_rows(named=True):
        table.add_row(
            as_sent(_label(row)),
            f"{row['spans']:,}",
            f"{row['calls']:,}",
            f"{row['billed_calls']:,}",
            f"{row['repeated_calls']:,}",
            f"{_unpriced_share(row) or 0:.0%}",
            money(row["cost_usd"]),
            "\n".join(map(_reading, row["readings"])),
            _losses(row),
        )
    return table


def _losses(emitter: dict[str, Any]) -> str:
    """List what an emitter drops on some calls, and what it shows on none."""
    lines = [f"{drop['code']} ×{drop['calls']:,}" for drop in emitter["drops"]]
    hidden = ", ".join(blind["code"] for blind in emitter["blind_to"])
    return "\n".join([*lines, f"[dim]never shows {hidden}[/]"] if hidden else lines)


def _reading(reading: dict[str, Any]) -> str:
    return f"{reading['reading']} ({reading['rule']}) ×{reading['calls']:,}"


def _print_finding(finding: dict[str, Any]) -> None:
    style = _KIND_STYLE[finding["kind"]]
    out.print(
        f"[{style}]{finding['kind']}[/] [bold]{as_sent(finding['code'])}[/bold]"
        f" {as_sent(_label(finding))}: {_worth(finding)}"
    )
    out.print(f"  {as_sent(finding['advice'])}", highlight=False)


def _worth(finding: dict[str, Any]) -> str:
    """Say how many calls a finding is about, and how many dollars hang on them."""
    calls = f"{finding['calls']:,} call{'' if finding['calls'] == 1 else 's'}"
    if finding["worth_usd"] is None:
        return f"{calls} without an upper bound" if finding["kind"] == "uncertain" else calls
    without = finding["open_calls"]
    rest = f", and {without:,} at an unknown amount" if without else ""
    meaning = {
        "uncertain": "between the bounds",
        "repeated": "more if added up",
        "disputed": "apart from ours",
    }[finding["kind"]]
    return f"{calls}, {money(finding['worth_usd'])} {meaning}{rest}"


def _print_blindness(emitters: pl.DataFrame) -> None:
    """Explain what some emitters can never show, which no number of calls would reveal."""
    hidden = emitters["blind_to"].explode().drop_nulls().struct.field("code").unique()
    for code in sorted(set(hidden)):
        out.print(f"[dim]never shows {code}:[/] {BLINDNESS_ADVICE[code]}", highlight=False)
    if len(hidden):
        out.print(
            "  `farebox.instrument()` adds what the SDKs of OpenAI, Anthropic and Google tell.",
            highlight=False,
        )


def _label(row: dict[str, Any]) -> str:
    return f"{row['scope_name']} {row['scope_version']}".strip() or "no scope"
