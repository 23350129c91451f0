"""Whether the spans that an SDK emits by itself are the ones to keep, by the SDK's own switch."""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["SCOPE_OF_SDK", "keep_own_spans"]

SCOPE_OF_SDK: Final = {
    "anthropic": "com.anthropic.sdk.python",
    "mistral": "mistralai_sdk_tracer",
}
"""The instrumentation scope of the spans that an SDK emits by itself."""

_ANTHROPIC_SWITCH: Final = "ANTHROPIC_OPEN_TELEMETRY"
_ANTHROPIC_SPANS_SINCE: Final = 2
_MISTRAL_SWITCH: Final = "MISTRAL_SDK_TELEMETRY"


def keep_own_spans(library: str, *, has_another: bool) -> str | None:
    """Return why the SDK's own spans are the ones to keep, None if they are not.

    Sets the SDK's switch accordingly, unless the service has set it: then that decides. SDKs read
    it as a client is made, so clients that exist stay as they are.
    """
    if library == "anthropic":
        return _keep_anthropics(has_another=has_another)
    return _keep_mistrals() if library == "mistral" else None


def _keep_anthropics(*, has_another: bool) -> str | None:
    if not _emits_by_default("anthropic", _ANTHROPIC_SPANS_SINCE):
        return None
    if not has_another:
        return "the SDK's own spans"
    said = os.environ.setdefault(_ANTHROPIC_SWITCH, "false").lower()
    return None if said == "false" else f"the SDK's own spans, as {_ANTHROPIC_SWITCH} says"


def _keep_mistrals() -> str | None:
    """Prefer them: other instrumentations drop cached tokens, and older SDKs cannot be silenced."""
    said = os.environ.setdefault(_MISTRAL_SWITCH, "global").lower()
    return f"the SDK's own spans, {_MISTRAL_SWITCH}=global" if said == "global" else None


def _emits_by_default(package: str, since: int) -> bool:
    try:
        return int(version(package).split(".")[0]) >= since
    except (PackageNotFoundError, ValueError):
        return False
