# A few verbs; each installs what it needs. `make run` and `make test` work on a machine that has only git, make and Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard native/*) $(wildcard bpf/*) setup.py pyproject.toml src/headwater/records/btf.py

.PHONY: run test check fmt build bench golden docs wheel soak clean

run: build
	@$(BIN)/headwater run

build: $(VENV)/.built

$(VENV)/.built: $(NATIVE)
	@./setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

test: build
	@$(BIN)/pytest tests

check: build
	@$(BIN)/ruff format --check src tests bench native setup.py
	@$(BIN)/ruff check src tests bench native setup.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@clang-format --dry-run -Werror bpf/*.[ch] native/*.[ch]

fmt: build
	@$(BIN)/ruff format src tests bench native setup.py
	@$(BIN)/ruff check --fix src tests bench native setup.py
	@clang-format -i bpf/*.[ch] native/*.[ch]
