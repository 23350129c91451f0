"""The command `farebox`."""

import sys

__all__ = ["main"]

_EXTRAS = {"chdb": "embedded", "openai": "demo", "anthropic": "demo"}


def main() -> None:
    """Run the command line; without the extra that a command needs, say which one and exit 2."""
    try:
        from farebox_processor.cli.app import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        sys.exit(_say_missing(error))
    app()


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
