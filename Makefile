.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.lock
COLLECTOR := build/collector/otelcol-farebox

.PHONY: help demo test check static bench collector lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/installed: $(LOCK) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/installed ## play conversations of every tier through a real server and show what they cost
	$(BIN)/farebox demo

test: $(VENV)/installed ## run the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile

check: static test ## formatting, lint, types, tests: what has to hold before a commit

static: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed ## measure speed as ratios within one run
	$(BIN)/python -m benchmarks

collector: $(COLLECTOR) ## build the OpenTelemetry Collector that deploy/otel-collector.yaml is tested with; needs Go

$(COLLECTOR): tests/end_to_end/collector/builder.yaml
	@mkdir -p $(dir $@)
	go run go.opentelemetry.io/collector/cmd/builder@v0.155.0 --config $<

lock: $(VENV)/installed ## choose the newest versions that pyproject.toml allows and write the lock file
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command 'make lock' --all-extras --group dev --group peers --group instrumentations \
		pyproject.toml --output-file $(LOCK)

clean: ## remove the virtual environment, caches and build results
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
