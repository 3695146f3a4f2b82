# The same gate for a person and for CI: `make test`.
SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.encore-setup
INPUTS := requirements.lock pyproject.toml kafka/ivy.xml spark/ivy.xml database/ivy.xml
DEMO_ARGS ?=
TESTS ?= tests
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint screenshots bench clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv and fetch the jars; does nothing when nothing changed

$(STAMP): $(INPUTS) scripts/prerequisites.sh
	@scripts/prerequisites.sh
	@test -x $(BIN)/python || "$$(scripts/prerequisites.sh --python)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@# setuptools warns that folders beside it could hide an editable package: they are the package.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# What the build leaves here would go before the installed one, and grow old.
	@rm -rf *.egg-info
	$(BIN)/encore fetch
	@touch $(STAMP)

demo: setup ## The whole loop, live in the terminal (DEMO_ARGS="--for 120s --json out.json")
	$(BIN)/encore demo $(DEMO_ARGS)

test: lint ## Lint, strict types and all tests
	@scripts/prerequisites.sh --redis || echo "the tests of Redis are skipped"
	@scripts/prerequisites.sh --browser || echo "the tests of the page are skipped"
	@# In two processes, as one that waits for a start leaves a core idle; JOBS=0: one after another.
	$(BIN)/pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder --durations=20 $(TESTS)

lint: setup ## Style, import rules and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

screenshots: setup ## Pictures of the page of a running demo, for docs/screenshots
	$(BIN)/python -m tests.browser.screenshots

bench: setup ## Benchmarks: ratios measured in one run
	$(BIN)/python -m benchmarks

clean: ## Stop the local stack; delete .venv and .encore
	@if [ -x $(BIN)/encore ]; then $(BIN)/encore down --wipe; fi
	rm -rf .venv .encore build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
