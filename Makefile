# Everything but Python, make and Git comes by itself: `make repro` runs the project, `make test` its tests.

PYTHON ?= python3
AGAINST ?= main
ARCHIVE ?=
FIELD_TEST ?=
PARTS ?=
LOCKED ?=

VENV := .venv
BIN := $(VENV)/bin
DEFAULT_PARAMS := src/pandacat/config/default_params.yaml
INPUTS := params.yaml dvc.yaml stages src data/exclusions.csv
READY := $(VENV)/ready$(if $(LOCKED),-locked)
PACKAGES := $(if $(LOCKED),--require-hashes -r requirements.lock,-r requirements.txt -c constraints.txt)

export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
# DVC needs both, and a user whom the system does not know, as in a container, has neither:
export HOME ?= $(CURDIR)/.pandacat
export LOGNAME ?= $(shell id -un 2> /dev/null || id -u)

.DEFAULT_GOAL := help
.PHONY: help repro test experiments gate serve ui deps lint push pull first-day walk torture bench clean

help:  ## list what there is
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

repro: $(READY)  ## run every stage that is not up to date
	@git rev-parse --git-dir > /dev/null || { echo "DVC needs a Git repository that Git opens: do as Git says, or clone the project, or run 'git init' here." >&2; exit 1; }
	$(BIN)/dvc repro
	@test ! -e .pandacat/unfinished || sh stages/run headline  # for MLflow, where DVC skipped it
	@echo "What came out, on one page: reports/report.html"
	@git diff --quiet HEAD -- $(INPUTS) 2> /dev/null && ! git diff --quiet HEAD -- dvc.lock && echo "Results are not bit for bit the committed ones, as on a processor that rounds differently. Commit yours, to compare experiments with them: git commit -am 'Results of this machine'" || true

test: $(READY)  ## run the tests, on all cores
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

extra-%: $(READY)  ## install an extra: extra-s3 (object storage), extra-search, extra-ray (pandacat score --ray)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r extras/$*.lock

test-extra-%: $(READY)  ## run the tests of an extra in an environment that adds nothing else
	"$(PYTHON)" -m venv --clear "$(VENV)-$*"
	PYTHONPATH="$(CURDIR)/src:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && export PYTHONPATH && \
	"$(VENV)-$*/bin/python" -m pip install --disable-pip-version-check --require-hashes -r extras/$*.lock && \
	"$(VENV)-$*/bin/python" -m pytest tests/test_extras.py tests/test_$*_*.py

push: $(READY)  ## copy results to DVC's remote, for others to pull
	$(BIN)/pandacat cache push

pull: $(READY)  ## fetch results from DVC's remote, instead of computing them
	$(BIN)/pandacat cache pull

experiments: $(READY)  ## compare all experiments: what was changed, and what came of it
	$(BIN)/dvc exp show --only-changed --num 2 --drop '.*/.*|examples|LICENSE|params.yaml'

deps: $(READY)  ## list in dvc.yaml the code that each stage uses, and copy params.yaml into the package
	$(BIN)/python tools/stage_dependencies.py
	cp params.yaml $(DEFAULT_PARAMS)

first-day: $(READY)  ## type all that README says into a fresh clone, 30 minutes
	PYTHONPATH=tests $(BIN)/python tests/first_day.py

walk: $(READY)  ## type docs/walk.md, from photos to the next release, into a fresh clone, 5 minutes
	PYTHONPATH=tests $(BIN)/python tests/walk.py

torture: $(READY)  ## kill, starve and mislead it, for two to three hours (docs/reliability.md; PARTS=photos)
	PYTHONPATH=tests $(BIN)/python -m torture $(PARTS)

gate: $(READY)  ## compare the metrics with those of a Git revision (AGAINST=main)
	$(BIN)/pandacat gate --against "$(AGAINST)"

serve: PORT ?= 8000
serve: $(READY)  ## answer photos on a page and over HTTP, with the trained model (PORT=8000)
	$(BIN)/pandacat serve --port "$(PORT)"

ui: PORT ?= 5000
ui: $(READY)  ## open the tracked runs in a browser (PORT=5000)
	$(BIN)/pandacat tracking ui --port "$(PORT)"

bench: $(READY)  ## measure speed beside other ways, 30 minutes (ARCHIVE=photos.zip FIELD_TEST=others.zip)
	$(BIN)/dvc repro fetch_photos fetch_mnist
	$(BIN)/python benchmarks/preprocess.py $(if $(ARCHIVE),--archive "$(ARCHIVE)")
	$(BIN)/python benchmarks/frozen_pass.py
	$(BIN)/python benchmarks/fine_tune.py $(if $(ARCHIVE),--archive "$(ARCHIVE)") $(if $(FIELD_TEST),--field-test "$(FIELD_TEST)")
	$(BIN)/dvc repro export
	$(BIN)/python benchmarks/exported.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/mnist.py
	$(BIN)/python benchmarks/pipeline.py $(if $(ARCHIVE),--archive "$(ARCHIVE)")

lint: $(READY)  ## check style, types, and what `make deps` writes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/stage_dependencies.py --check
	cmp params.yaml $(DEFAULT_PARAMS)

clean:  ## remove the environment and the tools' caches; results and tracked runs stay
	rm -rf "$(VENV)" "$(VENV)"-* .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.txt constraints.txt requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: name one, as in 'make repro PYTHON=python3.12'." >&2; exit 1; }
	"$(PYTHON)" -m venv $(if $(LOCKED),--clear) "$(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check $(PACKAGES)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
