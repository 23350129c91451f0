"""`farebox demo`: real processes, real SDKs, and what each conversation costs by hand."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil

from farebox_processor.demo.processes import Process, python, wait_for

COSTS_USD = {
    # 28 calls of gpt-4o: 396 200 in x 2.5 + 1 680 out x 10, per million
    "agent-3001": "1.0073",
    # Sonnet 4.6: 9 600 fresh x 3 + 18 000 written x 3.75 + 198 000 read x 0.3 + 4 200 out x 15
    "contract-2002": "0.2187",
    # embedding 24 x 0.02; Sonnet 4.6: 5 200 x 3 + 610 x 15; three searches at 0.01
    "research-4001": "0.05475048",
    # gpt-5-mini: 45 850 x 0.25 + 4 200 out x 2, reasoning included
    "contract-2001": "0.0198625",
    # Haiku 4.5, streamed: 10 800 x 1 + 900 x 5
    "support-1002": "0.0153",
    # gpt-4o: 4 160 x 2.5 + 240 x 10
    "support-1003": "0.0128",
    # two refusals for nothing, then gpt-4o: 1 250 x 2.5 + 240 x 10
    "support-1005": "0.005525",
    # one refusal for nothing, then gpt-4o: 900 x 2.5 + 210 x 10
    "support-1004": "0.00435",
    # gpt-4o-mini: 1 060 x 0.15 + 176 x 0.6
    "support-1001": "0.0002646",
    "support-1006": None,
}


def test_the_demo_shows_what_each_conversation_cost(tmp_path: Path) -> None:
    run = subprocess.run(
        python("-m", "farebox_processor", "demo", "--json"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    shown = json.loads(run.stdout)
    conversations = shown["conversations"]
    assert {each["conversation_id"]: each["cost_usd"] for each in conversations} == COSTS_USD
    assert {each["tier"] for each in conversations} == {
        "simple",
        "standard",
        "complex",
        "enterprise",
    }
    assert shown["explained"]["total_usd"] == "0.005525"
    assert {each["value"] for each in shown["totals_by_feature"]} == {
        "agent",
        "contracts",
        "research",
        "support",
    }
    assert list(tmp_path.iterdir()) == []


def test_kept_the_server_answers_the_commands_that_are_shown_until_it_is_stopped(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        python("-m", "farebox_processor", "demo", "--keep"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        settings: dict[str, str] = {}
        for line in demo.stdout:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                settings[name] = value
            if line.startswith("farebox totals tier"):
                break
        asked = subprocess.run(
            python("-m", "farebox_processor", "explain", "agent-3001", "--json"),
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        demo.send_signal(signal.SIGINT)
        code = demo.wait()

    assert json.loads(asked.stdout)["total_usd"] == "1.0073"
    assert code == 0


def test_told_to_stop_the_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    command = python("-m", "farebox_processor", "demo", "--json")
    with Process("farebox demo", command, log=tmp_path / "demo.log") as demo:
        started = psutil.Process(demo.pid)
        wait_for(lambda: len(started.children()) > 1, demo, what="starting its processes")
        children = started.children(recursive=True)
        demo.stop()

    assert demo.exit_code == 128 + signal.SIGTERM
    assert psutil.wait_procs(children, timeout=30)[1] == []
