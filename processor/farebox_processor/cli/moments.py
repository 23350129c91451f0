"""Times as people write them: a date, a date and time, or so long ago."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import typer

from farebox_processor.errors import ConfigError

__all__ = ["Since", "Until", "read_moment"]

Since: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Only what ended since: 2026-11-21, 2026-11-21T10:00, or 90m, 24h, 7d ago."),
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Only what started before; as --since.")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_moment(text: str | None) -> datetime | None:
    """Read a time: a date, a date and time (UTC unless it says otherwise), or so long ago.

    Raises ConfigError that says how to write one.
    """
    if text is None:
        return None
    if text[-1:] in _UNITS and text[:-1].isdigit():
        ago = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return datetime.now(UTC) - ago
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no time; write 2026-11-21, 2026-11-21T10:00, or 90m, 24h, 7d for ago"
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
