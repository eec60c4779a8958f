"""What must hold for any input, and a coverage-guided run of it: `python -m tests.fuzz TARGET --seconds N`.

`laws` states what must hold, as functions of bytes that raise where it does not. The suite tries them on what Hypothesis makes
(`tests/pipeline/test_hostile.py`); `python -m tests.fuzz` lets atheris (`pip install -e '.[fuzz]'`) look for inputs that reach further.
An input that once broke a law lies in `found/`, a folder for every target, and the suite tries it for ever.
"""
