# `make demo` and `make test` need Python 3.11+ and nothing else: each creates .venv and fills it with the
# versions of requirements/, by their hashes.

# What `make demo` shows.
DEMO = $(BIN)/archforge build resnet_50.yaml
DEMO_CHECK = $(BIN)/archforge verify resnet_50.yaml tests/data/golden/torchvision.resnet50.json.gz --profile torchvision

VENV ?= .venv
JOBS ?= 2
BIN = $(VENV)/bin
LOCKED = $(notdir $(wildcard requirements/3.*))
PYTHONS = python3 $(addprefix python,$(LOCKED))
IS_LOCKED = import os, sys; sys.exit(not os.path.isdir("requirements/%d.%d" % sys.version_info[:2]))
PYTHON ?= $(shell for p in $(PYTHONS); do "$$p" -c '$(IS_LOCKED)' 2>/dev/null && echo "$$p" && break; done)
VERSION := $(shell $(or $(PYTHON),false) -c 'import platform; print(platform.python_version())' 2>/dev/null)
SERIES = $(basename $(VERSION))

LOCK = requirements/$(SERIES)
PIP = -m pip --disable-pip-version-check install --quiet
INSTALL = $(BIN)/python $(PIP) --require-hashes
UV = $(VENV)-lock/bin/uv

# Each stamp says what .venv holds, for which Python; a change of pyproject.toml or of a version makes it anew.
RUN = $(VENV)/.run-$(VERSION)
DEV = $(VENV)/.dev-$(VERSION)
BENCH = $(VENV)-bench/.bench-$(VERSION)

# One thread per worker: two workers that each start a pool of threads run slower than one.
TEST = OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Figures of `make bench`; `make bench ARGS="resnet_50 --batch 1"` measures less, `ARGS=--resume` goes on.
BENCH_OUT ?= build/bench

.PHONY: demo test test-slow test-torch test-interchange test-browser install-browser test-wheel test-newest test-lowest \
  check lint format lock generated site golden gradients bench bench-training bench-compiler clean

demo: $(RUN)
	$(DEMO)
	$(DEMO_CHECK)

test: $(DEV)
	$(TEST) -n $(JOBS) $(ARGS)

test-slow: $(DEV)
	$(TEST) -n $(JOBS) -m slow $(ARGS)

# What needs torch, in the environment that `make bench` makes.
test-torch: $(BENCH)
	$(VENV)-bench/bin/python $(PIP) --editable '.[test]'
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(VENV)-bench/bin/python -m pytest \
	  tests/test_torch_network.py tests/test_torch_modules.py tests/test_torch_files.py \
	  tests/test_weight_formats.py tests/test_matching.py tests/test_compare.py tests/test_make_golden.py \
	  tests/test_gradients.py tests/test_losses.py tests/test_optimizers.py tests/test_schedules.py \
	  tests/test_initialisers.py tests/test_training_losses.py tests/test_library_preprocess.py \
	  tests/test_library_weights.py tests/test_transforms.py $(ARGS)

# What needs the runtimes and libraries of other formats, in the same environment.
test-interchange: $(BENCH)
	$(VENV)-bench/bin/python $(PIP) --editable '.[test,references]'
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(VENV)-bench/bin/python -m pytest \
	  -m 'slow or not slow' tests/test_onnx_export.py tests/test_onnx_import.py tests/test_caffe_import.py \
	  tests/test_tflite_import.py tests/test_torchscript_import.py \
	  tests/test_keras_import.py tests/test_verified_weights.py tests/test_torch_writing.py \
	  tests/test_keras_export.py tests/test_drawings.py tests/test_torch_source_runs.py $(ARGS)

# Pages, pictures and the site in an installed Chromium; without one these tests are skipped.
test-browser: install-browser
	$(TEST) tests/test_browser.py tests/test_site.py $(ARGS)

# What these tests need besides a Chromium; `make test` has them too from then on.
install-browser: $(DEV)
	$(INSTALL) --only-binary :all: $(addprefix -r $(LOCK)/,run.txt dev.txt browser.txt site.txt)

# The wheel in an empty environment, which takes the network.
test-wheel: $(DEV)
	$(TEST) -m 'slow or not slow' tests/test_packaging.py

