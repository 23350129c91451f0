"""`farebox prices`: what is shown, what is refused, what is compared."""

import json
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.usefixtures("wide")

OVERLAY = """\
models:
  - {provider: openai, model: gpt-4o, source: "https://acme.example", recorded: 2026-11-01,
     from: 2026-11-01, prices: {input_tokens: "2", web_search: {usd: "8", per: 1000}}}
"""
CONTRACT = """\
contracts:
  - id: globex-2026
    tenant: globex
    discount_percent: "12.5"
    prices: {output_tokens: "9"}
    source: order form 4711
    recorded: 2026-01-01
"""
WRONG = {
    "unit": (
        "models:\n  - {provider: a, model: b, source: x, recorded: 2026-11-01,\n"
        '     prices: {input_tokns: "2"}}\n',
        "3: models[0].prices.input_tokns: unknown unit 'input_tokns'; did you mean 'input_tokens'?",
    ),
    "price": (
        "models:\n  - {provider: a, model: b, source: x, recorded: 2026-11-01,\n"
        '     prices: {input_tokens: "-2"}}\n',
        "3: models[0].prices.input_tokens: found -2; a price is a finite number, not below 0",
    ),
    "dates": (
        "models:\n"
        "  - {provider: a, model: b, source: x, recorded: 2026-11-01, from: 2026-01-01,\n"
        '     until: 2026-06-01, prices: {input_tokens: "2"}}\n'
        "  - {provider: a, model: b, source: x, recorded: 2026-11-01, from: 2026-05-01,\n"
        '     prices: {input_tokens: "3"}}\n',
        "4: models[1]: its dates overlap with the entry on line 2;"
        " end one with 'until' where the other begins with 'from'",
    ),
}


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "overlay.yaml"
    path.write_text(OVERLAY)
    return path


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    path = tmp_path / "contract.yaml"
    path.write_text(CONTRACT)
    return path


def test_the_prices_of_a_model_are_shown_with_the_layer_that_gave_each(
    run: Run, overlay: Path
) -> None:
    result = run(
        "prices", "show", "gpt-4o", "--at", "2026-11-21", FAREBOX_PRICES__OVERLAYS=str(overlay)
    )

    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "openai/gpt-4o at 2026-11-21 00:00 UTC",
        "unit price per if input is above source",
        "cache_read_tokens $1.25 1,000,000 genai-prices 0.2.3: gpt-4o",
        "file_search $2.5 1,000 genai-prices 0.2.3: gpt-4o",
        "input_tokens $2 1,000,000 https://acme.example (2026-11-01)",
        "output_tokens $10 1,000,000 genai-prices 0.2.3: gpt-4o",
        "web_search $8 1,000 https://acme.example (2026-11-01)",
    ]


def test_prices_are_those_of_the_time_that_is_asked_for(run: Run, overlay: Path) -> None:
    result = run(
        "prices",
        "show",
        "gpt-4o",
        "--at",
        "2026-10-31T23:59",
        "--json",
        FAREBOX_PRICES__OVERLAYS=str(overlay),
    )

    shown = {row["unit"]: row["usd"] for row in json.loads(result.stdout)["prices"]}
    assert shown == {
        "cache_read_tokens": "1.25",
        "file_search": "2.5",
        "input_tokens": "2.5",
        "output_tokens": "10",
        "web_search": "10",
    }


@pytest.mark.parametrize(
    ("arguments", "model", "input_usd"),
    [
        (("gpt-5.1", "--tier", "flex"), "openai/gpt-5.1", "0.625"),
        (("gpt-5.1", "--tier", "batch"), "openai/gpt-5.1", "0.625"),
        (
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "--provider", "aws.bedrock"),
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3.3",
        ),
        (
            ("claude-sonnet-4-5", "--provider", "gcp.vertex_ai", "--region", "europe-west1"),
            "google/claude-sonnet-4-5",
            "3.3",
        ),
    ],
)
def test_prices_depend_on_provider_region_and_tier(
    run: Run, arguments: tuple[str, ...], model: str, input_usd: str
) -> None:
    result = run("prices", "show", *arguments, "--at", "2026-11-21", "--json")

    shown = json.loads(result.stdout)
    prices = [row["usd"] for row in shown["prices"] if row["unit"] == "input_tokens"]
    assert (shown["priced_model"], prices[0]) == (model, input_usd)


