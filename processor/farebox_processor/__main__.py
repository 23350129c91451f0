"""The command `farebox`."""

import os
import sys

__all__ = ["main"]

_EXTRAS = {"chdb": "embedded", "openai": "demo", "anthropic": "demo"}


def main() -> None:
    """Run the command line; without the extra that a command needs, say which one and exit 2."""
    try:
        from farebox_processor.cli.app import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        sys.exit(_say_missing(error))
    try:
        app()
    except SystemExit as end:
        if "chdb" in sys.modules:
            _leave_at_once(end.code)
        raise


def _leave_at_once(code: object) -> None:
    """End the process without the interpreter's teardown, once what was written is out.

    The threads of the embedded engine outlive its connections and cannot be ended from Python;
    now and then one crashes when the libraries are torn down below it, and a command that did
    all it should ends with a signal: https://github.com/chdb-io/chdb-core/issues/181
    """
    if not (code is None or isinstance(code, int)):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # nobody reads any more; the interpreter has a way to say so
    os._exit(code or 0)


def _say_missing(error: ModuleNotFoundError) -> int:
    """Name the extra that brings the module that is missing; anything else is a defect of ours."""
    module = (error.name or "").partition(".")[0]
    if not module or module.startswith("farebox"):
        raise error
    extra = _EXTRAS.get(module, "processor")
    print(
        f"farebox: this command needs {module!r}, which is not installed."
        f" Install it with: pip install 'farebox[{extra}]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    main()
