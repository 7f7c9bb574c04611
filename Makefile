# make run    a virtual environment, a small local model, the sidecar, and a line to paste
# make test   linters, types, generated files, tests, and a short run of every bench
# make nightly  ten thousand seeds through the simulator, a hundred thousand cancelled calls to the state store
#
# VENV=DIR uses another virtual environment, PYTHON=PROGRAM another Python (3.11 or newer), PYTEST_ARGS='-k plan'
# reaches pytest, SERVE_ARGS='--listen 127.0.0.1:9000' reaches the sidecar. README.md has all of it in plain pip.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

PYTHON      ?= python3
VENV        ?= .venv
# Two at a time, a file at a time: some tests share what their file sets up.
PYTEST_ARGS ?= -n 2 --dist loadfile
SERVE_ARGS  ?=
MODEL       := smollm2-135m-instruct
BENCHES     := sidecar templates local simulate outage disconnects reload budget

BIN         := $(VENV)/bin
# An install is as good as the pyproject it was made from: touching the file changes nothing, editing it does.
STAMP       := $(VENV)/.installed-$(shell cksum < pyproject.toml | cut -d' ' -f1)

# A process that is started a few hundred times is compiled once.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test lint check bench nightly schemas model clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(STAMP)-local: | $(BIN)/python
	@echo 'installing into $(VENV) (some 70 MB the first time)' >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local]'
	touch $@

$(STAMP)-test: | $(BIN)/python
	@echo 'installing into $(VENV) (some 250 MB the first time: the SDKs of many vendors judge our bytes)' >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,test]'
	touch $@ $(STAMP)-local

run: $(STAMP)-local
	$(BIN)/engine models add $(MODEL)
	exec $(BIN)/engine serve $(SERVE_ARGS)

test: lint check
	$(MAKE) model || printf '%s\n' '' \
	  '!!! The model $(MODEL) could not be fetched: the tests that need it are SKIPPED.' \
	  '!!! Everything else runs. The reason stands above.' '' >&2
	set -o pipefail; $(BIN)/pytest -m 'not alone' $(PYTEST_ARGS) 2>&1 | tee $(VENV)/pytest.log
	set -o pipefail; $(BIN)/pytest -m alone 2>&1 | tee $(VENV)/alone.log
	$(MAKE) bench SMOKE=--smoke
	@tail -n 1 -q $(VENV)/pytest.log $(VENV)/alone.log

lint: $(STAMP)-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# What is generated is up to date, and the repository's own workspace compiles.
check: $(STAMP)-test
	$(BIN)/engine schema --check
	$(BIN)/engine docs --check
	$(BIN)/engine validate .

model: $(STAMP)-local
	$(BIN)/engine models add $(MODEL)

schemas: $(STAMP)-local
	$(BIN)/engine schema
	$(BIN)/engine docs

# Every bench in turn. SMOKE=--smoke makes each a matter of seconds: it proves that it runs, not how fast.
bench: $(STAMP)-local
	for bench in $(BENCHES); do \
	  if [ $$bench = local ] && ! $(BIN)/engine models show $(MODEL) >/dev/null 2>&1; then \
	    echo "bench local: left out, $(MODEL) is not here" >&2; continue; \
	  fi; \
	  $(BIN)/engine bench $$bench $(SMOKE); \
	done

# What takes too long for every change: ten thousand seeds of the simulator, callers of the state store that are
# cancelled at every moment of their wait, and the tests with other chance than every run's.
nightly: $(STAMP)-test
	$(BIN)/engine bench simulate --seeds 10000
	ENGINE_CANCELLED_CALLS=100000 $(BIN)/pytest tests/state -k cancelled_call -o timeout=900 \
	  -o faulthandler_timeout=900
	$(BIN)/pytest -m 'not alone' --hypothesis-profile=searching $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) .engine build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
