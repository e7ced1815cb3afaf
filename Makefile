# The front door: what there is to do here, each as one word.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup test lint format types demo bench ci clean

help:                ## list what there is
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

setup: .venv/ready   ## make the environment

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e ".[cli]" --group dev
	touch $@

test: setup          ## run the tests
	$(BIN)/python -m pytest

lint: setup          ## look for mistakes and for lines out of form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup        ## put the lines in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup         ## check the types
	$(BIN)/mypy
	$(BIN)/pyright

demo: setup          ## classify the bundled messages on the emulator
	$(BIN)/segmind-async demo

bench: setup         ## measure, and write it down; the last one takes most of an hour
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m benchmarks all

ci:                  ## all that decides whether a change lands
	bash .ci/run

clean:               ## remove what was made
	rm -rf .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
