"""SIGHUP in, the rules as their files are now out, to whoever goes by them."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from farebox_processor.errors import FareboxError
from farebox_processor.pipeline import Rules
from farebox_processor.server.metrics import Metrics

__all__ = ["GoesByRules", "Reloading"]

_logger = logging.getLogger(__name__)


class GoesByRules(Protocol):
    """Whoever reads `rules` anew for each batch."""

    rules: Rules


@dataclass(slots=True)
class Reloading:
    """Loads dialects, prices and plans again when asked; a mistake in them changes nothing."""

    load: Callable[[], Rules]
    """Reads the files; raises FareboxError that names file and line."""
    publish: Callable[[Rules], None]
    """Brings what is in force into the store, for the views."""
    followers: Sequence[GoesByRules]
    metrics: Metrics
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def listen(self) -> None:
        """Reload on SIGHUP from now on, beside whatever is going on. Call in the main thread."""
        signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=self.reload).start())

    def reload(self) -> bool:
        """Load the rules and hand them out; tell whether they could be used."""
        with self._one_at_a_time:
            try:
                rules = self.load()
                self.publish(rules)
            except FareboxError as error:
                _logger.error("the rules in use are kept", extra={"reason": str(error)})
                return self._told("kept")
            # Whatever it is, the server goes on by the rules that it has.
            except Exception:
                _logger.exception("the rules in use are kept")
                self.metrics.errors.labels("reload").inc()
                return self._told("kept")
            for follower in self.followers:
                follower.rules = rules
        _logger.info("the rules were loaded", extra={"price_book": rules.book.version})
        return self._told("loaded")

    def _told(self, result: str) -> bool:
        self.metrics.rules_loads.labels(result).inc()
        return result == "loaded"
