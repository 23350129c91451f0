"""What a user gets from the wheel: all of ours and nothing else, and a light bare install."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("instrumentation/farebox", "processor/farebox_processor", "schemas/farebox_schemas")
HEAVY = {"grpc", "polars", "pyarrow", "chdb", "clickhouse_connect", "numpy", "google"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that holds farebox without any extra."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    install = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder / "bin"


def test_the_wheel_holds_every_tracked_file_of_ours_and_no_other_package(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *SOURCES], cwd=ROOT, check=True, capture_output=True, text=True
    )
    tracked = {path.partition("/")[2] for path in listed.stdout.split("\0") if path}

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert tracked - packed == set()
    assert {name.partition("/")[0] for name in packed} == {
        "farebox",
        "farebox_processor",
        "farebox_schemas",
    }


def test_a_bare_install_imports_farebox_and_nothing_heavy(bare: Path) -> None:
    show = "import farebox, json, sys; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [bare / "python", "-I", "-W", "error", "-c", show],
        check=True,
        capture_output=True,
        text=True,
    )

    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert "farebox" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", ["serve", "price", "demo"])
def test_a_bare_install_says_which_extra_a_command_needs_and_exits_with_2(
    bare: Path, command: str
) -> None:
    run = subprocess.run([bare / "farebox", command], check=False, capture_output=True, text=True)

    assert run.returncode == 2
    assert "pip install 'farebox[processor]'" in run.stderr
    assert "Traceback" not in run.stderr
