# Two commands do everything on a fresh machine: `make run` and `make test`.
VENV ?= .venv
BIN := $(VENV)/bin
WORKFLOW ?= workflows/example_batch.ncl
PLUGINS := $(wildcard plugins/*)

.DEFAULT_GOAL := help
.PHONY: help run shop demo fleet rehearsal test test-long check format bench bench-agents docs release image

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.run: pyproject.toml constraints.txt scripts/setup.sh scripts/local.sh scripts/web.sh
	@scripts/setup.sh $(VENV) all
	@scripts/web.sh $(VENV)
	@scripts/local.sh
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(PLUGINS:=/pyproject.toml) scripts/setup.sh scripts/nu.sh scripts/terraform.sh scripts/local.sh scripts/tools.sh scripts/web.sh
	@scripts/setup.sh $(VENV) all,dev $(PLUGINS)
	@scripts/web.sh $(VENV)
	@scripts/nu.sh $(VENV)
	@scripts/terraform.sh $(VENV)
	@scripts/local.sh
	@scripts/tools.sh
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## make servers on this machine and install services on them; again after a kill: it goes on
	@scripts/run.sh $(BIN)

shop: $(VENV)/.run ## a web application on three servers of this machine: database, two servers with the program, proxy
	@scripts/shop.sh $(BIN)

demo: $(VENV)/.run ## the example of several clouds, all of them simulated; again after a kill: it goes on
	@$(BIN)/batchwright run $(WORKFLOW) --simulate --resume

fleet: $(VENV)/.dev ## PostgreSQL, Temporal, a service and two workers on this machine: one is killed, the other goes on
	@$(BIN)/python scripts/fleet.py

rehearsal: $(VENV)/.run ## two clouds emulated with real servers of this machine behind them: make, install, check, take away
	@scripts/rehearse.sh $(BIN)

test test-long: export PYTHONDONTWRITEBYTECODE := # modules are compiled once, not in each of a thousand processes

test: $(VENV)/.dev ## every test, in just under eight minutes on two cores
	$(BIN)/pytest -n 6 --dist worksteal

test-long: $(VENV)/.dev ## what make test samples, in full, and long random explorations with printed seeds
	$(BIN)/pytest -m long -s
	$(BIN)/pytest -m "hypothesis and not long" --hypothesis-profile full

check: $(VENV)/.dev ## style, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for plugin in $(PLUGINS); do (cd $$plugin && $(abspath $(BIN))/mypy) || exit 1; done
	$(BIN)/lint-imports

format: $(VENV)/.dev ## make the format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure, print a table, write bench/RESULTS.md
	$(BIN)/python -m bench

release: $(VENV)/.dev ## a dry run: build the packages twice, compare them, show the news; publishes nothing
	@scripts/release.sh $(BIN)

image: $(VENV)/.dev ## the container image, with podman, buildah or docker; OPTIONS="--build-arg BASE=..."
	@scripts/image.sh $(BIN) $(OPTIONS)

docs: $(VENV)/.dev ## the documentation as a site, in build/site/site; opens from the folder, asks nobody else for anything
	@scripts/docs_site.sh $(VENV)

bench-agents: $(VENV)/.dev ## tokens of answers by each way, and whether they are right; fails if a gate does not hold
	$(BIN)/python -m bench.agents

screenshots: $(VENV)/.dev ## pictures of the page with simulated runs, into screenshots/, in about ten minutes
	$(BIN)/python scripts/screenshots.py
