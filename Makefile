# `make` lists the targets. LANE=spark35 runs any of them in the compatibility lane, with an environment of its own.
LANE ?= spark40
RECSYS_CACHE ?= $(HOME)/.cache/recsys
JARS ?= jars
# Two sessions side by side; the tests of a file stay together.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
COVERAGE ?= --cov --cov-report=term --cov-fail-under=90

ifeq ($(filter $(LANE),spark40 spark35),)
$(error LANE is spark40 or spark35, not "$(LANE)")
endif

VENV := $(if $(filter spark40,$(LANE)),.venv,.venv-$(LANE))
LOCK := requirements/$(LANE).txt
STAMP := $(VENV)/.recsys-stamp
BIN := $(VENV)/bin
PYTHON := $(or $(PYTHON),$(shell for p in python3.11 python3; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$p" && exit; done; echo python3))

# spark-submit runs the `python3` on PATH, and Spark binds to the host's name by default.
export PYSPARK_PYTHON := $(CURDIR)/$(BIN)/python
export SPARK_LOCAL_IP ?= 127.0.0.1

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "  LANE=$(LANE) (spark40, spark35)   RECSYS_CACHE=$(RECSYS_CACHE) (uv and the Horovod wheel)"

.PHONY: doctor
doctor: ## what this machine has and lacks, one line each
	@$(PYTHON) tools/doctor.py --venv $(VENV)

.PHONY: ready
ready:
	@command -v $(PYTHON) >/dev/null || { echo "Missing: Python 3.11. Install python3.11, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tools/doctor.py --quiet --venv $(VENV)

$(STAMP): $(LOCK) requirements/bootstrap.txt requirements/horovod.txt requirements/horovod-build.txt \
		setup.py tools/build_venv.py tools/fetch_jars.py | ready
	@$(PYTHON) tools/build_venv.py --lock $(LOCK) --venv $(VENV) --cache "$(RECSYS_CACHE)"
	@touch $@

.PHONY: venv
venv: $(STAMP) ## the environment of the lane, rebuilt if its lock or setup.py changed

.PHONY: demo
demo: $(STAMP) | ready ## the whole pipeline on a synthetic shop; ROWS=1000000 for a larger one, DIR=demo
	@$(BIN)/python -m recsys.demo $(if $(ROWS),--events $(ROWS)) $(if $(DIR),--dir "$(DIR)")

.PHONY: test
test: $(STAMP) | ready ## all tests but those of the next three targets, with coverage
	@$(BIN)/python -m pytest -m "not crash and not notebook and not real_data" $(COVERAGE) $(PYTEST_ARGS)

.PHONY: test-data
test-data: $(STAMP) | ready ## mappings and features on the public data sets, where RECSYS_DATA has them
	@$(BIN)/python -m pytest -m real_data

.PHONY: test-notebooks
test-notebooks: $(STAMP) | ready ## every notebook from its first cell to its last
	@$(BIN)/python -m pytest -m notebook

.PHONY: test-crash
test-crash: $(STAMP) | ready ## every job killed at three points and run again; the pipeline in more time zones
	@$(BIN)/python -m pytest -m crash $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: $(STAMP) | ready ## the tests for every commit
	@$(BIN)/python -m pytest -m fast $(PYTEST_ARGS)

.PHONY: test-compat
test-compat: $(STAMP) | ready ## end-to-end and cluster tests only; meant for LANE=spark35
	@$(BIN)/python -m pytest -m "e2e or cluster" $(PYTEST_ARGS)

.PHONY: lint
lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: docs
docs: $(STAMP) ## write the generated pages
	@$(BIN)/python tools/generate_docs.py

.PHONY: docs-check
docs-check: $(STAMP) ## fail if a generated page differs from its source
	@$(BIN)/python tools/generate_docs.py --check

.PHONY: site
site: $(STAMP) ## the docs site into site/, strictly: a broken link ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

.PHONY: jars
jars: $(STAMP) ## the Delta jars into JARS=DIR, for machines without a registry
	@$(BIN)/python tools/fetch_jars.py "$(JARS)"

.PHONY: lock
lock: | ready ## compile the locks; LOCK_FLAGS=--upgrade for newer versions
	@$(PYTHON) tools/compile_locks.py --cache "$(RECSYS_CACHE)" $(LOCK_FLAGS)

.PHONY: clean
clean: ## remove what builds and runs left here; environments and the cache stay
	rm -rf build dist site *.egg-info spark-warehouse metastore_db derby.log .coverage .coverage.* \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
