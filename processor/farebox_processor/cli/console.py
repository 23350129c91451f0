"""How the command line prints: JSON for programs, tables for people, errors in one sentence."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NoReturn

import typer
from rich.console import Console

from farebox_processor.errors import FareboxError
from farebox_processor.report import decimal_text

__all__ = [
    "NARROWEST",
    "STATUS_STYLE",
    "err",
    "money",
    "out",
    "print_json",
    "say_and_exit",
    "say_more",
    "told_plainly",
]

_UNBOUND_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""
NARROWEST = 120
"""Columns that a table takes at least, so that no amount is cut; a narrower terminal wraps."""


def _width() -> int:
    if not sys.stdout.isatty():
        return _UNBOUND_WIDTH
    return max(shutil.get_terminal_size().columns, NARROWEST)


# Ids may hold what rich would read as an emoji: acme:key:7.
out = Console(width=_width(), emoji=False)
err = Console(stderr=True, emoji=False)

STATUS_STYLE = {
    "exact": "green",
    "supplied": "cyan",
    "estimated": "yellow",
    "upper_bound": "yellow",
    "partial": "red",
    "unpriced": "red",
}
_SHOWN_DIGITS = Decimal("0.000001")


def money(amount: Decimal | None) -> str:
    """Write dollars for a person: six digits, more where that would hide the amount."""
    if amount is None:
        return "unknown"
    rounded = amount.quantize(_SHOWN_DIGITS)
    shown = rounded if rounded or not amount else amount
    return f"-${decimal_text(-shown)}" if shown < 0 else f"${decimal_text(shown)}"


def print_json(value: Any) -> None:
    """Print one JSON value and nothing else; what JSON has no type for is written as text."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def say_and_exit(message: str, *, code: int = 1) -> NoReturn:
    """Say on standard error what was found and what to do, and end with `code`."""
    err.print(f"farebox: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def say_more() -> None:
    """Say on standard error that not all rows were printed; programs read the other one."""
    err.print("… and more; see --limit", style="dim")


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the errors that are meant for users into one sentence and exit code 1."""
    try:
        yield
    except FareboxError as error:
        say_and_exit(str(error))
