"""Properties that hold for any input, and a coverage-guided fuzzer for them: `python -m tests.fuzz TARGET --seconds N`.

`laws` has one function of bytes per property; it raises if the property does not hold. `tests/pipeline/test_hostile.py` runs the laws on
inputs of Hypothesis. `python -m tests.fuzz` runs them with atheris (`pip install -e '.[fuzz]'`), which searches for inputs that cover more
code. `found/` keeps every input that once broke a law, in a folder per target. The test suite runs them too.
"""
