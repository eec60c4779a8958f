"""`python -m tests.fuzz TARGET --seconds N`: a coverage-guided run with atheris.

The run starts from the inputs in `--corpus`, which has a folder per target, and adds new ones. Progress is printed. An input that breaks
a law or takes longer than `--slow` seconds ends the run with exit code 77; it is saved in the folder `--corpus` as `TARGET-crash-…` or
`TARGET-timeout-…`. Without atheris the laws run on the seeds and on the inputs of `found/`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

Law = Callable[[bytes], None]
INSTRUMENTED = ("dedup", "w3lib", "html", "fnmatch", "difflib")


def _guided(law: Law, atheris: Any) -> Law:
    """Run the law, and parse the same input with the Python version of `datetime`.

    The C version gives the fuzzer no coverage.
    """
    compiled = {name: sys.modules.pop(name) for name in ("datetime", "_datetime")}
    sys.modules["_datetime"] = None  # type: ignore[assignment]
    with atheris.instrument_imports(include=["datetime", "_pydatetime"]):
        plain = import_module("datetime")
    sys.modules |= compiled

    def run_both(raw: bytes) -> None:
        law(raw)
        with contextlib.suppress(Exception):
            plain.datetime.fromisoformat(raw.decode("utf-8", "replace"))

    return run_both


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--longest", type=int, default=4096, help="maximum size of an input in bytes")
    parser.add_argument("--slow", type=int, default=5, help="maximum time for an input in seconds")
    parser.add_argument("--corpus", default=".fuzz", metavar="DIR")
    options = parser.parse_args()
    atheris: Any = import_module("atheris") if find_spec("atheris") else None
    if atheris is None:
        laws = import_module("tests.fuzz.laws")
        for raw in (*import_module("tests.fuzz.seeds").SEEDS[options.target], *(raw for _, raw in laws.found(options.target))):
            laws.TARGETS[options.target](raw)
        sys.exit("atheris is not installed (pip install -e '.[fuzz]'): ran the known inputs only")
    for name in ("html", "fnmatch", "difflib"):
        sys.modules.pop(name, None)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        laws = import_module("tests.fuzz.laws")
        import_module("dedup.similarity.jit")._JitState.unavailable = True  # compiled code gives no coverage and takes long to compile
    seeds = import_module("tests.fuzz.seeds")
    folder = os.path.join(options.corpus, options.target)
    os.makedirs(folder, exist_ok=True)
    for number, raw in enumerate((*seeds.SEEDS[options.target], *(raw for _, raw in laws.found(options.target)))):
        with open(os.path.join(folder, f"seed-{number}"), "wb") as file:
            file.write(raw)
        laws.TARGETS[options.target](raw)  # build tables now, outside of the time of the first input
    dictionary = os.path.join(options.corpus, "words.dict")
    with open(dictionary, "w", encoding="ascii") as file:
        for word in seeds.DICTIONARY:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n')
    arguments = {
        "max_total_time": options.seconds, "max_len": options.longest, "timeout": options.slow, "report_slow_units": 1, "dict": dictionary,
        "print_final_stats": 1, "rss_limit_mb": 4096, "artifact_prefix": options.corpus + os.sep + options.target + "-",
    }  # fmt: skip
    law = laws.TARGETS[options.target]
    if options.target == "times":
        law = _guided(law, atheris)
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in arguments.items()), folder], law)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
