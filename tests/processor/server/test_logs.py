"""The log: one JSON object a line, safe to look at and bounded."""

import io
import json
import logging

import pytest

from farebox_processor.config import LogConfig
from farebox_processor.server.logs import JsonLines, OncePerSecond, set_up_logging


@pytest.fixture
def log():
    """Return a logger and a function that returns what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(OncePerSecond())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_with_its_extra_fields(log):
    logger, written = log

    logger.info("stopping", extra={"grace_s": 25})

    (line,) = written()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "test", "message": "stopping", "grace_s": 25}


def test_nothing_of_a_sender_acts_on_a_terminal(log, capsys):
    logger, written = log
    hostile = "\x1b[31mred\r\nforged line \u202egnp.exe"

    logger.warning("refused %s", hostile, extra={"detail": hostile})

    (line,) = written()
    assert line["message"] == f"refused {hostile}"
    formatted = JsonLines().format(logging.makeLogRecord({"msg": hostile}))
    assert formatted.isascii()
    assert formatted.isprintable()


def test_values_are_cut_short(log):
    logger, written = log

    logger.info("m" * 10_000, extra={"detail": "d" * 10_000})

    (line,) = written()
    assert (len(line["message"]), len(line["detail"])) == (256, 256)


def test_a_reason_is_written_once_a_second_with_how_many_were_left_out():
    held_back = OncePerSecond()

    def passes(second, reason):
        record = logging.makeLogRecord(
            {"msg": "refused", "levelno": logging.WARNING, "reason": reason, "created": second}
        )
        return held_back.filter(record), getattr(record, "left_out", None)

    outcomes = [passes(0.0, "a"), passes(0.1, "a"), passes(0.2, "b"), passes(0.9, "a")]

    assert outcomes == [(True, None), (False, None), (True, None), (False, None)]
    assert passes(1.5, "a") == (True, 2)


def test_the_log_goes_to_the_stream_from_the_level_on():
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    try:
        root.handlers = []
        set_up_logging(LogConfig(level="warning"), stream)
        logging.getLogger("farebox").info("quiet")
        logging.getLogger("farebox").error("loud")
    finally:
        root.level, root.handlers = before

    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]