def test_a_contract_is_shown_beside_the_list_prices(run: Run, contract: Path) -> None:
    settings = {"FAREBOX_PRICES__CONTRACTS": str(contract)}
    arguments = ("prices", "show", "gpt-4o", "--at", "2026-11-21", "--tenant", "globex")

    text = run(*arguments, **settings).stdout
    shown = json.loads(run(*arguments, "--json", **settings).stdout)

    assert text.splitlines()[-1] == (
        "contract globex-2026: output_tokens $9, all × 0.875 · order form 4711 (2026-01-01)"
    )
    assert shown["contract"] == {
        "id": "globex-2026",
        "factor": "0.875",
        "prices": {"output_tokens": {"usd": "9", "per": 1_000_000}},
        "source": "order form 4711 (2026-01-01)",
    }


def test_a_model_without_price_is_answered_with_names_like_it(run: Run) -> None:
    result = run("prices", "show", "gpt-4oo")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "farebox: the price book has no price for 'gpt-4oo' (unknown_model); near it are gpt-4o"
    )


def test_files_that_hold_are_counted(run: Run, overlay: Path, contract: Path) -> None:
    result = run("prices", "check", overlay.parent)

    assert result.exit_code == 0
    assert result.stdout == (f"{contract}: 1 entries, all good\n{overlay}: 1 entries, all good\n")


def test_without_files_those_of_the_configuration_are_checked(run: Run, overlay: Path) -> None:
    named = run("prices", "check", "--json", FAREBOX_PRICES__OVERLAYS=str(overlay))
    none = run("prices", "check")

    assert json.loads(named.stdout) == {
        "files": [{"file": str(overlay), "entries": 1, "error": None}]
    }
    assert none.stdout.startswith("no price file of your own is in use")


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_told_with_file_line_and_what_to_do(
    run: Run, tmp_path: Path, overlay: Path, mistake: str
) -> None:
    content, message = WRONG[mistake]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(content)

    result = run("prices", "check", wrong, overlay)

    assert result.exit_code == 1
    assert result.stdout == f"{overlay}: 1 entries, all good\n"
    assert result.stderr.startswith(f"farebox: {wrong}:{message}")


def test_a_command_refuses_a_configured_file_with_a_mistake(run: Run, tmp_path: Path) -> None:
    content, message = WRONG["price"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(content)

    result = run("prices", "show", "gpt-4o", FAREBOX_PRICES__OVERLAYS=str(wrong))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"farebox: {wrong}:{message}\n"


def test_two_versions_of_a_file_are_compared_price_by_price(
    run: Run, overlay: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later.yaml"
    later.write_text(OVERLAY.replace('input_tokens: "2"', 'input_tokens: "1.5"'))

    text = run("prices", "diff", overlay, later).stdout
    compared = json.loads(run("prices", "diff", overlay, later, "--json").stdout)

    assert text.splitlines()[1].split() == [
        "openai/gpt-4o",
        "input_tokens",
        "2026-11-01",
        "$2/M",
        "$1.5/M",
    ]
    assert compared["before"] != compared["after"]
    assert compared["changed"] == [
        {
            "provider": "openai",
            "model": "gpt-4o",
            "unit": "input_tokens",
            "context": "",
            "above_input_tokens": 0,
            "valid_from": "2026-11-01T00:00:00+00:00",
            "before_usd": "0.000002",
            "after_usd": "0.0000015",
        }
    ]


def test_one_file_is_compared_with_the_book_in_use(run: Run, overlay: Path) -> None:
    result = run("prices", "diff", overlay)

    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["openai/gpt-4o", "input_tokens", "2026-11-01", "none", "$2/M"],
        ["openai/gpt-4o", "web_search", "2026-11-01", "none", "$0.008"],
    ]


def test_what_is_no_list_price_is_not_passed_off_as_the_same(
    run: Run, overlay: Path, contract: Path
) -> None:
    same = run("prices", "diff", overlay, overlay)
    other = run("prices", "diff", contract)

    assert same.stdout == "the two are the same\n"
    assert other.stdout == (
        "no list price differs; rules, regional factors, contracts or aliases may\n"
    )


def test_a_folder_without_price_files_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("prices", "diff", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"farebox: {tmp_path}: no YAML file in this folder; name another, or a file\n"
    )
