# make repro: environment, then the whole pipeline. make test: environment, then the tests.
PYTHON ?= python3
VENV := .venv
# Stages call `python`: the environment's own must come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test lint bench

repro: $(VENV)/.installed
	dvc repro

test: $(VENV)/.installed
	ruff check . && ruff format --check .
	mypy & types=$$!; pytest --numprocesses logical --dist loadfile --no-loadscope-reorder && wait $$types

lint: $(VENV)/.installed
	ruff check --fix . && ruff format . && mypy

bench: $(VENV)/.installed
	for file in benchmarks/[a-z]*.py; do python -m benchmarks.$$(basename $$file .py) || exit 1; done

# An interrupted installation leaves no stamp, and is made anew.
$(VENV)/.installed: pyproject.toml requirements.lock
	rm -rf $(VENV)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cmmanet needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
