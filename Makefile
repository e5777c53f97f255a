# Landfall: the verbs. `make help` lists them.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build/collections
export PYTHONPATH := $(CURDIR)/tests:$(CURDIR)/.build/collections

.PHONY: help setup setup-test demo clean test lint unit sanity molecule integration e2e docs soak trials audit
.PHONY: bench bench-converge bench-rollout bench-migration bench-backup bench-firewall

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## system packages, Docker, Python environment (once)
	@scripts/setup demo

setup-test:
	@scripts/setup test

demo: setup ## the whole thing on this machine: a bare host to the Jarvis stack behind TLS
	@$(BIN)/python -m lab.demo

clean: ## take away what `make demo` and `make test` made on this machine, and nothing else
	@scripts/clean

lint: setup-test ## linters only (fast)
	@scripts/lint

unit: setup-test ## unit tests only (fast)
	@$(BIN)/python -m pytest tests/unit -q

test: setup-test ## everything: linters, unit, sanity, molecule, integration, end to end
	@$(BIN)/python -m lab.suite

sanity: setup-test ## ansible-test sanity with each ansible-core that is here
	@scripts/sanity

molecule: setup-test ## the role scenarios on systemd hosts
	@$(BIN)/python -m lab.suite molecule

integration: setup-test ## parts against real Docker, nginx, ACME
	@$(BIN)/python -m pytest tests/integration -q

e2e: setup-test ## bare host to journey, reboot, renewal, bad input
	@$(BIN)/python -m pytest tests/e2e -v

docs: setup-test ## write the generated documentation again
	@$(BIN)/python scripts/gen_stack_reference.py

soak: setup-test ## the long forms of the tests
	@LANDFALL_LONG=1 $(BIN)/python -m pytest tests/e2e tests/integration -v
	@$(BIN)/python -m bench.rollout

trials: setup-test ## take each protection of a rollout out and see its test fail (NAME=… for one)
	@$(BIN)/python -m trials $(NAME)

audit: setup-test ## Lynis, ssh-audit, testssl.sh, nmap, gixy on a host, before and after (WRITE=1: docs/audit.md)
	@$(BIN)/python -m audit $(if $(WRITE),--write)

bench: bench-converge bench-rollout bench-migration bench-backup bench-firewall ## all benches

bench-rollout: setup-test ## requests dropped while rolling, beside two peers (SHORT=1: under 4 minutes)
	@$(BIN)/python -m bench.rollout $(if $(SHORT),--short)

bench-migration: setup-test ## SQLite to PostgreSQL, beside pgloader and the floor (EVENTS=200000: a short one)
	@command -v pgloader >/dev/null || { [ "$$(id -u)" = 0 ] || SUDO=sudo; $$SUDO apt-get -q -y install pgloader >/dev/null; }
	@$(BIN)/python -m bench.migration

bench-backup: setup-test ## a database and a volume to S3 and back, beside three peers and the floors (SIZE=150: a short one)
	@command -v pgbackrest >/dev/null || { [ "$$(id -u)" = 0 ] || SUDO=sudo; $$SUDO apt-get -q -y install --no-install-recommends pgbackrest >/dev/null; }
	@$(BIN)/python -m bench.backup

bench-converge: setup-test ## seconds, tasks and ratio to a ping round of site.yml
	@$(BIN)/python tests/bench/converge.py

bench-firewall: setup-test ## 30 rules: the module firewall beside a loop over community.general.ufw
	@$(BIN)/python tests/bench/firewall.py
