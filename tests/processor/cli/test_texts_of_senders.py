"""What senders write into ids, models and names is shown as it is, whatever it looks like."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("wide")

ODD = "[red]acme:key:7[/bold]"
CLEARS_THE_SCREEN = "\x1b[2J\u202egnp\n"


@pytest.fixture
def odd_file(tmp_path: Path) -> Path:
    """A call whose conversation, model and name look like markup, and a span that is no call."""
    return file_of(tmp_path, ODD)


def file_of(folder: Path, conversation: str) -> Path:
    """A file with a call of this conversation."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4o[/x]",
        "gen_ai.conversation.id": conversation,
    }
    tokens = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 10}
    times = {"startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000"}
    trace = {"traceId": "5b8efff798038103d269b633813fc60c"} | times
    call = trace | {
        "spanId": "eee19b7ec3c1b174",
        "name": "chat [/y]",
        "attributes": [
            *({"key": key, "value": {"stringValue": text}} for key, text in attributes.items()),
            *({"key": key, "value": {"intValue": str(count)}} for key, count in tokens.items()),
        ],
    }
    silent = trace | {"spanId": "eee19b7ec3c1b175", "name": "silent"}
    scopes = [
        {"scope": {"name": "calls[/a]"}, "spans": [call]},
        {"scope": {"name": "silent[/b]"}, "spans": [silent]},
    ]
    file = folder / "odd.json"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": scopes}]}))
    return file


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        (["price"], [ODD, "gpt-4o[/x]"]),
        (["explain", "--file"], [ODD, "gpt-4o[/x]", "chat [/y]"]),
        (["doctor"], ["calls[/a]", "silent[/b]", "gpt-4o[/x]"]),
    ],
)
def test_what_looks_like_markup_is_shown_as_it_was_sent(
    run: Any, odd_file: Path, command: list[str], texts: list[str]
) -> None:
    result = run(*command, odd_file)

    assert result.exit_code == 0, result.output
    assert [text for text in texts if text not in result.stdout] == []


@pytest.mark.parametrize("command", [["price"], ["explain", "--file"]])
def test_a_terminal_does_not_obey_what_was_sent(
    run: Any, tmp_path: Path, command: list[str]
) -> None:
    result = run(*command, file_of(tmp_path, CLEARS_THE_SCREEN))

    assert r"\x1b[2J\u202egnp\n" in result.stdout
    assert "\x1b[2J" not in result.stdout


def test_a_terminal_does_not_obey_what_an_error_repeats(run: Any, odd_file: Path) -> None:
    result = run("explain", CLEARS_THE_SCREEN, "--file", odd_file)

    assert result.exit_code == 1
    assert "\x1b[2J" not in result.stderr
