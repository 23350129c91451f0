"""How the command line prints: JSON for programs, tables for people, errors in one sentence."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from farebox_processor.errors import FareboxError
from farebox_processor.report import decimal_text

__all__ = [
    "NARROWEST",
    "STATUS_STYLE",
    "as_sent",
    "err",
    "money",
    "out",
    "print_json",
    "say",
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
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, colours it or turns the direction of writing."""


def as_sent(text: str) -> str:
    """Return what a sender wrote, to be shown as it is: no markup, and no word to the terminal."""
    return escape(_visible(text))


def _visible(text: str) -> str:
    return _CONTROLS.sub(lambda control: control[0].encode("unicode_escape").decode(), text)


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
    say(message, style="red")
    raise typer.Exit(code)


def say(message: str, *, style: str = "dim") -> None:
    """Say on standard error what was found; programs read standard output."""
    # A message may name what a sender wrote; its lines are our own.
    lines = "\n".join(map(_visible, message.split("\n")))
    err.print(f"farebox: {lines}", style=style, markup=False, highlight=False, soft_wrap=True)


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
