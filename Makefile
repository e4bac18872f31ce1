# Everything starts from nothing: each target makes the environment it needs. PYTHON picks another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check stack-test bench bench-accuracy clean

demo: $(READY)
	$(BIN)/belink demo

# Two processes, a file of tests in one of them: what a file's tests share is made once.
test: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_readme.py

# PostgreSQL, Prefect, MLflow, workers and the service on loopback; each of them killed in turn.
stack-test: $(READY)
	$(BIN)/pytest -q -s -m "" -o timeout=0 tests/stack

bench: $(READY)
	$(BIN)/pytest -q -s -m "" -o timeout=0 -o python_files="bench_*.py" tests/benchmarks

# Cross-validation, then training and the test files: an hour or two a linker; needs BELINK_DATA.
bench-accuracy: $(READY)
	$(BIN)/python tests/benchmarks/bench_folds.py
	$(BIN)/python tests/benchmarks/bench_accuracy.py

# torch goes first and by version: left to a range, pip takes the newest build with gigabytes of CUDA libraries.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "belink needs Python 3.11 or newer, found " + sys.version.split()[0] + "; name another with make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[train,flows,serve,postgres]" --group dev
	touch $@

clean:
	rm -rf $(VENV) .belink build *.egg-info .mypy_cache .ruff_cache .pytest_cache
