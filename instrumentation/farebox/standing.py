"""What farebox did to the running service, for its logs and for whoever asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farebox._guard import faults
from farebox.libraries import Choice

__all__ = ["Status", "note_choice", "note_completion", "remember", "status"]


@dataclass(frozen=True, slots=True)
class Status:
    """How the service is instrumented."""

    provider: str = "not instrumented"
    """created | joined | disabled | not instrumented."""
    instrumentations: Sequence[Choice] = ()
    """Who records each library that is installed, and why."""
    completed: Sequence[str] = ()
    """SDKs whose usage is completed where the instrumentation leaves something out."""
    stepped_aside: Sequence[str] = ()
    """SDKs that are left alone, each with the reason."""
    faults: tuple[tuple[str, int], ...] = ()
    """How many errors of farebox's own each hook kept from the service."""

    def __str__(self) -> str:
        recorded = "; ".join(map(str, self.instrumentations)) or "no GenAI library found"
        completed = ", ".join(self.completed) or "nothing"
        aside = f"; left alone: {'; '.join(self.stepped_aside)}" if self.stepped_aside else ""
        return f"TracerProvider {self.provider}; {recorded}; usage completed of {completed}{aside}"


_held: list[Status] = [Status()]


def remember(standing: Status) -> None:
    """Keep what was done, for `status`."""
    _held[0] = standing


def note_choice(choice: Choice) -> None:
    """Keep who records a library, in place of what was intended."""
    others = (kept for kept in _held[0].instrumentations if kept.library != choice.library)
    remember(replace(_held[0], instrumentations=(*others, choice)))


def note_completion(sdk: str | None, reason: str | None) -> None:
    """Keep that the usage of an SDK is completed, or with a reason, that it is left alone."""
    held = _held[0]
    if sdk is None:
        return
    if reason is None:
        remember(replace(held, completed=tuple(sorted({*held.completed, sdk}))))
    else:
        remember(replace(held, stepped_aside=(*held.stepped_aside, f"{sdk}: {reason}")))


def status() -> Status:
    """Return how this process is instrumented, and what went wrong since."""
    return replace(_held[0], faults=tuple(sorted(faults().items())))
