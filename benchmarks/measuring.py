"""Functions in, how long they take out: in turns, so that a busy machine slows all of them."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Timing", "in_turns"]

_WARM_UP_ROUNDS: Final = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one function in each round."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    """Of all threads of the process."""

    def times(self, baseline: "Timing") -> float:
        """Return how many times `baseline` this takes: the median over pairs of one round."""
        return statistics.median(a / b for a, b in zip(self.wall_s, baseline.wall_s, strict=True))

    def cpu_times(self, baseline: "Timing") -> float:
        """Return the same of processor time."""
        return statistics.median(a / b for a, b in zip(self.cpu_s, baseline.cpu_s, strict=True))

    def per_second(self, count: int) -> float:
        """Return how many of `count` things a second of the median round handles."""
        return count / statistics.median(self.wall_s)

    def per_cpu_second(self, count: int) -> float:
        """Return the same for a second of processor time."""
        return count / statistics.median(self.cpu_s)


def in_turns(functions: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, Timing]:
    """Time each function once a round, one after another, after a round that does not count."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for turn in range(_WARM_UP_ROUNDS + rounds):
        for name, function in functions.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            if turn >= _WARM_UP_ROUNDS:
                took = (time.perf_counter() - wall, time.process_time() - cpu)
                spent[name].append(took)
    return {name: Timing(*zip(*pairs, strict=True)) for name, pairs in spent.items()}
