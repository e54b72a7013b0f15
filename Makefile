# Every target sets up what it needs: a virtual environment from a lock with hashes.
PYTHON ?= python3
# INSTALLER=pip sets the environment up with pip alone (slower, the same result)
INSTALLER ?= uv
VENV := .venv
RUN := $(VENV)/bin

.PHONY: env demo test test-slow test-page check bench lock clean help

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
	$(RUN)/uv pip install --quiet --no-deps --no-build-isolation --python $(RUN)/python -e .
else
	$(RUN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(RUN)/pip install --quiet --no-deps --no-build-isolation -e .
endif
	touch $@
