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


TERMS_BEFORE = """\
models:
  - {provider: openai, model: gpt-4o, source: "https://acme.example", recorded: 2026-11-01,
     from: 2026-11-01, prices: {input_tokens: "2"}}
rules:
  - {id: crm, match: {tool_name: "crm_*"}, prices: {call: "0.001"}, source: x, recorded: 2026-11-01}
adjustments:
  - {id: acme-eu, provider: acme, models: ["acme-*"], region: eu, multiply: "1.1", source: x,
     recorded: 2026-11-01}
contracts:
  - {id: globex-2026, tenant: globex, from: 2026-01-01, prices: {output_tokens: "9"},
     source: order form 4711, recorded: 2026-01-01}
"""
TERMS_AFTER = """\
models:
  - {provider: openai, model: gpt-4o, source: "https://acme.example", recorded: 2026-11-01,
     from: 2026-11-01, until: 2027-01-01, prices: {input_tokens: "1.5"}}
rules:
  - {id: crm, match: {tool_name: "crm_*"}, prices: {call: "0.002"}, source: x, recorded: 2026-11-01}
  - {id: gpu, match: {provider: vllm}, prices: {second: {usd: "3.6", per: 3600}}, source: x,
     recorded: 2026-11-01}
contracts:
  - {id: globex-2026, tenant: globex, from: 2026-01-01, prices: {output_tokens: "8.5"},
     source: order form 4711, recorded: 2026-01-01}
"""


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Path, Path]:
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(TERMS_BEFORE)
    after.write_text(TERMS_AFTER)
    return before, after


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_two_versions_of_a_file_are_compared_price_by_price_and_term_by_term(
    run: Run, versions: tuple[Path, Path]
) -> None:
    result = run("prices", "diff", *versions)

    assert lines_of(result.stdout) == [
        "model unit context from if input is above before after",
        "openai/gpt-4o input_tokens 2026-11-01 $2/M $1.5/M until 2027-01-01",
        "",
        "entry from term before after",
        "contract globex-2026 of globex 2026-01-01 prices.output_tokens $9/M $8.5/M",
        "multiplier acme-eu models acme-* none",
        "multiplier acme-eu multiply 1.1 none",
        "multiplier acme-eu providers acme none",
        "multiplier acme-eu regions eu none",
        "rule crm prices.call $0.001 $0.002",
        "rule gpu match.provider none vllm",
        "rule gpu prices.second none $0.001",
    ]


def test_a_comparison_for_programs_has_every_price_and_term_that_differs(
    run: Run, versions: tuple[Path, Path]
) -> None:
    compared = json.loads(run("prices", "diff", *versions, "--json").stdout)

    assert compared.pop("before") != compared.pop("after")
    assert compared["prices"] == [
        {
            "provider": "openai",
            "model": "gpt-4o",
            "unit": "input_tokens",
            "context": "",
            "above_input_tokens": 0,
            "valid_from": "2026-11-01T00:00:00+00:00",
            "before_usd": "0.000002",
            "after_usd": "0.0000015",
            "before_until": None,
            "after_until": "2027-01-01T00:00:00+00:00",
        }
    ]
    names = ("kind", "id", "tenant", "valid_from", "term", "before", "after")
    assert compared["terms"] == [
        dict(zip(names, row, strict=True))
        for row in (
            ("contract", "globex-2026", "globex", "2026-01-01", "prices.output_tokens",
             "0.000009", "0.0000085"),
            ("multiplier", "acme-eu", None, None, "models", "acme-*", None),
            ("multiplier", "acme-eu", None, None, "multiply", "1.1", None),
            ("multiplier", "acme-eu", None, None, "providers", "acme", None),
            ("multiplier", "acme-eu", None, None, "regions", "eu", None),
            ("rule", "crm", None, None, "prices.call", "0.001", "0.002"),
            ("rule", "gpu", None, None, "match.provider", None, "vllm"),
            ("rule", "gpu", None, None, "prices.second", None, "0.001"),
        )
    ]  # fmt: skip
    assert compared.keys() == {"prices", "terms"}


def test_one_file_is_compared_with_the_book_in_use(run: Run, overlay: Path, contract: Path) -> None:
    prices = run("prices", "diff", overlay)
    terms = run("prices", "diff", contract)

    assert lines_of(prices.stdout) == [
        "model unit context from if input is above before after",
        "openai/gpt-4o input_tokens 2026-11-01 none $2/M",
        "openai/gpt-4o web_search 2026-11-01 none $0.008",
    ]
    assert lines_of(terms.stdout) == [
        "entry from term before after",
        "contract globex-2026 of globex multiply none 0.875",
        "contract globex-2026 of globex prices.output_tokens none $9/M",
    ]


