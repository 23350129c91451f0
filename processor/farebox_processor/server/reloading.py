"""SIGHUP in, what was read at the start read again out: to whoever goes by it."""

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from farebox_processor.errors import FareboxError
from farebox_processor.server.metrics import Metrics

__all__ = ["Reloading", "reload_on_sighup"]

_logger = logging.getLogger(__name__)

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, slots=True)
class Reloading(Generic[_Loaded]):
    """Loads files again when asked; a mistake in them changes nothing."""

    what: str
    """What is loaded, in the plural: rules, tokens."""
    load: Callable[[], _Loaded]
    """Reads the files; raises FareboxError that names the file."""
    use: Callable[[_Loaded], object]
    """Puts in force what was read."""
    metrics: Metrics

    def reload(self) -> bool:
        """Load, and put in force what was read; tell whether it could be used."""
        try:
            self.use(self.load())
        except FareboxError as error:
            _logger.error("the %s in use are kept", self.what, extra={"reason": str(error)})
            return self._told("kept")
        # Whatever it is, the server goes on by what it has.
        except Exception:
            _logger.exception("the %s in use are kept", self.what)
            self.metrics.errors.labels("reload").inc()
            return self._told("kept")
        _logger.info("the %s were loaded", self.what)
        return self._told("loaded")

    def _told(self, result: str) -> bool:
        self.metrics.reloads.labels(self.what, result).inc()
        return result == "loaded"


def reload_on_sighup(*reloadings: Reloading[Any]) -> None:
    """Reload all of it on SIGHUP from now on, one after the other, beside whatever is going on.

    Call in the main thread.
    """
    one_at_a_time = threading.Lock()

    def reload_all() -> None:
        with one_at_a_time:
            for each in reloadings:
                each.reload()

    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload_all).start())
