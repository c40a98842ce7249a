# One target for each job; `make` alone lists them. They need Python and make. `make prove` also checks the model of the
# engine if Java is installed.

# `make test PYTHON=python3.13` uses that interpreter in a virtual environment of its own.
ifeq ($(origin PYTHON),undefined)
PYTHON := python3
VENV := .venv
else
VENV := .venv-$(notdir $(PYTHON))
endif

BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
MANAGE := $(BIN)/python manage.py
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock"
# Three workers for two cores, because many tests wait for another process.
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal
# A database in the caller's environment must not change the SQLite run.
ON_SQLITE := env -u DATABASE_URL -u SANDBOX_DATABASE_URL
ON_POSTGRESQL := $(BIN)/python -m tests.postgres --

# Arguments for pytest: make test ARGS="tests/test_layers.py -x"
ARGS ?=
COVER ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test prove chaos check format messages bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  make test ARGS="-x tests/test_layers.py" passes arguments to pytest.'
	@echo '  make test PYTHON=python3.13 uses another interpreter, in .venv-python3.13.'

setup: $(STAMP) ## Create the virtual environment that the other targets need

# The stamp is written last, so that an interrupted installation starts again.
$(STAMP): requirements.txt requirements-dev.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo 'No "$(PYTHON)" here. Install Python 3.11 or later, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1), or does not start; sagas needs Python 3.11 or later." \
	    'Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; \
	  exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(STAMP) ## Set up, migrate, run sagas into every outcome, start workers and a web server
	$(MANAGE) migrate --verbosity 0
	$(MANAGE) migrate --verbosity 0 --database sandbox
	$(MANAGE) saga_demo

# `make test COVER=1` measures coverage on SQLite, which runs nearly all of the code.
test: $(STAMP) ## Run the quick tests on SQLite, then those that depend on the database on PostgreSQL
	$(BIN)/coverage erase
	$(ON_SQLITE) $(PYTEST) -m "not untraced and not prove" $(if $(COVER),--cov --cov-report=) $(ARGS)
ifeq ($(strip $(ARGS)),)
	$(ON_SQLITE) $(PYTEST) -m untraced
endif
	$(ON_POSTGRESQL) $(PYTEST) -m "not prove$(if $(strip $(ARGS)),, and not surface)" $(ARGS)
ifneq ($(COVER),)
	$(BIN)/coverage report --skip-covered --fail-under=95
endif

prove: $(STAMP) ## Run the slow tests: crashes, races, chaos, mutants, the model, browsers; and the rest on PostgreSQL
	$(ON_SQLITE) $(PYTEST) -m prove $(ARGS)
	$(ON_POSTGRESQL) $(PYTEST) -m "(prove or surface) and not once" $(ARGS)

chaos: $(STAMP) ## Kill, pause and restart everything for half an hour while the provider fails
	$(BIN)/python -m tests.chaos $(ARGS)

check: $(STAMP) ## Check format, lint, types, layers, sizes, names, migrations and settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house --strict
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) check

format: $(STAMP) ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: $(STAMP) ## Update the translation catalogs and compile them
	$(BIN)/python -m tests.messages

bench: $(STAMP) ## Measure what a saga costs, compared with plain SQL
	$(BIN)/python -m tests.benchmarks $(ARGS)

lock: $(STAMP) ## Write requirements*.txt from requirements*.in
	$(LOCK) --upgrade --output-file requirements.txt requirements.in
	$(LOCK) --upgrade --output-file requirements-dev.txt requirements-dev.in

clean: ## Remove what the other targets created, including the demo's databases
	rm -rf .venv .venv-* .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf staticfiles db.sqlite3* sandbox.sqlite3*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