def test_files_that_cost_the_same_are_told_from_files_that_are_the_same(
    run: Run, overlay: Path, tmp_path: Path
) -> None:
    noted = tmp_path / "noted.yaml"
    noted.write_text("# as agreed\n" + OVERLAY)

    assert run("prices", "diff", overlay, overlay).stdout == "the two are the same\n"
    assert run("prices", "diff", overlay, noted).stdout == (
        "the two cost the same; their texts differ\n"
    )


def test_the_rule_that_prices_a_tool_is_shown_with_source_date_and_file(
    run: Run, versions: tuple[Path, Path]
) -> None:
    settings = {"FAREBOX_PRICES__OVERLAYS": str(versions[0])}
    arguments = ("prices", "show", "crm_find", "--at", "2026-11-21", "--tenant", "globex")

    text = run(*arguments, **settings).stdout
    shown = json.loads(run(*arguments, "--json", **settings).stdout)

    assert lines_of(text)[0] == "rule where unit price per from source entry"
    assert "".join(lines_of(text)[1:-1]).replace(" ", "") == (
        f"crmtool_name=crm_*call$0.0011x(2026-11-01){versions[0]}:5"
    )
    assert lines_of(text)[-1] == (
        "contract globex-2026: output_tokens $9 · order form 4711 (2026-01-01)"
    )
    assert shown.pop("contract")["id"] == "globex-2026"
    assert shown == {
        "tool": "crm_find",
        "at": "2026-11-21T00:00:00+00:00",
        "rules": [
            {
                "rule": "crm",
                "match": "tool_name=crm_*",
                "unit": "call",
                "usd": "0.001",
                "per": 1,
                "above_input_tokens": 0,
                "valid_from": None,
                "valid_until": None,
                "source": "x",
                "recorded": "2026-11-01",
                "file": str(versions[0]),
                "line": 5,
            }
        ],
    }


def test_all_rules_are_shown_in_the_order_in_which_they_are_tried(
    run: Run, versions: tuple[Path, Path]
) -> None:
    settings = {"FAREBOX_PRICES__OVERLAYS": str(versions[1])}

    text = run("prices", "show", "--rules", **settings).stdout
    shown = json.loads(run("prices", "show", "--rules", "--json", **settings).stdout)

    rules = ["crm", "gpu", "tavily-search", "exa-search"]
    assert [row["rule"] for row in shown["rules"]] == rules
    assert shown.keys() == {"at", "rules"}
    assert [line.split()[0] for line in text.splitlines() if "$" in line] == rules
    assert "shipped/tools.yaml:6" in text


def test_a_unit_is_shown_with_the_models_that_charge_for_it(run: Run) -> None:
    arguments = ("prices", "show", "rerank_search", "--provider", "cohere", "--at", "2026-11-21")

    text = run(*arguments).stdout
    shown = json.loads(run(*arguments, "--json").stdout)

    [price] = shown.pop("prices")
    source = price.pop("source")
    assert shown == {"unit": "rerank_search", "at": "2026-11-21T00:00:00+00:00"}
    assert price == {"provider": "cohere", "models": ["rerank-v3.5"], "usd": "2", "per": 1000}
    assert lines_of(text) == [
        "rerank_search at 2026-11-21 00:00 UTC",
        "provider models price per source",
        f"cohere rerank-v3.5 $2 1,000 {source}",
    ]


@pytest.mark.parametrize("arguments", [(), ("gpt-4o", "--rules")])
def test_what_to_show_is_said_one_way(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("prices", "show", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ("farebox: name a model, a tool or a unit, or else ask for --rules\n")


def test_a_folder_without_price_files_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("prices", "diff", tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"farebox: {tmp_path}: no YAML file in this folder; name another, or a file\n"
    )


def test_a_provider_that_is_not_known_is_answered_with_those_near_it(run: Run) -> None:
    result = run("prices", "show", "gpt-4o", "--provider", "opnai")

    assert result.exit_code == 1
    assert "(unknown_provider); near it are openai" in result.stderr


@pytest.mark.parametrize("content", [None, b"\xd0\x01"])
def test_a_price_file_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "prices.yaml"
    if content is not None:
        file.write_bytes(content)

    result = run("prices", "check", file)

    assert (result.exit_code, f"{file}: cannot be read" in result.stderr) == (1, True)
