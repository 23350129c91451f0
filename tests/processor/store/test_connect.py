import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farebox_processor.errors import ConfigError, RetryableStoreError
from farebox_processor.store.connect import ENGINE_CONFIG, is_embedded, open_client

from .conftest import Engine

CRASH = """
import faulthandler, os, sys
if sys.argv[3:]: faulthandler.enable()
from farebox_processor.store.connect import open_client
client = open_client("embedded:" + sys.argv[1], database="default")
client.command("SELECT 1")
os.kill(os.getpid(), int(sys.argv[2]))
"""

REPORT = """
import sys
from farebox_processor.store.connect import open_client
client = open_client("embedded:" + sys.argv[1], database="default")
print(client.command("SELECT timezone()"))
print(client.command("SELECT count() FROM system.macros"))
"""


def run_elsewhere(script: str, *arguments: str, **options: object) -> str:
    """Run `script` in a process of its own: the engine admits one path a process."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        **options,  # type: ignore[call-overload]
    )
    return str(done.stdout)


def test_the_engine_reads_its_own_settings_and_not_those_of_the_working_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.xml").write_text(
        "<clickhouse><macros><planted>1</planted></macros></clickhouse>"
    )

    printed = run_elsewhere(REPORT, str(tmp_path / "data"), cwd=tmp_path)

    assert printed.split() == ["UTC", "0"]


def test_the_engine_runs_in_utc_whatever_the_time_zone_of_the_machine(tmp_path: Path) -> None:
    elsewhere = os.environ | {"TZ": "Asia/Kolkata"}

    printed = run_elsewhere(REPORT, str(tmp_path / "data"), env=elsewhere, cwd=tmp_path)

    assert printed.split() == ["UTC", "0"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL])
def test_a_process_that_crashes_beside_the_engine_ends_at_once(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONFAULTHANDLER")
    crash = [sys.executable, "-c", CRASH, str(tmp_path / "data"), str(int(number))]

    done = subprocess.run(crash, check=False, capture_output=True, timeout=60)

    assert (done.returncode, done.stderr) == (-number, b"")


def test_a_crash_beside_the_engine_shows_the_traceback_that_was_asked_for(tmp_path: Path) -> None:
    crash = [sys.executable, "-c", CRASH, str(tmp_path / "data"), str(int(signal.SIGSEGV)), "asked"]

    done = subprocess.run(crash, check=False, capture_output=True, timeout=60)

    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith(b"Fatal Python error: Segmentation fault")


def test_the_settings_of_the_engine_are_part_of_the_package() -> None:
    assert ENGINE_CONFIG.is_absolute()
    assert ENGINE_CONFIG.is_file()


def test_a_store_that_another_process_has_open_is_named(engine_dsn: str, engine: Engine) -> None:
    engine("default").command("SELECT 1")
    script = (
        "import sys; from farebox_processor.store.connect import open_client\n"
        "try: open_client(sys.argv[1])\nexcept Exception as e: print(type(e).__name__, e)"
    )

    printed = run_elsewhere(script, engine_dsn)

    assert printed.startswith("RetryableStoreError the store ")
    assert "if another process has it open, stop that" in printed


def test_without_the_engine_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect.driver._chdbclient", None)
    monkeypatch.setitem(sys.modules, "chdb", None)

    with pytest.raises(ConfigError, match=r"pip install 'farebox\[embedded\]'"):
        open_client(f"embedded:{tmp_path}")


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("embedded:", "has no path"),
        ("postgres://localhost", "beginning with 'postgres:' cannot be used"),
        ("localhost:8123", "cannot be used"),
        ("", "cannot be used"),
        ("clickhouse://", "cannot be used"),
        ("https://host/?verfy=0", "unknown option 'verfy'"),
    ],
)
def test_a_store_that_cannot_be_used_says_what_to_write(dsn: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_client(dsn)


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(RetryableStoreError) as refused:
        open_client("clickhouse://farebox:hunter2@127.0.0.1:9/costs")

    assert "no ClickHouse answers at 127.0.0.1" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_is_in_no_message_about_the_dsn_itself() -> None:
    with pytest.raises(ConfigError) as refused:
        open_client("mysql://farebox:hunter2@localhost/costs")

    assert "hunter2" not in str(refused.value)


def test_only_an_embedded_store_is_embedded() -> None:
    assert is_embedded("embedded:data")
    assert not is_embedded("clickhouse://localhost")


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="write clickhouse://user:password@host:8123"):
        open_client(f"clickhouse://localhost:{port}")


def test_a_path_that_can_be_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="is no folder that can be written"):
        open_client(f"embedded:{tmp_path / 'file'}")
