# The two commands are `make demo` and `make test`; the others are parts of them.
# PYTHON=python3.13 chooses the interpreter; what takes more than two lines is a script in .ci/.
PORT ?= 8000
DATA ?= ./demo-data
CASES ?= 10000000
SECONDS ?= 3600

.DEFAULT_GOAL := help
.PHONY: help demo test faults bench bench-growth fuzz mutants interop lint types wheel servers clean

help: ## show these lines
	@sed -n 's/^\([a-z-]*\): ## /  make \1  /p' Makefile | expand -t 4

demo: ## start the service with a first user and a sample API (PORT=8000 DATA=./demo-data)
	@.ci/environment .venv service
	@exec .venv/bin/stagedoor demo --data "$(DATA)" --port "$(PORT)"

test: ## run all checks and tests, on every Python that is here (WITHOUT="browser interop": no Chromium, no Node)
	@.ci/test

faults: ## the fault suite on PostgreSQL, Redis, a Redis Cluster and SQLite, whole; goes on where it stopped (SHORT=1 ONLY=R4 STORES=redis LOG=file)
	@.ci/environment .venv dev
	@.ci/servers
	@PYTHONPATH=tests .venv/bin/python -m faults $(if $(ONLY),--only $(ONLY)) $(if $(STORES),--stores $(STORES)) $(if $(SHORT),--short) $(if $(LOG),--log $(LOG))

bench: ## Stagedoor beside the others on this machine: verify, sign, guard, refresh, log in; goes on where it stopped (ONLY="refresh login" AGAIN=1; PAGE=1 only writes docs/performance.md)
	@.ci/environment .venv dev
	@[ -n "$(PAGE)" ] || { .ci/servers && .ci/bench >/dev/null; }
	@.venv/bin/python -m bench $(if $(PAGE),--page,$(ONLY) $(if $(AGAIN),--again))

bench-growth: ## the same with 10 thousand and 10 million sessions, a million revocations, a hundred keys; hours, goes on where it stopped (AGAIN=1)
	@.ci/environment .venv dev
	@.ci/servers
	@.venv/bin/python -m bench growth $(if $(AGAIN),--again)

fuzz: ## CASES tokens against PyJWT and joserfc, then SECONDS of atheris; goes on where it stopped (CASES=10000000 SECONDS=3600, 0 for none)
	@.ci/environment .venv dev
	@PYTHONPATH=tests .venv/bin/python -m fuzz differential --cases $(CASES)
	@[ $(SECONDS) = 0 ] || .ci/environment .venv-fuzz fuzz
	@[ $(SECONDS) = 0 ] || PYTHONPATH=tests .venv-fuzz/bin/python -m fuzz coverage --seconds $(SECONDS)

mutants: ## mutation testing of the core, compared with tests/mutation/explained.txt (FILES="jws keys", of src/stagedoor; about an hour for all)
	@.ci/environment .venv-mutants mutants
	@PYTHONPATH=tests .venv-mutants/bin/python -m mutation $(FILES)

interop: ## tokens of a NestJS application through our Verifier, and ours through its guards (INTEROP=wheel: not this machine's Node)
	@.ci/environment .venv dev
	@.ci/interop
	.venv/bin/python -m pytest -m interop tests/interop

lint: ## ruff: rules and format
	@.ci/environment .venv dev
	.venv/bin/ruff check && .venv/bin/ruff format --check

types: ## mypy, strict, on src and tests/typing
	@.ci/environment .venv dev
	.venv/bin/mypy

wheel: ## build the wheel, install it into empty environments, import it
	@.ci/environment .venv dev
	@.ci/wheel

servers: ## find or fetch PostgreSQL, Redis, PgBouncer and SoftHSM for the tests (SERVERS=wheels: not this machine's)
	@.ci/environment .venv dev
	@.ci/servers

clean: ## delete what the others made, except the demo's data, faults-log, fuzz-log and bench-log: hours of counts are in them
	rm -rf .venv .venv-* .servers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
