"""Which price files can be used, and what is wrong with the others."""

from pathlib import Path

from farebox_processor.price_checks import check_files

OVERLAY = """\
models:
  - {provider: openai, model: gpt-4o, from: 2026-11-01, source: x, recorded: 2026-11-21,
     prices: {input_tokens: "2"}}
"""


def test_a_check_reports_what_is_wrong_with_which_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(OVERLAY)
    bad.write_text(OVERLAY.replace("input_tokens", "inputs"))

    checked = check_files([good, bad]).to_dicts()

    assert checked[0] == {"file": str(good), "entries": 1, "error": None}
    assert checked[1]["error"].startswith(
        f"{bad}:3: models[0].prices.inputs: unknown unit 'inputs'"
    )
