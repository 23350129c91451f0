"""`farebox prices`: what the price book says, whether files hold, and what they change."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import polars as pl
import typer

from farebox_processor.cli.book_tables import (
    changed_prices_table,
    changed_terms_table,
    price_table,
    rule_table,
    unit_table,
)
from farebox_processor.cli.console import as_sent, out, print_json, say_and_exit, told_plainly
from farebox_processor.cli.moments import read_moment
from farebox_processor.cli.options import ConfigFile, Json, load_config
from farebox_processor.config import Config
from farebox_processor.errors import PriceBookError
from farebox_processor.price_book import PriceBook, load_price_book
from farebox_processor.price_cards import CallTerms
from farebox_processor.price_changes import compare_prices, compare_terms
from farebox_processor.price_checks import check_files
from farebox_processor.price_entries import Contract
from farebox_processor.price_query import ModelPriceList, describe, price_list
from farebox_processor.price_rules import rule_list, unit_prices
from farebox_processor.report import decimal_text
from farebox_processor.verdicts import Reason

__all__ = ["YamlFiles", "prices", "yaml_files"]

prices = typer.Typer(help="Show, check and compare prices.", no_args_is_help=True)

YamlFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILES]…", help="YAML files, or folders of them; else those in use."),
]


@prices.command("show")
def prices_show(
    name: Annotated[
        str | None, typer.Argument(help="A model or a tool, as spans name it, or a unit.")
    ] = None,
    *,
    rules: Annotated[
        bool, typer.Option("--rules", help="Every rule for tools and other spans, as tried.")
    ] = False,
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
    """Show what a model, a tool or a unit costs, and which source each price is from.

    Examples:

    - `farebox prices show gpt-4o --tier batch`
    - `farebox prices show claude-sonnet-4-5 --provider gcp.vertex_ai --region europe-west1`
    - `farebox prices show tavily_search`
    - `farebox prices show web_search`
    - `farebox prices show --rules`
    """
    if (name is None) is not rules:
        say_and_exit("name a model, a tool or a unit, or else ask for --rules", code=2)
    terms = CallTerms(provider, name, region=region, service_tier=tier, tenant=tenant)
    with told_plainly():
        book = _book_in_use(load_config(config))
        moment = read_moment(at) or datetime.now(UTC)
    if name is None:
        _show_rules(rule_list(book, moment), {"at": moment}, json=json)
        return
    listed = describe(book, terms, moment)
    if not listed.prices.is_empty():
        _show_model(name, listed, moment, json=json)
    elif not (found := rule_list(book, moment, name)).is_empty():
        named = replace(terms, columns=(("price_rule", found["rule"][0]),))
        contract = describe(book, named, moment).contract
        _show_rules(found, {"tool": name, "at": moment}, contract, json=json)
    elif not (charged := unit_prices(book, name, terms, moment)).is_empty():
        _show_unit(name, charged, moment, json=json)
    else:
        say_and_exit(_no_price(book, name, provider, listed.reason))


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

    Beside prices it lists every term that differs of rules, multipliers, contracts, minimums and
    aliases.

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
    changed, terms = compare_prices(*books), compare_terms(*books)
    if json:
        versions = {"before": books[0].version, "after": books[1].version}
        print_json(versions | {"prices": changed.to_dicts(), "terms": terms.to_dicts()})
        return
    if changed.height:
        out.print(changed_prices_table(changed))
    if changed.height and terms.height:
        out.print()
    if terms.height:
        out.print(changed_terms_table(terms))
    if not changed.height and not terms.height:
        is_same = books[0].version == books[1].version
        out.print(
            "the two are the same" if is_same else "the two cost the same; their texts differ"
        )


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


def _no_price(book: PriceBook, model: str, provider: str | None, reason: str | None) -> str:
    is_provider = reason == Reason.UNKNOWN_PROVIDER and provider is not None
    known = price_list(book)["provider" if is_provider else "model"].unique().sort().to_list()
    asked = provider if is_provider and provider else model.rpartition("/")[2]
    near = get_close_matches(asked.lower(), known, 3)
    hint = f"near it are {', '.join(near)}" if near else "name it as spans do, with --provider"
    return f"the price book has no price for {model!r} ({reason}); {hint}"


def _show_model(name: str, listed: ModelPriceList, at: datetime, *, json: bool) -> None:
    if json:
        print_json(
            {
                "model": name,
                "at": at,
                "priced_model": listed.priced_model,
                "reason": listed.reason,
                "prices": listed.prices.to_dicts(),
                "contract": _contract_object(listed.contract),
            }
        )
        return
    out.print(f"[bold]{as_sent(listed.priced_model or name)}[/bold] at {at:%Y-%m-%d %H:%M} UTC")
    out.print(price_table(listed.prices))
    if listed.reason is not None:
        out.print(f"not the whole price: {listed.reason}", style="yellow")
    if listed.contract is not None:
        out.print(as_sent(_contract_text(listed.contract)))


def _show_rules(
    found: pl.DataFrame, asked: dict[str, Any], contract: Contract | None = None, *, json: bool
) -> None:
    if json:
        contracted = {"contract": _contract_object(contract)} if "tool" in asked else {}
        print_json(asked | {"rules": found.to_dicts()} | contracted)
        return
    out.print(rule_table(found))
    if contract is not None:
        out.print(as_sent(_contract_text(contract)))


def _show_unit(unit: str, charged: pl.DataFrame, at: datetime, *, json: bool) -> None:
    if json:
        print_json({"unit": unit, "at": at, "prices": charged.to_dicts()})
        return
    out.print(f"[bold]{as_sent(unit)}[/bold] at {at:%Y-%m-%d %H:%M} UTC")
    out.print(unit_table(charged))


def _contract_object(contract: Contract | None) -> dict[str, Any] | None:
    if contract is None:
        return None
    return {
        "id": contract.id,
        "factor": contract.factor,
        "prices": {unit: {"usd": r.usd, "per": r.per} for unit, r in contract.prices.items()},
        "source": str(contract.origin),
    }


def _contract_text(contract: Contract) -> str:
    fixed = [f"{unit} ${decimal_text(rate.usd)}" for unit, rate in contract.prices.items()]
    terms = [*fixed, *([f"all × {decimal_text(contract.factor)}"] if contract.factor != 1 else [])]
    return f"contract {contract.id}: {', '.join(terms)} · {contract.origin}"
