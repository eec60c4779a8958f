# Tasks of development; `just` lists them. Needs https://just.systems; each recipe is one command that also works without it.

python := ".venv/bin/python"

# List the tasks
default:
    @just --list

# Create .venv with everything that development needs
setup:
    python3 -m venv .venv
    {{ python }} -m pip install -q -e ".[dev,docs]"

# Run the fast tests (about a minute on two cores)
test *args:
    {{ python }} -m pytest -q -n auto --dist worksteal -m "not slow and not system" {{ args }}

# Run the tests of the README
test-all *args:
    {{ python }} -m pytest -q -n auto --dist worksteal {{ args }}

# Run the tests that need mounts, namespaces or killed processes, and long ones
test-system *args:
    {{ python }} -m pytest -q -m system -n 2 --dist loadfile {{ args }}

# Check style and types
lint:
    {{ python }} -m ruff check .
    {{ python }} -m ruff format --check .
    {{ python }} -m mypy

# Format the code
format:
    {{ python }} -m ruff check --fix .
    {{ python }} -m ruff format .

# Build the documentation into build/docs; warnings are errors
docs:
    {{ python }} -m sphinx -W -b dirhtml docs build/docs

# Write the manual pages into build/man; a wheel has them in share/man
man:
    {{ python }} -m dedup.cli.man_pages build/man

# Measure the whole job on invented articles
bench *args:
    {{ python }} -m benchmarks {{ args }}

# Everything that must hold before a change is accepted
ci:
    .ci/run
