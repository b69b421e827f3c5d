# Two commands: `make leaderboard` trains, evaluates and compares the suite; `make test` checks the code.
# Both make the virtual environment first, go on after any interruption, and do nothing twice.
#
#   make leaderboard SUITE=tiny CORES=all ARGS="methods=grpo,sc_grpo seeds=0,1"
#   make test | test-slow | lint | lock | clean-venv
#
# TORCH_INDEX: package index to take torch from. Empty (default) means pip's own. A machine without a GPU saves
# gigabytes with PyTorch's index of CPU builds:  make leaderboard TORCH_INDEX=<url of PyTorch's whl/cpu index>
# PYTHON: the interpreter the virtual environment is made from, 3.11 or 3.12.

SHELL := /bin/sh
VENV ?= .venv
SUITE ?= tiny
CORES ?= all
ARGS ?=
TORCH_INDEX ?=
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
JOBS ?= auto
LOCK := requirements/lock.txt
BIN := $(VENV)/bin
# The stamp's name holds the lock's checksum: a changed lock installs again, a touched one does not.
STAMP := $(VENV)/.installed-$(shell cksum < $(LOCK) | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
export OMP_NUM_THREADS := 1
export PYTHONUNBUFFERED := 1

.PHONY: leaderboard test test-slow test-slurm test-vllm lint venv lock clean-venv help
.DEFAULT_GOAL := help

help:
	@sed -n '1,11s/^# \{0,1\}//p' Makefile

leaderboard: $(STAMP)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m creditbench.progress --cores $(CORES) --config suite=$(SUITE) $(ARGS)

venv: $(STAMP)

$(STAMP): $(LOCK)
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11 or set PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	  { echo "make: $(PYTHON) is not Python 3.11 or 3.12; set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { echo "making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@if test -e $(VENV)/.installing; then $(BIN)/python requirements/mend.py; fi
	@touch $(VENV)/.installing
	@rm -f $(VENV)/.installed-*
	@echo "installing torch"
	@$(PIP) install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' $(LOCK))"
	@echo "installing $(LOCK)"
	@$(PIP) install -q -r $(LOCK)
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installing
	@touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check -l 120 Snakefile workflows/*.smk
	$(BIN)/pyright
	$(BIN)/snakemake --lint --config suite=tiny

# Lint problems do not keep the tests from running; either one makes the command fail.
test: $(STAMP)
	@failed=0; $(MAKE) --no-print-directory lint || failed=1; \
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "$(FAST)" || failed=1; \
	if test -n "$$CREDITBENCH_CI"; then PATH="$(abspath $(BIN)):$$PATH" .ci/groups || failed=1; fi; exit $$failed

FAST := not (slow or gpu or slurm or vllm or browser or network or sandbox or peer or agents)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

# Two real Slurm nodes on loopback: needs root; installs the Debian packages and Snakemake's executor for Slurm.
test-slurm: $(STAMP)
	$(PIP) install -q "$$(sed -n 's/^slurm = \["\([^"]*\)".*/\1/p' pyproject.toml)"
	apt-get install -y -q --no-install-recommends slurm-wlm munge
	$(BIN)/python -m pytest -q -m slurm

# A real vLLM on the CPU, in a virtual environment of its own.
test-vllm:
	sh requirements/vllm.sh
	.venv-vllm/bin/python -m pytest -q -m vllm tests/vllm

# A fresh environment from pyproject.toml, resolved in one go, then written down.
lock:
	rm -rf build/lock && "$(PYTHON)" -m venv build/lock
	build/lock/bin/python -m pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
	  "$$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"
	build/lock/bin/python -m pip install -q ".[test]" pytest-xdist setuptools
	build/lock/bin/python -m pip freeze --all --exclude pip --exclude wheel --exclude creditbench > build/lock/freeze.txt
	{ sed -n '/^#/p' $(LOCK); sed -n 's/^\(torch==[0-9.]*[0-9]\).*/\1/p' build/lock/freeze.txt; \
	  grep -v -e '^torch==' -e '^-e ' -e ' @ ' build/lock/freeze.txt | sort -f; } > build/lock/lock.txt
	mv build/lock/lock.txt $(LOCK)

clean-venv:
	rm -rf $(VENV)
