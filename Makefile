# The two commands of the README: `make up` and `make test`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

DATA ?= data
VENV := .venv
BIN := $(VENV)/bin
VIEWER := .cache/viewer
STAMP := $(VENV)/.installed
WORKERS ?= auto

BUILDER ?= docker build
IMAGE := ghcr.io/isocenter/isocenter

.PHONY: image image-again previous-image test-images test-cluster help setup viewer up stack stack-stop test fuzz kills lint lock protos release-protos docs dashboards chart bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock pyproject.toml
	@infra/setup/python.sh $(VENV) requirements-dev.lock
	@touch $@

setup: $(STAMP) ## Make .venv and install everything that is pinned

viewer: ## Fetch the OHIF viewer into .cache/viewer
	@infra/viewer/fetch.sh $(VIEWER)

up: setup viewer ## Run Isocenter on this machine with the demo studies (DATA=folder)
	@exec $(BIN)/isocenter up --data $(DATA) --demo --set web.viewer=$(VIEWER)

stack: ## Start Kafka, Elasticsearch and MinIO on this machine, without containers
	@infra/stack/stack.sh start

stack-stop: ## Stop them (their data stay in .cache/stack/data)
	@infra/stack/stack.sh stop

test: setup viewer ## Set up and pass every test
	@infra/setup/test-tools.sh
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --ignore tests/cluster
	@if [ -n "$${KUBECONFIG:-}" ]; then $(MAKE) --no-print-directory test-cluster; \
	    else echo "SKIPPED: the tests of the chart on a cluster, since KUBECONFIG names none" >&2; fi

fuzz: setup ## Send 60,000 generated requests and 100,000 DICOM streams to real processes (FUZZ_REQUESTS=, FUZZ_STREAMS=, FUZZ_SEED=)
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-60000} FUZZ_STREAMS=$${FUZZ_STREAMS:-100000} $(BIN)/python -m pytest -s tests/fuzz

kills: setup ## Kill processes in the middle of work as often as is promised, on one machine and on servers
	@KILLS=all $(BIN)/python -m pytest $$(grep -l support.kills -r tests/faults tests/stack --include='*.py')

test-cluster: setup ## Test the chart on the cluster that KUBECONFIG names (part of `make test` where one is named)
	@infra/setup/test-tools.sh
	@$(BIN)/python -m pytest tests/cluster

image: setup viewer ## Build the container image (BUILDER=docker build)
	@version=$$($(BIN)/isocenter version | cut -d' ' -f2); \
	    $(BUILDER) -f infra/images/Dockerfile --build-arg VERSION=$$version -t $(IMAGE):$$version .

image-again: setup viewer ## Build it a second time, from nothing: a test compares the two
	@version=$$($(BIN)/isocenter version | cut -d' ' -f2); \
	    $(BUILDER) --no-cache=true -f infra/images/Dockerfile --build-arg VERSION=$$version -t $(IMAGE):$$version-again .

previous-image: viewer ## Build the image of the released version before, which the tests upgrade from
	@infra/images/previous.sh $(BUILDER)

test-images: ## Build images of Kafka, Elasticsearch and MinIO for clusters that no registry serves
	@infra/stack/image/build.sh $(BUILDER)

lint: setup ## ruff, mypy, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lock: setup ## Pin all dependencies anew
	@$(BIN)/python -m pip install --quiet uv
	@for lock in "requirements.lock pyproject.toml --extra cluster" "requirements-dev.lock pyproject.toml --extra dev" \
	    "infra/images/build.lock --group image"; do \
	    set -- $$lock; file=$$1; shift; \
	    $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	        --no-header --no-annotate --upgrade "$$@" -o $$file; \
	done

protos: setup ## Generate services/isocenter/v1 from protos/
	@$(BIN)/python protos/generate.py

release-protos: setup ## At a release: keep its protos and its events, which later versions are held to
	@version=$$($(BIN)/isocenter version | awk '{print $$NF}'); \
	    $(BIN)/buf build protos -o protos/released/$$version.binpb; \
	    PYTHONPATH=tests $(BIN)/python -m support.event_samples tests/data/events-$$version.json

bench: setup ## Measure side by side with Orthanc and dcmtk; writes bench/results/
	@$(BIN)/python -m bench
	@$(BIN)/python infra/docs/bench.py

docs: setup ## Write the pages that come from the code
	@$(BIN)/python infra/docs/settings.py > docs/settings.md
	@$(BIN)/python infra/docs/dicom.py > docs/dicom.md
	@$(BIN)/python infra/docs/conformance.py > docs/conformance.md
	@$(BIN)/python infra/docs/aes.py > docs/aes.md
	@$(BIN)/python infra/docs/events.py > docs/events.md
	@$(BIN)/python infra/docs/audit_messages.py > docs/audit-messages.md
	@$(BIN)/python infra/docs/telemetry.py > docs/telemetry.md
	@$(BIN)/python infra/docs/monitoring.py > docs/monitoring.md
	@$(BIN)/python infra/docs/chart.py > charts/isocenter/README.md

dashboards: setup ## Write the Grafana dashboards of the chart
	@$(BIN)/python infra/grafana/generate.py

chart: setup ## Write the README of the Helm chart; lint, render and test it
	@infra/setup/helm.sh >/dev/null
	@$(BIN)/python infra/docs/chart.py > charts/isocenter/README.md
	@$(BIN)/python -m pytest -q tests/chart

clean: ## Remove what setup made (data stay)
	rm -rf $(VENV) .cache
