# Every target sets up what it needs: a virtual environment from a lock with hashes.
PYTHON ?= python3
# uv does not compile what it installs; where Python may not write there, each process would: 14 s for TensorFlow.
# INSTALLER=pip sets the environment up with pip alone (slower, the same result)
INSTALLER ?= uv
VENV := .venv
RUN := $(VENV)/bin

.PHONY: env demo test test-slow test-page check bench bench-env prove lock clean help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

env: $(VENV)/ok  ## set the environment up, nothing else

$(VENV)/ok: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"losswatch needs Python 3.11 to 3.13, found {v[0]}.{v[1]}: make env PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	@echo "setting up $(VENV) with $(INSTALLER) (about 2.5 GB)"
ifeq ($(INSTALLER),uv)
	awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	$(RUN)/pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.lock
	$(RUN)/uv pip install --quiet --no-deps --require-hashes --link-mode=copy --python $(RUN)/python -r requirements.lock
	$(RUN)/python -m compileall -q -j 0 -x '/(plotly|tests?)/' $(VENV)/lib >/dev/null || true
	$(RUN)/uv pip install --quiet --no-deps --no-build-isolation --python $(RUN)/python -e .
else
	$(RUN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(RUN)/pip install --quiet --no-deps --no-build-isolation -e .
endif
	touch $@

QUIET := OPENBLAS_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0 DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true ORT_DISABLE_TELEMETRY=1
PYTEST := $(QUIET) $(RUN)/python -m pytest
# a process of pytest that dies is named and ends the run: one that took its place would wait for ever (pytest-xdist 3.8)
ON_ALL_CORES := -n logical --dist loadfile --max-worker-restart=0

demo: env  ## a year of real flights: trained, watched, retrained; prints where to look
	$(RUN)/losswatch replay --project examples/flights --flow

test: env  ## the tests, without the slow ones
	$(PYTEST) $(ON_ALL_CORES) -m "not slow and not page"

test-slow: env  ## real servers, kills, whole stories: minutes
	$(PYTEST) -m "slow and not page"

test-page: env  ## the pages in Debian's Chromium (apt-get install chromium)
	$(PYTEST) -m page

check: env  ## format, lint, types, tests with coverage
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(PYTEST) $(ON_ALL_CORES) -m "not slow and not page" --cov=models --cov=monitoring --cov=pipelines --cov-report=term:skip-covered

bench-env: env  ## an environment of their own for the peers that benchmarks compare with
	$(RUN)/python -m benchmarks.environment

bench: env  ## benchmarks that take minutes; writes docs/benchmarks.md
	$(QUIET) $(RUN)/python -m benchmarks

prove: env  ## long proofs, an hour: faults told apart, kills of trainings and of the server; writes docs/benchmarks.md
	$(QUIET) $(RUN)/python -m benchmarks --long

lock: env  ## write requirements.lock anew, with hashes and without hosts
	$(RUN)/uv pip compile --universal --no-strip-extras --no-emit-index-url --no-annotate --no-header --generate-hashes --python-version 3.11 --all-extras pyproject.toml -o requirements.lock -q

clean:  ## remove the environment and what the demo wrote
	rm -rf $(VENV) .bench-env .spark-env examples/*/.losswatch build *.egg-info
