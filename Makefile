# The two commands are `make demo` and `make test`; the others are parts of them.
# PYTHON=python3.13 chooses the interpreter; what takes more than two lines is a script in .ci/.
PORT ?= 8000
DATA ?= ./demo-data

.DEFAULT_GOAL := help
.PHONY: help demo test lint types wheel clean

help: ## show these lines
	@sed -n 's/^\([a-z]*\): ## /  make \1  /p' Makefile | expand -t 4

demo: ## start the service with a first user and a sample API (PORT=8000 DATA=./demo-data)
	@.ci/environment .venv service
	@exec .venv/bin/stagedoor demo --data "$(DATA)" --port "$(PORT)"

test: ## run all checks and tests, on every Python that is here (WITHOUT=browser: no Chromium)
	@.ci/test

lint: ## ruff: rules and format
	@.ci/environment .venv dev
	.venv/bin/ruff check && .venv/bin/ruff format --check

types: ## mypy, strict, on src and tests/typing
	@.ci/environment .venv dev
	.venv/bin/mypy

wheel: ## build the wheel, install it into empty environments, import it
	@.ci/environment .venv dev
	@.ci/wheel

clean: ## delete what the others made, except the demo's data
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
