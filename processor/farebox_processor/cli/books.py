"""`farebox prices`: what the price book says, whether files hold, and what they change."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from farebox_processor.cli.console import out, print_json, say_and_exit, told_plainly
from farebox_processor.cli.moments import read_moment
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.config import Config
from farebox_processor.errors import PriceBookError
from farebox_processor.frames import TOKENS
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_cards import CallTerms
from farebox_processor.price_entries import Contract
from farebox_processor.price_query import (
    ModelPriceList,
    check_files,
    compare,
    describe,
    price_list,
)
from farebox_processor.price_units import TOKENS_PER_PRICE
from farebox_processor.report import decimal_text

__all__ = ["YamlFiles", "prices", "yaml_files"]

prices = typer.Typer(help="Show, check and compare prices.", no_args_is_help=True)

YamlFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILES]…", help="YAML files, or folders of them; else those in use."),
]


@prices.command("show")
def prices_show(
    model: Annotated[str, typer.Argument(help="A model, as spans name it.")],
    *,
    at: Annotated[
        str | None, typer.Option(help="When: 2026-11-21, 2026-11-21T10:00, or 7d ago; else now.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="As spans name it: aws.bedrock.")] = None,
    region: Annotated[str | None, typer.Option(help="us, eu, us-east5, global, …")] = None,
    tier: Annotated[str | None, typer.Option(help="batch, flex, priority, …")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose contract to look at.")] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what a model costs, and which source each price is from.

    Examples:

    - `farebox prices show gpt-4o --tier batch`
    - `farebox prices show claude-sonnet-4-5 --provider gcp.vertex_ai --region europe-west1`
    """
    terms = CallTerms(provider, model, region=region, service_tier=tier, tenant=tenant)
    with told_plainly():
        book = _book_in_use(load_config(config))
        moment = read_moment(at) or datetime.now(UTC)
    listed = describe(book, terms, moment)
    if listed.prices.is_empty():
        say_and_exit(_no_price(book, model, listed.reason))
    if json:
        print_json({"model": model, "at": moment} | _price_object(listed))
        return
    out.print(f"[bold]{escape(listed.priced_model or model)}[/bold] at {moment:%Y-%m-%d %H:%M} UTC")
    out.print(_price_table(listed.prices))
    if listed.reason is not None:
        out.print(f"not the whole price: {listed.reason}", style="yellow")
    if listed.contract is not None:
        out.print(escape(_contract_text(listed.contract)))


@prices.command("check")
def prices_check(files: YamlFiles = None, *, json: Json = False, config: ConfigFile = None) -> None:
    """Check files of prices, contracts and aliases. Exit code 1 if one cannot be used.

    Examples:

    - `farebox prices check`
    - `farebox prices check overlays/ contracts.yaml`
    """
    with told_plainly():
        checked = check_files(yaml_files(files) if files else _in_use(load_config(config)))
    faults = checked["error"].drop_nulls()
    if json:
        print_json({"files": checked.to_dicts()})
    elif checked.is_empty():
        out.print("no price file of your own is in use: the configuration names none under prices")
    else:
        for row in checked.filter(pl.col("error").is_null()).iter_rows(named=True):
            out.print(f"{row['file']}: {row['entries']} entries, all good", markup=False)
    if len(faults):
        say_and_exit("\n".join(faults) if not json else f"{len(faults)} files cannot be used")


@prices.command("diff")
def prices_diff(
    before: Annotated[Path, typer.Argument(help="A YAML file, or a folder of them.")],
    after: Annotated[
        Path | None, typer.Argument(help="The same; without it, BEFORE is put on the book in use.")
    ] = None,
    *,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Compare two versions of your price files, or see what a file would change.

    Examples:

    - `farebox prices diff prices-2026-10/ prices-2026-11/`
    - `farebox prices diff new-prices.yaml`
    """
    with told_plainly():
        if after is None:
            settings = load_config(config)
            books = (_book_in_use(settings), _book_in_use(settings, yaml_files([before])))
        else:
            books = (load_price_book(yaml_files([before])), load_price_book(yaml_files([after])))
    changed = compare(*books)
    if json:
        versions = {"before": books[0].version, "after": books[1].version}
        print_json(versions | {"changed": changed.to_dicts()})
    elif changed.height:
        out.print(_difference_table(changed))
    elif books[0].version == books[1].version:
        out.print("the two are the same")
    else:
        out.print("no list price differs; rules, regional factors, contracts or aliases may")


def _in_use(config: Config) -> list[Path]:
    named = config.prices
    return [*named.overlays, *named.contracts, *named.aliases]


def _book_in_use(config: Config, on_top: Sequence[Path] = ()) -> PriceBook:
    return load_price_book([*_in_use(config), *on_top])


def yaml_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant: of a folder, its YAML files by name."""
    files: list[Path] = []
    for path in paths:
        inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not inside:
            raise PriceBookError(f"{path}: no YAML file in this folder; name another, or a file")
        files.extend(inside)
    return files


def _no_price(book: PriceBook, model: str, reason: str | None) -> str:
    known = price_list(book)["model"].unique().sort().to_list()
    near = get_close_matches(model.lower().rpartition("/")[2], known, 3)
    hint = f"near it are {', '.join(near)}" if near else "name it as spans do, with --provider"
    return f"the price book has no price for {model!r} ({reason}); {hint}"


def _price_object(listed: ModelPriceList) -> dict[str, Any]:
    contract = listed.contract
    return {
        "priced_model": listed.priced_model,
        "reason": listed.reason,
        "prices": listed.prices.to_dicts(),
        "contract": contract
        and {
            "id": contract.id,
            "factor": contract.factor,
            "prices": {unit: {"usd": r.usd, "per": r.per} for unit, r in contract.prices.items()},
            "source": str(contract.origin),
        },
    }


def _contract_text(contract: Contract) -> str:
    fixed = [f"{unit} ${decimal_text(rate.usd)}" for unit, rate in contract.prices.items()]
    terms = [*fixed, *([f"all × {decimal_text(contract.factor)}"] if contract.factor != 1 else [])]
    return f"contract {contract.id}: {', '.join(terms)} · {contract.origin}"


def _price_table(rows: pl.DataFrame) -> Table:
    table = Table("unit", header_style="bold", box=None, pad_edge=False)
    for heading in ("price", "per", "if input is above"):
        table.add_column(heading, justify="right")
    table.add_column("source")
    for row in rows.iter_rows(named=True):
        above = row["above_input_tokens"]
        table.add_row(
            row["unit"],
            f"${decimal_text(row['usd'])}",
            f"{row['per']:,}",
            f"{above:,}" if above else "",
            escape(row["source"] or ""),
        )
    return table


def _difference_table(changed: pl.DataFrame) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("model", "unit", "context", "from"):
        table.add_column(heading)
    for heading in ("if input is above", "before", "after"):
        table.add_column(heading, justify="right")
    for row in changed.iter_rows(named=True):
        begins, above = row["valid_from"], row["above_input_tokens"]
        table.add_row(
            f"{row['provider']}/{row['model']}",
            row["unit"],
            row["context"],
            f"{begins:%Y-%m-%d}" if begins else "",
            f"{above:,}" if above else "",
            *(_each(row[column], row["unit"]) for column in ("before_usd", "after_usd")),
        )
    return table


def _each(usd: Decimal | None, unit: str) -> str:
    """Write the price of one unit, of tokens that of a million."""
    if usd is None:
        return "none"
    is_token = unit in TOKENS
    return f"${decimal_text(usd * TOKENS_PER_PRICE)}/M" if is_token else f"${decimal_text(usd)}"
