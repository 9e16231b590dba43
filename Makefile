# One command for each habit. `make demo` and `make test` need nothing but git, make and any Python.
.PHONY: demo test test-cluster test-browser check bench setup lock clean
export GAMEDAY_TOOLS := $(CURDIR)/.tools
# What Python compiles is kept: a run starts several interpreters, and the tests thousands.
unexport PYTHONDONTWRITEBYTECODE

setup:
	@scripts/setup

# The main job: a whole game day on the embedded lab. It finds a weakness or two on purpose, so status 1 is as good as 0.
demo: setup
	@.venv/bin/gameday run experiments/gamedays/lab.yaml || [ $$? -eq 1 ]

# Every test, the quick ones first, more at a time than there are processors, for they mostly wait; `.venv/bin/pytest`
# alone runs only those. Each worker takes them in their order: those that fork or measure memory must come before the
# threads of tests/kubernetes, so no `--dist worksteal`. One lab serves all tests of a file.
test: setup
	@GAMEDAY_TEST_STAND_IN=1 .venv/bin/pytest -n 4
	@.venv/bin/pytest -m lab -n 3 --dist loadfile --no-loadscope-reorder

# What touches a cluster, on a real API server: see tests/kubernetes/README.md for the three ways to have one.
test-cluster: setup
	@.venv/bin/pytest tests/kubernetes

# What the report does in a real Chromium, which must be on PATH: the charts' controls, hostile texts, PDF.
test-browser: setup
	@GAMEDAY_TEST_BROWSER=1 .venv/bin/pytest -n 2 tests/report

# Formatting, lint, types. All of it is in CI too.
check: setup
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

bench: setup
	@.venv/bin/python benchmarks/all.py

# Pin every package anew, within the ranges of pyproject.toml.
lock: setup
	@scripts/lock

clean:
	@if [ -x .venv/bin/gameday ]; then .venv/bin/gameday lab down; fi
	rm -rf .venv .tools .gameday
