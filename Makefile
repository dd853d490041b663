# The two commands are `make demo` and `make test`; the others are parts of them.
# PYTHON=python3.13 chooses the interpreter; what takes more than two lines is a script in .ci/.
PORT ?= 8000
DATA ?= ./demo-data

.DEFAULT_GOAL := help
.PHONY: help demo test faults lint types wheel servers clean

help: ## show these lines
	@sed -n 's/^\([a-z]*\): ## /  make \1  /p' Makefile | expand -t 4

demo: ## start the service with a first user and a sample API (PORT=8000 DATA=./demo-data)
	@.ci/environment .venv service
	@exec .venv/bin/stagedoor demo --data "$(DATA)" --port "$(PORT)"

test: ## run all checks and tests, on every Python that is here (WITHOUT=browser: no Chromium)
	@.ci/test

faults: ## the fault suite on PostgreSQL, Redis, a Redis Cluster and SQLite, whole; goes on where it stopped (SHORT=1 ONLY=R4 STORES=redis LOG=file)
	@.ci/environment .venv dev
	@.ci/servers
	@PYTHONPATH=tests .venv/bin/python -m faults $(if $(ONLY),--only $(ONLY)) $(if $(STORES),--stores $(STORES)) $(if $(SHORT),--short) $(if $(LOG),--log $(LOG))

lint: ## ruff: rules and format
	@.ci/environment .venv dev
	.venv/bin/ruff check && .venv/bin/ruff format --check

types: ## mypy, strict, on src and tests/typing
	@.ci/environment .venv dev
	.venv/bin/mypy

wheel: ## build the wheel, install it into empty environments, import it
	@.ci/environment .venv dev
	@.ci/wheel

servers: ## find or fetch PostgreSQL, Redis and PgBouncer for the tests (SERVERS=wheels: not this machine's)
	@.ci/environment .venv dev
	@.ci/servers

clean: ## delete what the others made, except the demo's data and faults-log: hours of counts are in it
	rm -rf .venv .venv-* .servers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
