"""`farebox serve`, `farebox config` and `farebox demo`."""

from typing import Annotated

import typer

from farebox_processor.cli.console import out, told_plainly
from farebox_processor.cli.options import ConfigFile, Json, load_config

__all__ = ["config_command", "demo", "serve"]


def serve(*, config: ConfigFile = None) -> None:
    """Receive OTLP, price it and keep conversations in ClickHouse.

    Listens on this machine only, for OTLP/gRPC on port 4317 and OTLP/HTTP on 4318, unless
    configured otherwise. Ctrl-C finishes what is in flight; a second one stops at once.

    Examples:

    - `farebox serve`
    - `FAREBOX_STORE__DSN=clickhouse://writer:secret@db:8123 farebox serve`
    """
    from farebox_processor.server.command import run  # noqa: PLC0415 - brings the listeners

    with told_plainly():
        code = run(load_config(config))
    raise typer.Exit(code)


def config_command(*, config: ConfigFile = None) -> None:
    """Print the configuration in effect: every key, its meaning, and where its value came from.

    Example:

    - `farebox config > farebox.yaml`
    """
    with told_plainly():
        out.print(
            load_config(config).describe(), end="", markup=False, highlight=False, soft_wrap=True
        )


def demo(
    *,
    keep: Annotated[bool, typer.Option(help="Leave the server up until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Play conversations of every tier through a real server and show what they cost.

    A chat service on the providers' own SDKs talks to a local double of their APIs and sends its
    traces to `farebox serve` on the embedded ClickHouse, all in processes of their own.
    """
    from farebox_processor.demo.run import run_demo  # noqa: PLC0415 - brings the SDKs

    with told_plainly():
        raise typer.Exit(run_demo(keep=keep, as_json=json))
