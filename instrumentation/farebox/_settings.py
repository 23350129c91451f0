"""What `instrument` was asked for, as far as code that runs later needs it."""

from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["BAGGAGE_FIELDS", "Settings", "current_settings", "own_tracer", "use_settings"]

BAGGAGE_FIELDS: Final = frozenset(
    {"id", "turn_id", "tenant", "user_tier", "feature", "action", "type"}
)
"""What travels to other services by default. Not the user, nor dimensions of the service's own:
baggage goes out with every request, also to other companies."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides how conversations travel between services."""

    accept_baggage: bool = True
    """Whether a conversation that arrives in a request's baggage is believed."""
    baggage_fields: frozenset[str] = BAGGAGE_FIELDS
    """Which fields of a conversation go out with requests; empty: none."""
    baggage_bytes_max: int = 2_048
    """Size of the outgoing entries, encoded. What does not fit stays behind, the id last."""
    tracer_provider: TracerProvider | None = None
    """Where spans of farebox's own go; None: to the global one."""


_held: list[Settings] = [Settings()]


def current_settings() -> Settings:
    """Return the settings in force."""
    return _held[0]


def own_tracer() -> Tracer:
    """Return the tracer for what farebox itself has to say."""
    return trace.get_tracer("farebox", tracer_provider=current_settings().tracer_provider)


def use_settings(settings: Settings) -> None:
    """Put settings in force, for the whole process."""
    _held[0] = settings