# The tests with the newest and the oldest versions that pyproject.toml allows.
test-newest: RESOLUTION = highest
test-lowest: RESOLUTION = lowest-direct
test-newest test-lowest: test-%: $(UV)
	$(PYTHON) requirements/resolve.py $(UV) build/$*/$(SERIES) $(SERIES) --resolution $(RESOLUTION)
	$(MAKE) test VENV=$(VENV)-$* LOCK=build/$*/$(SERIES)

check: lint test

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The newest versions from now on, for each Python that requirements/ has a folder for.
lock: $(UV)
	for python in $(LOCKED); do \
	  $(PYTHON) requirements/resolve.py $(UV) requirements/$$python $$python || exit 1; done

# All that is generated from the code: pages, the schema of zoo_specs/, messages of bad specs, pinned graphs.
generated: $(DEV)
	$(BIN)/python -m tests.pages

# The site: docs, messages, and the zoo with a page for each network. It can be read from the disk.
site: $(DEV)
	$(INSTALL) --only-binary :all: $(addprefix -r $(LOCK)/,run.txt dev.txt site.txt)
	$(BIN)/python -m website build/site
	@echo "wrote build/site/index.html"

# Reference data of a network of torchvision or timm, for tests/data: `make golden MODEL=timm.lcnet_050`.
golden: $(BENCH)
	$(VENV)-bench/bin/python -m tests.make_golden $(MODEL) $(ARGS)

# torch's gradients of ops at ties and kinks, and of networks, for tests/data.
gradients: $(BENCH)
	$(VENV)-bench/bin/python -m tests.make_gradients
	$(VENV)-bench/bin/python -m tests.make_recipe_parts
	$(VENV)-bench/bin/python -m tests.make_training_losses

bench: $(BENCH)
	mkdir -p $(BENCH_OUT)
	$(VENV)-bench/bin/python benchmarks/inference.py --json $(BENCH_OUT)/inference.json \
	  --markdown $(BENCH_OUT)/inference.md --picture $(BENCH_OUT)/inference.svg $(ARGS)

bench-training: $(BENCH)
	mkdir -p $(BENCH_OUT)
	$(VENV)-bench/bin/python benchmarks/training.py --json $(BENCH_OUT)/training.json \
	  --markdown $(BENCH_OUT)/training.md --picture $(BENCH_OUT)/training.svg $(ARGS)

bench-compiler: $(BENCH)
	$(VENV)-bench/bin/python benchmarks/compiler.py $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(RUN): pyproject.toml $(wildcard $(LOCK)/run.txt)
	@test -n "$(VERSION)" -a -f $(LOCK)/run.txt || { \
	  echo "The versions in requirements/ are for Python $(LOCKED); found: $(or $(PYTHON),none) $(VERSION)."; \
	  echo "Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) -r $(LOCK)/run.txt
	$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# MLX has wheels for macOS on Apple silicon and for recent Linux only, Numba not for every machine; without
# one of them the tests of its backend are skipped.
$(DEV): $(RUN) $(wildcard $(LOCK)/*.txt)
	$(INSTALL) -r $(LOCK)/run.txt -r $(LOCK)/dev.txt
	$(INSTALL) --only-binary :all: -r $(LOCK)/run.txt -r $(LOCK)/mlx.txt \
	  || echo "no MLX for this machine: the tests of its backend will be skipped"
	$(INSTALL) --only-binary :all: -r $(LOCK)/run.txt -r $(LOCK)/fast.txt \
	  || echo "no Numba for this machine: the tests of its backend will be skipped"
	@touch $@

$(UV):
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python $(PIP) uv

# The other libraries have an environment of their own, so that the tests stay without them. The index of
# builds for CPUs saves gigabytes; where a library has no wheel, the benchmark runs without it and says so.
$(BENCH): $(RUN)
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(VENV)-bench/bin/python $(PIP) --editable '.[fast]'
	$(VENV)-bench/bin/python $(PIP) --only-binary :all: \
	  --retries 2 --extra-index-url https://download.pytorch.org/whl/cpu --editable '.[bench]' \
	  || echo "not all libraries can be installed here: the benchmark will leave them out"
	@touch $@
