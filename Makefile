# A few verbs; each installs what it needs, so that `make run` and `make test` work on a machine with only git, make and Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHONS := src tests bench dashboards docs native setup.py
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
export PATH := $(PATH):/usr/sbin:/sbin
C := $(wildcard bpf/*.[ch] native/*.[ch] tests/*/*.[ch] bench/*.[ch])

.PHONY: run build machine test check fmt bench docs wheel wheel-only deb soak kernels clean

run: machine
	@$(BIN)/headwater run

build: machine
	@echo "headwater: built. Next: sudo $(BIN)/headwater run, or $(BIN)/headwater read FILE, or $(BIN)/headwater --help"

machine:
	@./setup-machine.sh build "$(PYTHON)" $(VENV)

tools:
	@./setup-machine.sh test "$(PYTHON)" $(VENV)

peers:
	@./setup-machine.sh bench "$(PYTHON)" $(VENV)

# What only computes, two at a time, and then what looks at the clock. Without root, what needs the kernel is left out, and said.
test: tools
	@$(BIN)/pytest -n 2 --dist loadfile -m "not kernel and not alone"
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/pytest -m "kernel or alone"; \
	else echo "headwater: not root: tests that attach to the kernel are left out (sudo make test runs them)"; $(BIN)/pytest -m "alone and not kernel"; fi

check: tools
	@$(BIN)/ruff format --check $(PYTHONS)
	@$(BIN)/ruff check $(PYTHONS)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@clang-format --dry-run -Werror $(C)
	@$(BIN)/python docs/make.py --check
	@$(BIN)/python dashboards/make.py --check
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/pytest tests/kernel/test_verifier.py; \
	else echo "headwater: not root: the verifier's ceiling is not checked (sudo make check does it)"; fi

fmt: tools
	@$(BIN)/ruff format $(PYTHONS)
	@$(BIN)/ruff check --fix $(PYTHONS)
	@clang-format -i $(C)

bench: peers
	@$(BIN)/python -m bench; measured=$$?; $(BIN)/python docs/make.py && exit $$measured

soak: tools
	@$(BIN)/python tests/parity/soak.py | tee docs/soak.txt
	@$(BIN)/python tests/parity/soak.py --numbers | tee -a docs/soak.txt
	@$(BIN)/python tests/fuzz/soak.py | tee -a docs/soak.txt
	@$(BIN)/pytest --hypothesis-profile=others --timeout=7200 -m "not kernel and not alone and not corpora" tests/analysis
	@PYTHONPATH=tests:tests/parity:. $(BIN)/python tests/kernel/soak.py | tee -a docs/soak.txt
	@PYTHONPATH=tests:tests/apps $(BIN)/python tests/apps/soak.py | tee -a docs/soak.txt
	@PYTHONPATH=tests $(BIN)/python tests/store/peer_go.py | tee -a docs/soak.txt
	@PYTHONPATH=tests:tests/outputs $(BIN)/python tests/store/soak.py | tee -a docs/soak.txt
	@$(BIN)/python -m bench.load | tee -a docs/soak.txt; measured=$$?; $(BIN)/python docs/make.py && exit $$measured

# Debian's kernels in qemu; ONLY="6.1 devices" runs a part.
kernels: tools
	@$(BIN)/python tests/kernels $(ONLY)

docs: tools
	@$(BIN)/python docs/make.py
	@$(BIN)/python dashboards/make.py

# A wheel that carries its shared libraries: what installs it needs no compiler, no headers and no libbpf.
wheel: machine wheel-only

wheel-only:
	@rm -rf build/wheel && mkdir -p dist build/wheel
	@$(BIN)/python -m build --wheel --no-isolation --outdir build/wheel >build/wheel/log 2>&1 || { tail -30 build/wheel/log; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl >build/wheel/repair.log 2>&1 || { cat build/wheel/repair.log; exit 1; }
	@ls dist/*.whl

deb: wheel
	@packaging/deb.sh dist/headwater-*.whl "$(PYTHON)"

clean:
	@rm -rf build dist $(VENV) src/headwater/_native*.so src/headwater/bpf/*.o
