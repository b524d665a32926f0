# `make demo` and `make test` need Python 3.11+ and nothing else: each creates .venv and fills it.

# What `make demo` shows.
DEMO = $(BIN)/archforge build resnet_50.yaml
DEMO_CHECK = $(BIN)/archforge verify resnet_50.yaml tests/data/golden/torchvision.resnet50.json.gz --profile torchvision

VENV ?= .venv
JOBS ?= 2
BIN = $(VENV)/bin
PYTHONS = python3 python3.13 python3.12 python3.11
RECENT = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(PYTHONS); do "$$p" -c '$(RECENT)' 2>/dev/null && echo "$$p" && break; done)
VERSION := $(shell $(or $(PYTHON),false) -c 'import platform; print(platform.python_version())' 2>/dev/null)

# Each stamp says what .venv holds, for which Python; a change of pyproject.toml makes it anew.
RUN = $(VENV)/.run-$(VERSION)
DEV = $(VENV)/.dev-$(VERSION)
BENCH = $(VENV)-bench/.bench-$(VERSION)

# One thread per worker: two workers that each start a pool of threads run slower than one.
TEST = OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Figures of `make bench`; `make bench ARGS="resnet_50 --batch 1"` measures less, `ARGS=--resume` goes on.
BENCH_OUT ?= build/bench

.PHONY: demo test test-slow test-wheel test-lowest check lint format generated bench bench-compiler clean

demo: $(RUN)
	$(DEMO)
	$(DEMO_CHECK)

test: $(DEV)
	$(TEST) -n $(JOBS) $(ARGS)

test-slow: $(DEV)
	$(TEST) -n $(JOBS) -m slow $(ARGS)

# The wheel in an empty environment, which takes the network.
test-wheel: $(DEV)
	$(TEST) -m 'slow or not slow' tests/test_packaging.py

# The tests with the oldest versions that pyproject.toml allows.
test-lowest: $(DEV)
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*(d.replace(">=", "==") for d in p["dependencies"]), sep="\n")' > $(VENV)/lowest.txt
	rm -f $(VENV)/.run-* $(VENV)/.dev-*
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/lowest.txt
	$(TEST) -n $(JOBS) $(ARGS)

check: lint test

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All that is generated from the code: pages, the schema of zoo_specs/, messages of bad specs, pinned graphs.
generated: $(DEV)
	$(BIN)/python -m tests.pages

bench: $(BENCH)
	mkdir -p $(BENCH_OUT)
	$(VENV)-bench/bin/python benchmarks/inference.py --json $(BENCH_OUT)/inference.json \
	  --markdown $(BENCH_OUT)/inference.md --picture $(BENCH_OUT)/inference.svg $(ARGS)

bench-compiler: $(BENCH)
	$(VENV)-bench/bin/python benchmarks/compiler.py $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-bench build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(RUN): pyproject.toml
	@test -n "$(VERSION)" && $(PYTHON) -c '$(RECENT)' || { \
	  echo "archforge needs Python 3.11 or later, found: $(or $(PYTHON),none) $(VERSION)."; \
	  echo "Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# MLX has wheels for macOS on Apple silicon and for recent Linux only, Numba not for every Python; without
# one of them the tests of its backend are skipped.
$(DEV): $(RUN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary mlx,mlx-cpu,mlx-metal \
	  --editable '.[mlx]' || echo "no MLX for this machine: the tests of its backend will be skipped"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary numba,llvmlite \
	  --editable '.[fast]' || echo "no Numba for this machine: the tests of its backend will be skipped"
	@touch $@

# The other libraries have an environment of their own, so that the tests stay without them. The index of
# builds for CPUs saves gigabytes; where a library has no wheel, the benchmark runs without it and says so.
$(BENCH): $(RUN)
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[fast]'
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	  --retries 2 --extra-index-url https://download.pytorch.org/whl/cpu --editable '.[bench]' \
	  || echo "not all libraries can be installed here: the benchmark will leave them out"
	@touch $@
