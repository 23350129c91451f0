"""`import farebox` is light, and needs nothing but OpenTelemetry's API and SDK."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from farebox.imports import forget_imports, when_imported

_BARE = """
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({barred}):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, NotInstalled())
import farebox
{then}
print(json.dumps({{"modules": sorted(sys.modules), "said": said}}))
"""

_HEAVY = (
    "aiohttp",
    "anthropic",
    "asyncio",
    "chdb",
    "farebox_processor",
    "farebox_schemas",
    "google",
    "grpc",
    "httpx",
    "numpy",
    "openai",
    "opentelemetry.exporter",
    "opentelemetry.instrumentation",
    "opentelemetry.proto",
    "opentelemetry.sdk",
    "psutil",
    "opentelemetry.util.genai",
    "polars",
    "pydantic",
    "requests",
    "wrapt",
    "yaml",
)
_OPTIONAL = (
    "opentelemetry.exporter",
    "opentelemetry.instrumentation",
    "opentelemetry.proto",
    "opentelemetry.util.genai",
    "openai",
    "anthropic",
    "google",
    "langchain",
    "agents",
    "botocore",
    "grpc",
    "wrapt",
)


def _in_a_new_process(then: str, barred: tuple[str, ...] = ()) -> Any:
    program = _BARE.format(barred=barred, then=then)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout) | {"errors": done.stderr}


def test_nothing_heavy_is_imported() -> None:
    modules = _in_a_new_process("said = farebox.__all__")["modules"]

    inside = tuple(f"{name}." for name in _HEAVY)
    assert [name for name in modules if name in _HEAVY or name.startswith(inside)] == []


def test_instrumenting_imports_no_library_that_the_service_does_not() -> None:
    then = "said = str(farebox.instrument('service', only=('openai', 'anthropic', 'google-genai')))"
    found = _in_a_new_process("import os; os.environ['OTEL_TRACES_EXPORTER'] = 'none'; " + then)

    assert {"openai", "anthropic", "google.genai"}.isdisjoint(found["modules"])
    assert "openai: opentelemetry.instrumentation.genai.openai (once" in found["said"]


def test_everything_works_where_nothing_else_is_installed() -> None:
    found = _in_a_new_process(
        """
status = farebox.instrument("service")
with farebox.conversation("c1", user="u1"), farebox.turn():
    said = farebox.headers()["baggage"].split(",")[0]
    farebox.tool_cost("search")
    farebox.record_cost("0.01")
    farebox.end_conversation("resolved")
said = [said, status.provider, list(status.instrumentations), list(farebox.status().faults)]
""",
        barred=_OPTIONAL,
    )

    assert found["said"] == ["gen_ai.conversation.id=c1", "created", [], []]
    assert "no spans are exported: pip install 'farebox[otlp]'" in found["errors"]


def test_modules_of_one_archive_are_acted_on_as_each_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name in ("in_archive_a", "in_archive_b", "in_archive_c"):
            archive.writestr(f"{name}.py", "")
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    imported: list[str] = []

    when_imported("in_archive_a", lambda: imported.append("a"))
    when_imported("in_archive_b", lambda: imported.append("b"))
    try:
        for name in ("in_archive_a", "in_archive_a", "in_archive_b"):
            assert find_spec(name)
        seen = [import_module(f"in_archive_{name}") and tuple(imported) for name in "cab"]
    finally:
        forget_imports()

    assert seen == [(), ("a",), ("a", "b")]
