# Everything goes through .venv, made from the locks with uv where it is installed, else venv + pip: `make run` installs what
# is needed to run, everything else the tools as well (`make install`).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)

.PHONY: install run test test-thorough bench chaos lint types contracts check lock clean wheel docs image-try

install: $(STAMP)

$(RUNS): requirements.lock requirements-build.lock pyproject.toml
	$(call environment,-r requirements.lock -r requirements-build.lock)
	@touch $@

$(STAMP): requirements-dev.lock pyproject.toml
	$(call environment,-r requirements-dev.lock)
	@touch $(RUNS) $@

define environment
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "ami_rotator needs Python 3.11 or newer; %s is %d.%d. Install one and run: make install PYTHON=python3.11" % (sys.executable, v[0], v[1]))'
$(if $(UV),
	$(UV) venv --quiet --clear --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes $(1)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .,
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .)
endef

run: $(RUNS)
	$(BIN)/ami-rotator serve

# What must hold at every change, in about five minutes on two cores; what is measured against the clock runs by itself, after
# the rest. `make test-thorough` is the rest of all tests: every page at every width, every command of the documentation, ...
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) \* 2 + 1)
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
test: install
	$(BIN)/python -m pytest $(PARALLEL) -m "not alone and not thorough"
	$(BIN)/python -m pytest -m "alone and not thorough" tests/asterisk

test-thorough: install
	$(BIN)/python -m pytest $(PARALLEL) -m "thorough and not alone"
	$(BIN)/python -m pytest -m "thorough and alone"

# The long form of the tests that break things for real: about 20 minutes.
chaos: install
	AMI_ROTATOR_CHAOS=long $(BIN)/python -m pytest -m chaos --timeout 900

# make bench PART="assign http", SIZE=huge (also a million caller-IDs), PART=asterisk (a real one; builds it first)
PART ?=
SIZE ?= full
bench: install
	$(BIN)/python -m tests.bench $(PART) --size $(SIZE) --json bench.json

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

check: lint types contracts

# Needs uv. The locks pin every package with its hashes and name no index: what runs, what builds a wheel, and all with the tools.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
lock:
	$(LOCK) --group dev pyproject.toml -o requirements-dev.lock
	$(LOCK) --constraint requirements-dev.lock pyproject.toml -o requirements.lock
	$(LOCK) --constraint requirements-dev.lock --group build -o requirements-build.lock

# The wheel; requirements.lock is what it needs: docs/deployment.md.
wheel: $(RUNS)
	rm -rf dist
	$(BIN)/hatchling build -t wheel

# The pages that are made from the program.
docs: install
	$(BIN)/python -m tests.docs.references

# Builds the Dockerfile without an engine: needs root, buildah and debootstrap.
image-try:
	sh deploy/docker/try_build.sh

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
