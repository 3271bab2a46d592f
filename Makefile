# Everything from nothing: a virtual environment each for the demo and for development, from pinned versions.
PYTHON ?= python3
# Subprocesses of tests write beside this file, wherever they run.
export COVERAGE_FILE := $(CURDIR)/.coverage
VENV ?= .venv
DEMO_VENV ?= .venv-demo
BIN := $(VENV)/bin
PIP_FLAGS := --disable-pip-version-check --quiet
# As a variable of the environment it also holds for what wheels are built with.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo test test-long lint bench archive judges lock clean

demo: $(DEMO_VENV)/.installed
	$(DEMO_VENV)/bin/python examples/demo.py

test: lint archive
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

test-long: $(VENV)/.installed
	$(BIN)/python -m pytest --long -m long

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# What tests read out of source archives: llama.cpp's templates and vocabularies (llama-cpp-python, 76 MB), and the
# JSON-Schema-Test-Suite (jsonschema, 0.4 MB).
archive: $(VENV)/.installed
	@$(BIN)/python -m tests.support.archive

# Outside judges, built from the source archive of the installed llama-cpp-python (about 6 minutes on 2 cores).
judges: $(VENV)/.installed
	$(BIN)/python -m benchmarks.judges

# After a change of dependencies: constraints.txt from what an unconstrained installation gives.
lock:
	$(PYTHON) -m venv build/lock
	PIP_CONSTRAINT= build/lock/bin/pip install --quiet '.[demo,dev]' hatchling scikit-build-core
	build/lock/bin/pip freeze --exclude pytest-llmcheck > constraints.txt

$(DEMO_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO_VENV)
	@echo "Installing; the first time, llama.cpp is compiled (about 5 minutes on 2 cores) ..."
	$(DEMO_VENV)/bin/pip install $(PIP_FLAGS) --editable '.[demo]'
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing; the first time, llama.cpp is compiled (about 5 minutes on 2 cores) ..."
	$(BIN)/pip install $(PIP_FLAGS) --editable '.[demo,dev]'
	touch $@

clean:
	rm -rf build $(VENV) $(DEMO_VENV)
