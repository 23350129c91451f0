"""What the official instrumentations leave out and money depends on, added to their own spans."""

from collections.abc import Callable
from typing import Final

from farebox._guard import note_fault, say_once
from farebox.completion import google_genai, stainless
from farebox.completion.versions import UnknownVersion

__all__ = ["turn_off", "turn_on"]

_SDKS: Final[dict[str, tuple[Callable[[], bool], Callable[[], None]]]] = {
    "openai": (stainless.complete_openai, stainless.leave_openai),
    "anthropic": (stainless.complete_anthropic, stainless.leave_anthropic),
    "google-genai": (google_genai.complete, google_genai.leave),
}


def turn_on(sdk: str) -> tuple[str | None, str | None]:
    """Complete the usage of an SDK, if it is one that leaves something out.

    Returns the SDK, or None, and the reason why it is left alone, or None.
    """
    complete, _ = _SDKS.get(sdk, (None, None))
    if complete is None:
        return None, None
    try:
        return (sdk if complete() else None), None
    except UnknownVersion as unknown:
        say_once(f"the usage of {sdk} is not completed: {unknown}")
        return sdk, str(unknown)
    except Exception as error:  # an SDK that is not completed still works
        note_fault(f"completing {sdk}", error)
        return sdk, type(error).__name__


def turn_off() -> None:
    """Undo `turn_on`."""
    for _, leave in _SDKS.values():
        leave()
