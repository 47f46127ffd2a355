# `make help` lists the targets. Each may be run again at any time and does only what is left to do.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tipoff
export TIPOFF_DATA ?= $(abspath ../shared)
BIN := .venv/bin
LOCK := requirements/dev.lock

.PHONY: help env native stubs
help:
	@echo "see the Makefile"

env: .venv/.ready

.venv/.ready: pyproject.toml setup.py $(LOCK)
	@echo "[1/2] env: the locked packages"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/pip -q install --no-deps --require-hashes -r $(LOCK)
	@echo "[2/2] env: tipoff itself, in place"
	@TIPOFF_NATIVE=later $(BIN)/pip -q install --no-deps --no-index --no-build-isolation -e .
	@touch $@

stubs: env
	@$(BIN)/python setup.py -q build_stubs --build-lib .

native: stubs
	@$(BIN)/python setup.py -q build_ext --inplace
