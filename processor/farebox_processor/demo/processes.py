"""Processes: started with a log of their own, waited for, stopped, and quoted when they fail."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

from farebox_processor.errors import FareboxError

__all__ = [
    "Process",
    "ProcessFailedError",
    "answers",
    "free_port",
    "listens",
    "python",
    "wait_for",
]

_POLL_S: Final = 0.05
_START_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 30.0
_QUOTED_LINES: Final = 15
_PORTS: Final = range(10_240, 32_768)
"""Free to use for anybody, and below those that Linux, macOS and Windows hand out."""


class ProcessFailedError(FareboxError):
    """A process ended, or did not do what was waited for; the message ends with its last lines."""


class Process:
    """A process in a session of its own, so that a Ctrl-C reaches it only through its starter."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - the arguments are ours
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_inherited(), **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """What the process ended with; None while it runs."""
        return self._popen.poll()

    def lines(self) -> list[str]:
        """Return what the process has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace").splitlines()

    def failed(self, problem: str) -> ProcessFailedError:
        """Return the error that says `problem` of this process and quotes its last lines."""
        quoted = "\n".join(f"    {line}" for line in self.lines()[-_QUOTED_LINES:])
        return ProcessFailedError(f"{self.name} {problem}. Its last lines:\n{quoted}")

    def wait(self, within_s: float) -> int:
        """Wait for the end of the process and return its exit code.

        Raises ProcessFailedError if it takes longer than `within_s`.
        """
        try:
            return self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self.failed(f"has not ended within {within_s:.0f} s") from None

    def stop(self) -> None:
        """Ask the process to end, and make it end if it does not."""
        with suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._popen.kill()
        self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_code is None:
            self.stop()


def python(*arguments: str) -> list[str]:
    """Return a command that runs this Python, in which farebox is installed."""
    return [sys.executable, *arguments]


def wait_for(
    happened: Callable[[], bool], process: Process, *, what: str, within_s: float = _START_WITHIN_S
) -> None:
    """Wait until `happened`. Raises ProcessFailedError if `process` ends or time runs out first."""
    deadline = time.monotonic() + within_s
    while not happened():
        if process.exit_code is not None:
            raise process.failed(f"ended with code {process.exit_code} before {what}")
        if time.monotonic() > deadline:
            raise process.failed(f"did not get to this within {within_s:.0f} s: {what}")
        time.sleep(_POLL_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    It is one that systems do not hand out by themselves: what connects to somewhere in the
    meantime, or asks for any port, cannot be given it before its server listens on it.
    """
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Tell whether `url` answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - our own address
            return bool(response.status == HTTPStatus.OK)
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    except (OSError, http.client.HTTPException):
        return False


def _inherited() -> dict[str, str]:
    """Return this process's environment without what would steer the programs that are started."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FAREBOX_", "OTEL_"))
    }
