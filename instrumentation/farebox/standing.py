"""What farebox did to the running service, for its logs and for whoever asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farebox._guard import faults
from farebox.libraries import Choice

__all__ = ["Status", "remember", "status"]


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


def status() -> Status:
    """Return how this process is instrumented, and what went wrong since."""
    return replace(_held[0], faults=tuple(sorted(faults().items())))
