"""What opentelemetry-instrument loads: farebox sets tracing up, or joins what another set up."""

import os
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

from farebox import libraries, setting_up

__all__ = ["FareboxConfigurator", "FareboxDistro", "join"]


class FareboxDistro(BaseDistro):  # type: ignore[misc]
    """Turns on one instrumentation per GenAI library, and every other that is installed."""

    def _configure(self, **kwargs: Any) -> None:
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
        setting_up.switch_content(on=False)

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Turn an instrumentor on, unless a preferred one records the same library."""
        if libraries.allows(entry_point.value):
            super().load_instrumentor(entry_point, **kwargs)


class FareboxConfigurator(_OTelSDKConfigurator):
    """Sets the SDK up from the OTEL_* variables."""


def join() -> None:
    """Stamp spans and complete usage, before the instrumentations are turned on."""
    if "farebox" not in _disabled():
        setting_up.join()


def _disabled() -> list[str]:
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    return [name.strip() for name in names.split(",")]
