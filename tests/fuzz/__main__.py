"""`python -m tests.fuzz TARGET --seconds N`: a coverage-guided run with atheris.

What is worth keeping of earlier runs is taken up from `--corpus` (a folder for every target in it) and added to. A line tells
how it goes; an input that breaks a law, or takes longer than `--slow` seconds, ends the run with 77 and stands in
`crash-…` or `timeout-…` of the folder `--corpus`. Without atheris the laws run on the seeds and on what was found before.
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
    """The law, and the same time read by Python's own form of `datetime`, whose branches can be seen: the one in C gives no
    guidance."""
    compiled = {name: sys.modules.pop(name) for name in ("datetime", "_datetime")}
    sys.modules["_datetime"] = None  # type: ignore[assignment]
    with atheris.instrument_imports(include=["datetime", "_pydatetime"]):
        plain = import_module("datetime")
    sys.modules |= compiled

    def both(raw: bytes) -> None:
        law(raw)
        with contextlib.suppress(Exception):
            plain.datetime.fromisoformat(raw.decode("utf-8", "replace"))

    return both


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--longest", type=int, default=4096, help="bytes of an input")
    parser.add_argument("--slow", type=int, default=5, help="seconds that an input may take")
    parser.add_argument("--corpus", default=".fuzz", metavar="DIR")
    chosen = parser.parse_args()
    atheris: Any = import_module("atheris") if find_spec("atheris") else None
    if atheris is None:
        laws = import_module("tests.fuzz.laws")
        for raw in (*import_module("tests.fuzz.seeds").SEEDS[chosen.target], *(raw for _, raw in laws.found(chosen.target))):
            laws.TARGETS[chosen.target](raw)
        sys.exit("atheris is not there (pip install -e '.[fuzz]'): tried what is known, nothing new")
    for name in ("html", "fnmatch", "difflib"):
        sys.modules.pop(name, None)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        laws = import_module("tests.fuzz.laws")
        import_module("dedup.similarity.jit")._JitState.unavailable = True  # machine code gives no guidance, and is slow to make
    seeds = import_module("tests.fuzz.seeds")
    folder = os.path.join(chosen.corpus, chosen.target)
    os.makedirs(folder, exist_ok=True)
    for number, raw in enumerate((*seeds.SEEDS[chosen.target], *(raw for _, raw in laws.found(chosen.target)))):
        with open(os.path.join(folder, f"seed-{number}"), "wb") as file:
            file.write(raw)
        laws.TARGETS[chosen.target](raw)  # tables are made now, not within the first input's time
    dictionary = os.path.join(chosen.corpus, "words.dict")
    with open(dictionary, "w", encoding="ascii") as file:
        for word in seeds.DICTIONARY:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n')
    arguments = {
        "max_total_time": chosen.seconds, "max_len": chosen.longest, "timeout": chosen.slow, "report_slow_units": 1, "dict": dictionary,
        "print_final_stats": 1, "rss_limit_mb": 4096, "artifact_prefix": chosen.corpus + os.sep + chosen.target + "-",
    }  # fmt: skip
    law = laws.TARGETS[chosen.target]
    if chosen.target == "times":
        law = _guided(law, atheris)
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in arguments.items()), folder], law)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
