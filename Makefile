# make demo | make test | make quick | make docs | make claims | make lint. They set up .venv by themselves and reuse it while it is current.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# More than one thread per test process only makes them wait for each other.
TESTS  ?= tests
JOBS   ?= 2

.PHONY: help demo test quick docs docs-serve claims lint format setup

help:
	@echo 'make demo     learn prompts on generated data, compare with zero-shot, show all tasks on a page of pictures'
	@echo 'make test     run the tests (TESTS=tests/test_engine JOBS=1 to narrow down)'
	@echo 'make quick    check style and run the tests that take milliseconds, in about three minutes'
	@echo 'make claims   test the published claims on the built-in world, hours; writes docs/claims.md'
	@echo 'make docs     build the documentation site into site/; make docs-serve: show it at http://127.0.0.1:8000'
	@echo 'make lint     check style'
	@echo 'make format   repair style'
	@echo 'make setup    only install into $(VENV), up to 6.5 GB; then: source $(VENV)/bin/activate'

demo: $(STAMP)
	$(BIN)/python -m vlprompt demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TESTS)

quick: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'not slow' $(TESTS)

claims: $(STAMP)
	$(BIN)/python tools/claims.py --all --write

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo 'Open site/index.html in a browser; make docs-serve has the search too, which needs a server.'

docs-serve: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(STAMP)

$(STAMP): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo 'vlprompt needs Python 3.10 or newer, and $(PYTHON) is' \
	         "$$($(PYTHON) --version 2>/dev/null || echo not there)."; \
	    echo 'Install one and run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	    echo 'The venv module is missing: on Debian and Ubuntu, apt install python3-venv'; exit 1; }
	@echo 'Installing vlprompt and the packages of its tests into $(VENV)/. Where torch is missing: about 3.3 GB to download,' \
	    'minutes, and 6.5 GB on disk, most of it CUDA. Without a GPU, interrupt this and install the CPU wheels first:' \
	    '$(BIN)/pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu'
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[test]'
	@touch $@
