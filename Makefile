# Orders the stages and sets up what they need; all else is in the csg405 command. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

CONFIG ?= folder
RUN ?= $(basename $(notdir $(CONFIG)))
ENGINE ?= local
WORKERS ?=
SET ?=
DEVICE ?= cpu
BACKEND ?= $(if $(filter cuda,$(DEVICE)),gpu,cpu)
EXTRAS ?=
SEED ?= 405
VIDEOS ?=
PORT ?= 40405
TORCH_BACKEND ?=
PYTHON ?= python3

BIN := .venv/bin
STAGES := crawl annotate filter postprocess report

# uv reads its own variable, not pip's.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

comma := ,
empty :=
space := $(empty) $(empty)

# A stamp for each set of extras: .venv/.installed-cpu, .venv/.installed-cpu-dev-hub-ray, ...
stamp = .venv/.installed-$(subst $(space),-,$(sort $(1)))
READY := $(call stamp,$(BACKEND) $(if $(filter ray,$(ENGINE)),ray) $(EXTRAS))
READY_DEMO := $(call stamp,$(BACKEND) demo $(if $(filter ray,$(ENGINE)),ray) $(EXTRAS))
READY_BENCH := $(call stamp,$(BACKEND) bench demo $(if $(filter ray,$(ENGINE)),ray) $(EXTRAS))
READY_DEV := $(call stamp,$(BACKEND) bench dev hub ray $(EXTRAS))

# The demo is a run of its own, unless it is given another name.
DEMO_RUN = $(if $(filter file default undefined,$(origin RUN)),$(if $(VIDEOS),videos,demo),$(RUN))

# A demo's benchmark trains a kit of the demo's size, unless another configuration is named.
BENCH_CONFIG = $(if $(filter file default undefined,$(origin CONFIG)),$(if $(filter demo,$(RUN)),demo,$(CONFIG)),$(CONFIG))

OPTIONS = --run '$(RUN)' --config '$(CONFIG)' --engine '$(ENGINE)' $(if $(WORKERS),--workers '$(WORKERS)') \
	$(if $(filter-out cpu,$(DEVICE)),--set 'device=$(DEVICE)')

# By way of the environment: so a value may hold spaces and quotes, as SET="crawl.folder='my films'".
export CSG405_SET := $(SET)

.PHONY: help setup demo $(STAGES) all benchmark bench bench-score bench-films bench-models test test-long lint doctor clean

help: ## list the targets and the variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  RUN=name        the run: its tables are in manifests/<run>, its files in work/<run> (now: $(RUN))"
	@echo "  CONFIG=name     a configuration in csg405/configs, or the path of a YAML file (now: $(CONFIG))"
	@echo "  SET='a.b=c d=e' values laid over the configuration"
	@echo "  ENGINE=local    or ray"
	@echo "  WORKERS=n       worker processes; one per core when missing"
	@echo "  DEVICE=cpu      or cuda; decides which onnxruntime is installed"
	@echo "  SEED=n          demo: which talkers, films and defects (now: $(SEED))"
	@echo "  VIDEOS=dir      demo: films of yours in place of drawn ones, with the published pose networks"
	@echo "  PORT=n          demo: of the server on this machine that the films are fetched from (now: $(PORT))"
	@echo "  EXTRAS='a b'    more of pyproject.toml's optional dependencies to install"
	@echo "  TORCH_BACKEND=cpu  torch without CUDA, for the tests on a machine without a GPU"

setup: $(READY) ## make .venv with what the stages need

demo: $(READY_DEMO) ## draw films, fetch, annotate, filter and release them, and say what to open
	$(BIN)/csg405 demo --run '$(DEMO_RUN)' --seed '$(SEED)' --port '$(PORT)' $(if $(VIDEOS),--videos '$(VIDEOS)') \
		--engine '$(ENGINE)' $(if $(WORKERS),--workers '$(WORKERS)') \
		$(if $(filter-out cpu,$(DEVICE)),--set 'device=$(DEVICE)')

crawl: $(READY) ## stage 1: lists, queries and folders to videos
	$(BIN)/csg405 crawl $(OPTIONS)

annotate: $(READY) ## stage 2: videos to candidate clips and measurements
	$(BIN)/csg405 annotate $(OPTIONS)

filter: $(READY) ## stage 3: measurements to decisions; prints the funnel
	$(BIN)/csg405 filter $(OPTIONS)

postprocess: $(READY) ## stage 4: kept clips to media, skeletons and shards
	$(BIN)/csg405 postprocess $(OPTIONS)

report: $(READY) ## the page to look at: work/<run>/report/index.html
	$(BIN)/csg405 report $(OPTIONS)

all: $(STAGES) ## all stages and the report, in order

benchmark: $(READY_BENCH) ## a kit, the configured models trained and scored beside controls, and their page
	$(BIN)/csg405 benchmark run --run '$(RUN)' --config '$(BENCH_CONFIG)' --engine '$(ENGINE)' \
		$(if $(WORKERS),--workers '$(WORKERS)') $(if $(filter-out cpu,$(DEVICE)),--set 'device=$(DEVICE)')

bench: bench-score bench-films bench-models ## all benches, in one table

bench-score: $(READY_BENCH) ## how long a score takes, its memory, and what the alignment metrics tell apart
	$(BIN)/python -m bench.score

bench-films: $(READY_BENCH) ## whether the renderer warp follows a skeleton and keeps a person, and how fast it is
	$(BIN)/python -m bench.films

bench-models: $(READY_BENCH) ## what models cost and how good they are; trains both, which takes two hours
	$(BIN)/python -m bench.models

test: $(READY_DEV) ## the quick test suite
	$(BIN)/python -m pytest -m 'not long'

test-long: $(READY_DEV) ## the slow one: kills, faults, packaging, browsers
	$(BIN)/python -m pytest -m long

lint: $(READY_DEV) ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

doctor: $(READY) ## what of this machine works, and what to do about the rest
	$(BIN)/csg405 doctor

clean: ## delete the run RUN=name: its tables, its files, its crawled media
ifneq ($(filter command line environment,$(origin RUN)),)
	@[[ '$(RUN)' =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$$ && ! '$(RUN)' =~ ^(schema|sources)$$ ]] \
		&& [[ ! -f 'manifests/$(RUN)' ]] || { echo "clean: '$(RUN)' is not the name of a run" >&2; exit 2; }
	rm -rf -- 'work/$(RUN)' 'manifests/$(RUN)'
else
	@echo "clean: say which run, for example: make clean RUN=$(RUN)" >&2; exit 2
endif

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "$(PYTHON) is not Python 3.11 or 3.12; give one with PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# onnxruntime and onnxruntime-gpu write the same folder, so one leaves before the other comes; and rtmlib and
# faster-whisper ask for onnxruntime by name, which has to be overruled for the GPU's.
.venv/.installed-%: pyproject.toml constraints.txt | .venv/bin/uv
	@if [[ -e .venv/.backend && "$$(cat .venv/.backend)" != '$(BACKEND)' ]]; then \
		$(BIN)/uv pip uninstall --quiet --python $(BIN)/python onnxruntime onnxruntime-gpu; \
		rm -f .venv/.installed-*; \
	fi
	@echo '$(BACKEND)' > .venv/.backend
	@echo "$(if $(filter gpu,$(BACKEND)),onnxruntime ; sys_platform == 'never')" > .venv/overrides.txt
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --override .venv/overrides.txt -c constraints.txt \
		$(if $(TORCH_BACKEND),--torch-backend '$(TORCH_BACKEND)') -e '.[$(subst -,$(comma),$*)]'
	@touch $@
