"""What deploy/otel-collector.yaml has to say for nothing to be lost on the way to farebox."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from farebox_processor.config import ServerConfig
from farebox_processor.otlp import Limits

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy/otel-collector.yaml"
BUILDER = ROOT / "tests/end_to_end/collector/builder.yaml"

# Trace id, span id, parent, two times and a name of one byte, each with its tag.
SMALLEST_SPAN_BYTES = 18 + 10 + 10 + 9 + 9 + 3


@pytest.fixture
def configuration() -> dict[str, Any]:
    return yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))


@pytest.fixture
def exporter(configuration: dict[str, Any]) -> dict[str, Any]:
    return configuration["exporters"]["otlp_grpc/farebox"]


def test_spans_wait_on_disk_and_are_sent_again_without_end(
    configuration: dict[str, Any], exporter: dict[str, Any]
) -> None:
    storage = exporter["sending_queue"]["storage"]

    assert storage in configuration["service"]["extensions"]
    assert configuration["extensions"][storage]["fsync"] is True
    assert exporter["retry_on_failure"]["enabled"] is True
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0


def test_nothing_holds_acknowledged_spans_in_memory_only(configuration: dict[str, Any]) -> None:
    pipelines = configuration["service"]["pipelines"]

    assert pipelines == {
        "traces": {
            "receivers": ["otlp"],
            "processors": ["memory_limiter"],
            "exporters": ["otlp_grpc/farebox"],
        }
    }


def test_no_request_is_larger_than_farebox_takes(exporter: dict[str, Any]) -> None:
    batch = exporter["sending_queue"]["batch"]

    assert batch["sizer"] == "bytes"
    assert batch["max_size"] <= ServerConfig().max_request_bytes
    assert batch["max_size"] // SMALLEST_SPAN_BYTES <= Limits().spans_per_request


def test_farebox_can_read_the_compression_and_answers_within_the_timeout(
    exporter: dict[str, Any],
) -> None:
    assert exporter["compression"] == "gzip"
    assert int(exporter["timeout"].removesuffix("s")) * 1000 > ServerConfig().answer_within_ms


def test_the_header_names_the_version_that_is_tested() -> None:
    built = yaml.safe_load(BUILDER.read_text(encoding="utf-8"))["dist"]["version"]
    told = re.search(r"against a collector of (\d+\.\d+)", CONFIGURATION.read_text("utf-8"))

    assert told is not None
    assert built.startswith(told[1])
