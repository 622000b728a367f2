# The system's Python; `make PYTHON=python3.12 test` takes another one.
PYTHON ?= python3
BIN := .venv/bin
# A test process per core; `make PARALLEL= test` takes one.
PARALLEL ?= -n auto --dist worksteal
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What an installed environment depends on. The package itself is installed editable.
SOURCES := pyproject.toml setup.py $(wildcard csrc/* kernels/include/*)

.PHONY: train test compiled browser page page-check soak parity docs lint audit lock bench gpu gpu-check gpu-sanitize gpu-bench clean

train: .venv/train.stamp
	$(BIN)/tensorflowlite train digits

test: .venv/test.stamp
	$(BIN)/python -m pytest --ignore=tests/parity --ignore=tests/compiled --ignore=tests/endurance --ignore=tests/browser --ignore=tests/docs $(PARALLEL) $(PYTEST_ARGS)

# What takes compilers minutes: every kernel for every architecture; csrc, its bindings and the
# kernels under sanitizers. One process, which compiles on all cores.
compiled: .venv/test.stamp
	$(BIN)/python -m pytest tests/compiled $(PYTEST_ARGS)

# The page of a story, in Chromium without a network; the machine has the browser (/usr/bin/chromium,
# or the one that TENSORFLOWLITE_BROWSER names). TENSORFLOWLITE_SCREENSHOTS=folder keeps pictures.
browser: .venv/test.stamp .venv/browser.stamp
	$(BIN)/python -m pytest -s tests/browser $(PYTEST_ARGS)

# Bundles page/ into the package, with Node; page-check fails where that changes what is committed.
page:
	cd page && npm ci --no-fund --no-audit && npm run build

page-check: page
	git diff --exit-code -- tensorflowlite/story/page

# What takes minutes of wear: trainings killed fifty times at random moments, for each number of
# workers; ten thousand steps that may leave nothing; workers that end at any moment; over a million
# damaged files and bad arguments. `make SOAK=0 soak` kills ten times, takes a thousand steps and
# damages a hundredth.
SOAK ?= 1
soak: .venv/test.stamp
	TENSORFLOWLITE_SOAK=$(SOAK) $(BIN)/python -m pytest -s tests/endurance $(PYTEST_ARGS)

parity: .venv/test.stamp .venv/parity.stamp
	$(BIN)/python -m pytest tests/parity $(PARALLEL) $(PYTEST_ARGS)

# The documentation in site/, readable from the disk: notebooks run from clean kernels and are compared
# with their outputs, then the site is built and looked through. `make test` runs the pages' blocks.
docs: .venv/test.stamp .venv/docs.stamp
	$(BIN)/python -m pytest tests/docs/test_notebooks.py $(PYTEST_ARGS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m pytest tests/docs/test_site.py $(PYTEST_ARGS)

# Beside PyTorch, and JAX where it is installed: ten minutes on two quiet cores.
bench: .venv/test.stamp .venv/parity.stamp
	$(BIN)/python -m benchmarks --device cpu --against torch,torch-compile,jax,numpy --save --plots $(BENCH_ARGS)

lint: .venv/dev.stamp .venv/test.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# Asks an advisory service about every locked package. Fails where one has a known hole, and where
# one couldn't be asked about, so that CI, which may have no network, doesn't call it.
audit: .venv/audit.stamp
	$(BIN)/python -m pip_audit --strict --require-hashes --disable-pip --requirement requirements/ci.txt

# Locks what CI installs anew: requirements/ci.txt, versions and hashes.
lock: .venv/lock.stamp
	$(BIN)/python requirements/lock.py

# For a machine with an NVIDIA GPU where CuPy, PyTorch and the rest are installed: no environment is
# made, nothing is fetched. Each stage is written for eight minutes at most; a stage that fails
# doesn't keep the next from running. Results go to benchmarks/results/.
gpu:
	@$(MAKE) --no-print-directory --keep-going -j1 gpu-check gpu-sanitize gpu-bench

WORKERS = $(shell $(PYTHON) -c "import importlib.util, os; print('-n', min(8, os.cpu_count())) if importlib.util.find_spec('xdist') else None" | grep -v None)

gpu-check:
	$(PYTHON) setup.py --quiet build_ext --inplace
	@status=0; set -x; \
	TENSORFLOWLITE_TEST_BACKEND=cupy $(PYTHON) -m pytest --ignore=tests/parity --ignore=tests/compiled --ignore=tests/endurance --ignore=tests/browser --ignore=tests/docs $(WORKERS) $(PYTEST_ARGS) || status=1; \
	$(PYTHON) -m benchmarks check-kernels || status=1; \
	$(PYTHON) -c "import sys; from tensorflowlite.cli import main; sys.exit(main())" train digits --device cuda || status=1; \
	exit $$status

gpu-sanitize:
	$(PYTHON) setup.py --quiet build_ext --inplace
	$(PYTHON) -m benchmarks sanitize --budget 420

gpu-bench:
	$(PYTHON) setup.py --quiet build_ext --inplace
	$(PYTHON) -m benchmarks --device cuda --against torch,torch-compile,cupy,cublaslt --budget 380

.venv/made.stamp:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'tensorflowlite needs Python 3.11 or newer, got ' + sys.version.split()[0] + '; name one: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	@touch $@

.venv/%.stamp: .venv/made.stamp $(SOURCES)
	$(INSTALL) --editable ".[$*]"
	@touch $@

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f tensorflowlite/_native*.so tensorflowlite/_native_build.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
