# make demo      the whole path on real English text; make demo-zh the same in Chinese
# make test      everything that must hold; make check  style and types too
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo demo-zh test check clean

demo: $(VENV)/ready
	$(BIN)/python scripts/demo.py sms "Congratulations! You have won a £1000 prize, call 09061701461 to claim"

demo-zh: $(VENV)/ready
	$(BIN)/python scripts/demo.py reviews-zh "质量太差了，用了两天就坏了，要求退货"

test: $(VENV)/ready-test
	$(BIN)/python scripts/tests.py

check: $(VENV)/ready-test
	$(BIN)/ruff check src tests benchmarks scripts examples
	$(BIN)/ruff format --check src tests benchmarks scripts examples
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("burnish needs Python 3.11 or newer: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/ready-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/ready

clean:
	rm -rf $(VENV) examples/*/runs examples/*/data
