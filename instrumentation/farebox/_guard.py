"""Errors of our own go in; a log line and a count come out. The host never sees them."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["faults", "harmless", "note_fault", "say_once"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_logger = logging.getLogger("farebox")
_lock = threading.Lock()
_faults: Counter[str] = Counter()
_SAID_MAX: Final = 1_000
_said: set[str] = set()


def note_fault(hook: str, error: BaseException) -> None:
    """Count an error that happened in `hook`; log the first of each hook with its traceback."""
    with _lock:
        _faults[hook] += 1
        first = _faults[hook] == 1
    if first:
        _logger.error("%s failed; the service goes on without it", hook, exc_info=error)


def faults() -> dict[str, int]:
    """Return how many errors each hook had since the process started."""
    with _lock:
        return dict(_faults)


def say_once(message: str) -> None:
    """Log a warning, unless the same one was logged before."""
    with _lock:
        if message in _said or len(_said) >= _SAID_MAX:
            return
        _said.add(message)
    _logger.warning(message)


def harmless(hook: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T | None]]:
    """Make a function return None where it would raise; the error is counted under `hook`.

    Only for code of our own: the host's callables are never run inside it.
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T | None]:
        @wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # whatever we got wrong, the host's call has to go on
                note_fault(hook, error)
                return None

        return guarded

    return decorate
