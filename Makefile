# Two commands do everything: `make demo` and `make test`. Both make the virtual environment first.
# `make bench` measures this machine; give it one that does nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One more than the two cores of a small machine: many tests wait for processes rather than compute.
WORKERS ?= 3

.PHONY: demo test check bench clean

demo: $(STAMP)
	$(BIN)/python -m bot demo $(if $(ONCE),--once)

# The bot's tests first, with torch and its friends made unimportable: the bot must never need them.
test: check
	$(BIN)/python -m pytest -n $(WORKERS) -p tests.without_torch tests/bot $(ARGS)
	$(BIN)/python -m pytest -n $(WORKERS) --ignore tests/bot $(ARGS)

# The trainer's section of docs/BENCHMARKS.md for this machine is written anew; the tagger's numbers are printed.
bench: $(STAMP)
	mkdir -p bench-out
	$(BIN)/python -m trainer bench --json bench-out/trainer.json --page docs/BENCHMARKS.md $(ARGS)
	$(BIN)/python -m bot.bench.tagger --json bench-out/tagger.json

check: $(STAMP)
	$(BIN)/ruff check bot trainer tests
	$(BIN)/ruff format --check bot trainer tests
	$(BIN)/mypy bot trainer

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bot,trainer,demo,dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
