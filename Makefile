# make demo     train, export and time a small network: six minutes or more, ends in a table
# make test     lint, types and the quick tests
# make test-all the slow tests too
# make bench    the paper's tables, a profile and the latency table here: about 17 minutes, a page
# make docs     the tables and pictures of docs/, from docs/results/*.json
# make lint     ruff and mypy alone

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo bench docs test test-all lint clean

demo: $(VENV)/installed
	$(BIN)/python -m benchmark demo --out=demo

bench: $(VENV)/installed
	$(BIN)/python -m benchmark paper --out=bench/paper
	$(BIN)/python -m benchmark profile --out=bench/profile
	$(BIN)/python -m benchmark latency_table --out=bench/latency_table.json
	$(BIN)/python -m benchmark report --results=bench

docs: $(VENV)/installed
	$(BIN)/python -m benchmark docs

test: lint .venv-mediapipe/installed
	$(PYTEST) -m "not slow"

test-all: lint .venv-mediapipe/installed
	$(PYTEST)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

# MediaPipe opens our files as an app would. It needs an absl-py that
# tensorflow-model-optimization refuses, so it lives by itself.
.venv-mediapipe/installed: Makefile
	$(PYTHON) -m venv .venv-mediapipe
	.venv-mediapipe/bin/pip install --quiet mediapipe==1.2.2
	touch $@

clean:
	rm -rf $(VENV) .venv-mediapipe demo bench build *.egg-info
