"""Run commands as a user does, in a folder of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from farebox_processor.cli.app import app
from farebox_processor.cli.console import out

CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus"

# gpt-4o at twice its price, from the beginning.
TWICE = """\
models:
  - provider: openai
    model: gpt-4o
    source: a test
    recorded: 2026-11-21
    prices: {input_tokens: "5", cache_read_tokens: "2.5", output_tokens: "20"}
"""


class Run(Protocol):
    """Runs `farebox` with the arguments given; settings are environment variables."""

    def __call__(self, *arguments: str | Path, **settings: str) -> Result: ...


@pytest.fixture
def recording() -> Callable[[str], Path]:
    """The file of a recording."""
    return lambda name: CORPUS / name / "case.pb"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `farebox` in an empty folder and without settings but those given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAREBOX_CONFIG", raising=False)
    runner = CliRunner()

    def invoke(*arguments: str | Path, **settings: str) -> Result:
        return runner.invoke(app, [str(each) for each in arguments], env=settings)

    return invoke


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables all the room they want, so that no cell is cut."""
    monkeypatch.setattr(out, "_width", 200)
