"""`farebox serve` that dies, as by kill -9, when it comes to a point for the n-th time."""

import os
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from farebox_processor.__main__ import main
from farebox_processor.server import ingest
from farebox_processor.store.writer import Writer

__all__ = ["POINTS"]

POINTS = ("after_parse", "after_insert", "before_ack", "after_ack", "after_calls", "after_traces")


def _dying(call: Callable[..., Any], dies: Callable[..., bool], nth: int) -> Callable[..., Any]:
    """Return `call`, which ends the process the n-th time that `dies` holds of its arguments."""
    times = count(1)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        if dies(*arguments) and next(times) == nth:
            os._exit(137)
        return result

    return wrapped


def _arm(point: str, nth: int) -> None:
    def always(*_: object) -> bool:
        return True

    if point == "after_parse":
        ingest.cost_requests = _dying(ingest.cost_requests, always, nth)
    elif point == "before_ack":
        ingest.Ingest.flush = _dying(ingest.Ingest.flush, always, nth)  # type: ignore[method-assign]
    elif point == "after_ack":
        add = ingest.LiveTraces.add
        ingest.LiveTraces.add = _dying(add, always, nth)  # type: ignore[method-assign]
    else:
        last = {"after_insert": "spans"}.get(point, point.removeprefix("after_"))
        write = _dying(Writer.write, lambda _, table, __: table == last, nth)
        Writer.write = write  # type: ignore[method-assign]


if __name__ == "__main__":
    _arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["farebox", "serve"]
    main()
