# Everything goes through .venv, made by `make install` from requirements.lock (uv where it is installed, else venv + pip).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)

.PHONY: install run test bench chaos lint types contracts check lock clean wheel docs image-try

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "ami_rotator needs Python 3.11 or newer; %s is %d.%d. Install one and run: make install PYTHON=python3.11" % (sys.executable, v[0], v[1]))'
ifneq ($(UV),)
	$(UV) venv --quiet --clear --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $(STAMP)

run: install
	$(BIN)/ami-rotator serve

test: install
	$(BIN)/python -m pytest

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

# Needs uv. The lock pins every package with its hashes and names no index.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--group dev pyproject.toml -o requirements.lock

# The wheel, and the part of the lock that it needs to run: docs/deployment.md.
wheel: install
	rm -rf dist && mkdir -p build
	$(BIN)/hatchling build -t wheel
	$(PYTHON) -m venv --clear build/pip
	build/pip/bin/python deploy/docker/lock_for.py requirements.lock --project pyproject.toml > dist/requirements.txt

# The pages that are made from the program.
docs: install
	$(BIN)/python -m tests.docs.references

# Builds the Dockerfile without an engine: needs root, buildah and debootstrap.
image-try:
	sh deploy/docker/try_build.sh

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
