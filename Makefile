# Sluicegate. `make help` lists the targets. Needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo up test chaos monitoring check audit format bench bench-full docs docs-site lock build clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sluicegate needs Python 3.11 or later; set PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python requirements/run.lock pyproject.toml
	@echo "installing (locked, with hashes) ..."
	@$(PIP) --no-deps --require-hashes -r requirements/run.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@echo "installing what development needs (locked, with hashes) ..."
	@$(PIP) --no-deps --require-hashes -r requirements/dev.lock
	@touch $@

demo: $(VENV)/.run ## Run a mixed day of orders against the simulator and compare ledger and exchange
	@$(BIN)/sluicegate demo

up: $(VENV)/.run ## Run the whole stack until Ctrl-C, with simulator accounts
	@$(BIN)/sluicegate up --demo-accounts

test: $(VENV)/.dev ## Run every test, on real servers from wheels
	@$(BIN)/python -m pytest -n 3 --dist loadfile

monitoring: ## Install Debian's Prometheus and Alertmanager, as root: the tests of alerts need them
	@.ci/monitoring

chaos: $(VENV)/.dev ## Break its streams, then a running stack for CHAOS_MINUTES (10); CHAOS_SEED replays
	@$(BIN)/python -m tests.chaos.long_storm $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))
	@$(BIN)/python -m tests.chaos --minutes $(or $(CHAOS_MINUTES),10) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

check: $(VENV)/.dev ## Check format, lint, types, import contracts, generated documents
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m docs.generate --check
	@$(BIN)/python -m ops.grafana --check

audit: $(VENV)/.dev ## Ask PyPI about known weaknesses of the locked dependencies; needs the network
	@$(BIN)/python requirements/audit.py

format: $(VENV)/.dev ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## Write the documents that are made from the code
	@$(BIN)/python -m docs.generate
	@$(BIN)/python -m ops.grafana

docs-site: $(VENV)/.dev ## Build the documentation site, var/site/index.html, from docs/ and ops/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build

bench: $(VENV)/.dev ## Measure, against peers in the same run; writes benchmarks/results/latest.json
	@$(BIN)/python -m benchmarks

bench-full: $(VENV)/.dev ## Measure the whole grid; takes more than an hour
	@$(BIN)/python -m benchmarks --full

lock: $(VENV)/.dev ## Resolve the dependencies anew
	@$(PIP) uv
	@$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --upgrade \
	  --group dev pyproject.toml requirements/build.in -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes \
	  -c requirements/dev.lock pyproject.toml requirements/build.in -o requirements/run.lock

clean: ## Remove what this file and the embedded parts made
	@rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
