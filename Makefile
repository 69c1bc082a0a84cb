# Steerscope. A fresh clone needs Python 3.11 or newer and make, nothing else: `make run` or `make test`.

STEERSCOPE_PORT ?= 8501
# The first that runs and is new enough (a name on PATH may be an empty shim).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

VENV := .venv
PY := $(VENV)/bin/python
# A stamp carries the hash of what it installed: while the files are the same, pip is not started.
RUN_STAMP := $(VENV)/.run-$(shell cat requirements.txt | cksum | cut -d' ' -f1)
TEST_STAMP := $(VENV)/.test-$(shell cat requirements.txt tests/requirements.txt | cksum | cut -d' ' -f1)

# In this order, and in one run of pytest, so that its last line counts them all.
UNIT_TESTS = $(shell find tests -name 'test_*.py' -not -path 'tests/integration/*' -not -path 'tests/browser/*' | sort)
TESTS = $(UNIT_TESTS) $(wildcard tests/integration tests/browser)

.PHONY: run test lint bench clean
# Starts the app on 127.0.0.1.
run: $(RUN_STAMP)
	@$(PY) -m sas_core.model.demo
	$(PY) -m streamlit run app.py --server.port $(STEERSCOPE_PORT)

# Every test. One file or word: make test PYTEST_FLAGS='-k sinks'.
test: $(TEST_STAMP)
	@$(PY) tests/browser/chromium.py
	@$(PY) -m sas_core.model.demo
	$(PY) -m pytest $(TESTS) $(PYTEST_FLAGS)

lint: $(TEST_STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

bench: $(TEST_STAMP)
	@$(PY) -m sas_core.model.demo
	@for bench in benchmarks/bench_*.py; do PYTHONPATH=. $(PY) $$bench || exit 1; done

# Leaves cache/ alone: the saved vectors live there.
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Steerscope needs Python 3.11 or newer and found none on PATH." \
		"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than Python 3.11, which Steerscope needs." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment" \
		"(on Debian and Ubuntu: apt install python3-venv). Then run make again." >&2; exit 1; }
	@touch $@

$(RUN_STAMP): | $(VENV)/.made
	$(PY) -m pip install --disable-pip-version-check --no-input -r requirements.txt
	@touch $@

$(TEST_STAMP): | $(RUN_STAMP)
	$(PY) -m pip install --disable-pip-version-check --no-input -r tests/requirements.txt
	@touch $@
