"""Options that several commands share, and what they stand for."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from farebox_processor.config import Config

__all__ = ["ConfigFile", "Files", "Json", "OtlpFiles", "Tenant", "load_config"]

ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="FAREBOX_CONFIG",
        help="Configuration file; `farebox config` prints one with every key and its meaning.",
        show_envvar=True,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Tenant: TypeAlias = Annotated[str, typer.Option(help="Tenant that the spans belong to.")]
Files: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILES…",
        help="OTLP files (.pb, .json, .jsonl, or .gz of these) or folders of them.",
    ),
]

OtlpFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", help="Read OTLP files (as `farebox price` does) in place of the store."
    ),
]


def load_config(path: Path | None) -> Config:
    """Load the configuration from `path` and the environment; raises ConfigError."""
    return Config.load(path, os.environ)
