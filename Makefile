# `make demo` and `make test` are all that a new machine needs (Python 3.11+, git, make).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test suite lives tools prove bench lint lock clean install
.DEFAULT_GOAL := test
MAKEFLAGS += --jobs=2

demo: $(VENV)/.installed
	@$(BIN)/kcl-py demo

test: suite lives

suite: tools
	@$(BIN)/python -m pytest -n 3 --dist worksteal

# Virtual time can wait: the lives take what the suite leaves of the processor, and all of it when the suite is done.
lives: tools
	@nice -n 19 $(BIN)/python -m tests.prove --fixed

tools: $(VENV)/.installed
	@$(BIN)/python integration/provision.py

# Everything that is to be believed of kcl_py: the suite, the long searches, and random lives for so many minutes.
MINUTES ?= 30
prove: tools
	@$(BIN)/python -m tests.prove --minutes $(MINUTES)

# CPU per record beside other consumers, as docs/performance.md has it; OPTIONS=--write puts the tables there. Needs a C
# compiler and OpenSSL's headers, and installs the peers into .tools, once.
bench: $(VENV)/.installed
	@$(BIN)/python -m benchmarks.side_by_side $(OPTIONS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed

# Everything is pinned with hashes in requirements.lock, so installing resolves nothing.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("kcl_py needs Python 3.11 or newer, and $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV), once; with nothing in pip's cache that takes about two minutes."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Resolves pyproject.toml again; needs uv.
lock:
	uv pip compile pyproject.toml --extra local --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --upgrade --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .tools
