# The environment is made once, from hashes, and made again when the lock changes.

SETUP := deploy/setup.sh
STAMP := $(shell $(SETUP) stamp)
RUN := .venv/bin
PROOFS ?= proof
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test bench proof docs lint lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(STAMP) ## Serve the demo on loopback and open on its first page
	$(RUN)/broker demo

test: $(STAMP) ## Run the tests; needs no service and no root
	$(RUN)/python -m pytest -q $(PYTEST_ARGS)

proof: $(STAMP) ## Run the long proofs: chains, token trees, races, pictures of all pages, large directories
	$(RUN)/python -m pytest -q -m "$(PROOFS)" $(PYTEST_ARGS)

bench: $(STAMP) ## Measure the token paths beside a peer, and how they grow, on this machine
	$(RUN)/python -m tests.bench
	$(RUN)/python -m tests.bench --slopes

docs: $(STAMP) ## Write the reference pages from the code
	$(RUN)/python deploy/docs/generate.py

lint: $(STAMP) ## Check style, types and the floors of the house
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-logo

lock: ## Resolve the dependencies again; `make lock UPGRADE=--upgrade` takes newer versions
	$(SETUP) lock $(UPGRADE)

clean: ## Remove what builds and test runs left; .venv stays
	rm -rf build dist htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/stamp-%:
	$(SETUP) venv $@
