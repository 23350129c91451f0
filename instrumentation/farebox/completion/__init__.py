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


def turn_on() -> tuple[list[str], list[str]]:
    """Complete the usage of every SDK that is installed and known.

    Returns the SDKs that are completed, and those left alone, each with the reason.
    """
    done, aside = [], []
    for sdk, (complete, _) in _SDKS.items():
        try:
            if complete():
                done.append(sdk)
        except UnknownVersion as unknown:
            aside.append(f"{sdk}: {unknown}")
            say_once(f"the usage of {sdk} is not completed: {unknown}")
        except Exception as error:  # an SDK that is not completed still works
            note_fault(f"completing {sdk}", error)
            aside.append(f"{sdk}: {type(error).__name__}")
    return done, aside


def turn_off() -> None:
    """Undo `turn_on`."""
    for _, leave in _SDKS.values():
        leave()
