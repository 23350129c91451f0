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
# What ClickHouse can compare the times of spans with.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def read_moment(text: str | None) -> datetime | None:
    """Read a time: a date, a date and time (UTC unless it says otherwise), or so long ago.

    Returns it in UTC. Raises ConfigError that says how to write one.
    """
    if text is None:
        return None
    try:
        moment = _moment(text)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is no time; write 2026-11-21, 2026-11-21T10:00, or 90m, 24h, 7d for ago"
        ) from None
    if not _FIRST <= moment < _LAST:
        raise ConfigError(f"{text!r} is too far away; name a time from {_FIRST:%Y} to {_LAST:%Y}")
    return moment


def _moment(text: str) -> datetime:
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
