# Everything starts from nothing: each target makes the environment it needs. PYTHON picks another interpreter.
PYTHON ?= python3
# PyTorch's CPU index, as https://pytorch.org/get-started prints it for Pip and CPU. Left empty, pip takes the build of its
# usual index: for Linux the one with CUDA, which takes 4 GB more.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo quick quick-data quick-models test check lint types image-test stack-test bench bench-accuracy clean

demo: $(READY)
	$(BIN)/belink demo

# Three processes on two cores, since tests wait for servers a third of the time; 8 GB of memory. A file's tests run in
# one of them: what they share is made once. tests/conftest.py orders the files.
test: $(READY)
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder

check: lint types
	$(BIN)/pytest -q tests/test_readme.py

# Before every commit: a minute on two cores. The two halves of the tests run side by side; the first loads no PyTorch.
quick: $(READY)
	$(MAKE) --no-print-directory --jobs 2 --output-sync quick-models quick-data types lint

# All tests but those marked heavy (pyproject.toml says which) and those of real ontologies and corpora.
# They write 800 MB of small databases: in memory where there is room (containers have 64 MB), deleted once passed.
QUICK = $(if $(shell df -Pk /dev/shm 2>/dev/null | awk '$$4 > 2000000 && NR == 2'),PYTEST_DEBUG_TEMPROOT=/dev/shm) \
  $(BIN)/pytest -q --durations 5 --durations-min 2 -o tmp_path_retention_policy=failed \
  -m "not heavy and not data and not slow and not gpu and not network and not docker"
QUICK_DATA := tests/corpora tests/evaluation tests/ontology tests/text

quick-data: $(READY)
	$(QUICK) $(QUICK_DATA)

quick-models: $(READY)
	$(QUICK) tests $(addprefix --ignore=,$(QUICK_DATA))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

# The images of docker/Dockerfile, built and used; needs root and Debian's buildah and debootstrap. Half an hour.
image-test: $(READY)
	$(BIN)/pytest -q -s -m docker tests/test_images.py

# PostgreSQL, Prefect, MLflow, workers and the service on loopback; each of them killed in turn.
stack-test: $(READY)
	$(BIN)/pytest -q -s -m "" -o timeout=0 tests/stack

bench: $(READY)
	$(BIN)/pytest -q -s -m "" -o timeout=0 -o python_files="bench_*.py" tests/benchmarks

# Cross-validation, then training and the test files: an hour or two a linker; needs BELINK_DATA.
bench-accuracy: $(READY)
	$(BIN)/python tests/benchmarks/bench_folds.py
	$(BIN)/python tests/benchmarks/bench_accuracy.py

# PyTorch goes first and from its own index: pip keeps what is installed and fits, so nothing replaces it afterwards.
# --index-url, not --extra-index-url: where that index lacks the version, pip must fail rather than take the CUDA build.
# setuptools gives a general warning at every editable installation; its other warnings are wanted.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "belink needs Python 3.11 or newer, found " + sys.version.split()[0] + "; name another with make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	PYTHONWARNINGS="ignore:Editable installation" \
	  $(BIN)/pip install --quiet --editable ".[train,flows,serve,mcp,postgres]" --group dev
	touch $@

clean:
	rm -rf $(VENV) .belink build *.egg-info .mypy_cache .ruff_cache .pytest_cache
