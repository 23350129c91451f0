"""Processes are awaited, stopped, and quoted when they fail."""

import os
from pathlib import Path

import pytest

from farebox_processor.demo.processes import Process, ProcessFailedError, python, wait_for

PATIENT = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True));"
    "print('up', flush=True)\nwhile True: signal.pause()"
)


def started(program: str, folder: Path, **environment: str) -> Process:
    return Process(
        "the program", python("-c", program), log=folder / "log", environment=environment
    )


def is_up(process: Process) -> None:
    wait_for(lambda: "up" in process.lines(), process, what="being up")


def test_a_process_that_ends_too_early_is_quoted(tmp_path: Path) -> None:
    with (
        started("print('no such port'); raise SystemExit(3)", tmp_path) as process,
        pytest.raises(ProcessFailedError) as failure,
    ):
        wait_for(lambda: False, process, what="listening")

    assert str(failure.value) == (
        "the program ended with code 3 before listening. Its last lines:\n    no such port"
    )


def test_a_process_that_takes_too_long_is_quoted(tmp_path: Path) -> None:
    with started(PATIENT, tmp_path) as process:
        is_up(process)
        with pytest.raises(ProcessFailedError, match="did not get to this within 0 s: listening"):
            wait_for(lambda: False, process, what="listening", within_s=0)


def test_a_process_is_stopped_when_its_block_is_left(tmp_path: Path) -> None:
    with started(PATIENT, tmp_path) as process:
        is_up(process)
        assert process.exit_code is None

    assert process.exit_code == -15


def test_a_process_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farebox_processor.demo.processes._STOP_WITHIN_S", 0.2)

    with started(STUBBORN, tmp_path) as process:
        is_up(process)

    assert process.exit_code == -9
    assert process.lines() == ["up", "no"]


def test_settings_of_this_process_do_not_steer_the_ones_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREBOX_SERVER__GRPC_PORT", "1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tests")
    told = "import os; print(sorted(n for n in os.environ if n.startswith(('FAREBOX_', 'OTEL_'))))"

    with started(told, tmp_path, FAREBOX_SERVER__HTTP_PORT="2") as process:
        assert process.wait(30) == 0

    assert process.lines() == ["['FAREBOX_SERVER__HTTP_PORT']"]
    assert "OTEL_SERVICE_NAME" in os.environ
