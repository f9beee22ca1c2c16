# Two commands a newcomer needs: `make demo` and `make test`. Both set up .venv in this checkout first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo serve test test-faults test-postgres check bench soak wheel clean lock
.DEFAULT_GOAL := help

help:
	@echo "make demo    run the whole job for real: three sites, a service, linkage, a sealed join map"
	@echo "make test    run the tests, in less than ten minutes"
	@echo "make test-faults   kills, failing disks, restarts of servers, generated requests"
	@echo "make test-postgres   the service's tests on a PostgreSQL server (skipped where none is installed)"
	@echo "make serve   start a service on this machine (data in ./demo-data)"
	@echo "make check   lint, format, types, import contracts, docs drift"
	@echo "make bench   measure, side by side with the peers"

$(STAMP): .ci/constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import linkage.kernels"  # compiles the inner loops once, so that no first run waits for it
	@touch $@

demo: $(STAMP)
	$(BIN)/trustcenter demo $(ARGS)

serve: $(STAMP)
	@test -e demo-data/config.toml || $(BIN)/trustcenter init demo-data --development
	$(BIN)/trustcenter serve demo-data $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# What takes minutes: the service killed, its disk failing, its server restarted, requests that a generator made up.
test-faults: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "faults and not soak" $(ARGS)

# The service's tests once more, every instance on a real PostgreSQL server that the tests start.
test-postgres: $(STAMP)
	TRUSTCENTER_TEST_STORE=postgres $(BIN)/python -m pytest -n 2 --dist loadfile tests/service $(ARGS)

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak --timeout 7200 $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

bench: $(STAMP)
	PYTHONPATH=tests/bench:tests $(BIN)/python tests/bench $(ARGS)

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

# Renews the constraints; the only target that resolves versions.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--python-version 3.11 --extra dask --extra evaluate --extra parquet --extra postgres --group dev pyproject.toml -o .ci/constraints.txt

clean:
	rm -rf $(VENV) dist demo-data
