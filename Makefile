# The system's Python; `make PYTHON=python3.12 test` takes another one.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What an installed environment depends on. The package itself is installed editable.
SOURCES := pyproject.toml setup.py $(wildcard csrc/* kernels/include/*)

.PHONY: train test parity lint gpu gpu-check clean

train: .venv/train.stamp
	$(BIN)/tensorflowlite train digits

test: .venv/test.stamp
	$(BIN)/python -m pytest --ignore=tests/parity $(PYTEST_ARGS)

parity: .venv/test.stamp .venv/parity.stamp
	$(BIN)/python -m pytest tests/parity $(PYTEST_ARGS)

lint: .venv/dev.stamp .venv/test.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# For a machine with an NVIDIA GPU where CuPy and the rest are installed; makes no environment.
gpu: gpu-check

gpu-check:
	$(PYTHON) setup.py --quiet build_ext --inplace
	TENSORFLOWLITE_TEST_BACKEND=cupy $(PYTHON) -m pytest $(PYTEST_ARGS)
	$(PYTHON) -c "import sys; from tensorflowlite.cli import main; sys.exit(main())" train digits --device cuda

.venv/made.stamp:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'tensorflowlite needs Python 3.11 or newer, got ' + sys.version.split()[0] + '; name one: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	@touch $@

.venv/%.stamp: .venv/made.stamp $(SOURCES)
	$(INSTALL) --editable ".[$*]"
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f tensorflowlite/_native*.so tensorflowlite/_native_build.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
