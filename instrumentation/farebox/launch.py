"""`farebox-instrument COMMAND ...`: run a program instrumented, without a change to it."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_USAGE = """usage: farebox-instrument COMMAND [ARGUMENT ...]

Runs a Python program with farebox.instrument() called before its first line. The OTEL_* variables
say where spans go: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, ..."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace this process by the command; return a status only if that is not possible."""
    command = list(sys.argv[1:] if arguments is None else arguments)
    if not command or command[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if command else 2
    program = shutil.which(command[0])
    if program is None:
        print(f"farebox-instrument: {command[0]}: no such command", file=sys.stderr)
        return 127
    os.environ["PYTHONPATH"] = _python_path()
    os.execv(program, command)  # noqa: S606 - running the user's command is what this is for
    return 0


def _python_path() -> str:
    site = str(Path(__file__).parent / "_site")
    earlier = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([site, *(path for path in earlier if path and path != site)])
