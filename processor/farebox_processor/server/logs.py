"""The log: one JSON object a line, nothing of a sender's that could act on a terminal."""

import json
import logging
import time
from collections import OrderedDict
from typing import Final, TextIO

from farebox_processor.config import LogConfig

__all__ = ["JsonLines", "OncePerSecond", "set_up_logging"]

_VALUE_CHARACTERS: Final = 256
_TRACEBACK_CHARACTERS: Final = 8_192
_REMEMBERED_REASONS: Final = 1_024
# What every record carries; the rest was given as `extra`.
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """Formats a record as JSON, in which control characters are escaped and values cut short."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_VALUE_CHARACTERS],
        }
        for name, value in vars(record).items():
            if name not in _OWN_FIELDS:
                line[name] = value if isinstance(value, int | float) else _cut(value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-_TRACEBACK_CHARACTERS:]
        # ASCII only: also the marks that turn the direction of writing are escaped.
        return json.dumps(line, ensure_ascii=True)


class OncePerSecond(logging.Filter):
    """Lets a message with the same reason through once a second, with how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._last: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be written. Errors and warnings only are held back."""
        if record.levelno < logging.WARNING:
            return True
        reason = (record.name, str(record.msg), str(getattr(record, "reason", "")))
        written, left_out = self._last.pop(reason, (float("-inf"), 0))
        if record.created - written < 1:
            self._last[reason] = (written, left_out + 1)
            return False
        if left_out:
            record.left_out = left_out
        self._last[reason] = (record.created, 0)
        if len(self._last) > _REMEMBERED_REASONS:
            self._last.popitem(last=False)
        return True


def set_up_logging(settings: LogConfig, stream: TextIO) -> None:
    """Write the log of the whole process to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(OncePerSecond())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # Says "Started server process" for each of our listeners.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _cut(value: object) -> str:
    return str(value)[:_VALUE_CHARACTERS]
