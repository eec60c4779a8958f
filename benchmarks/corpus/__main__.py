"""`python -m benchmarks.corpus DIR --articles N`: write a corpus."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.corpus import KINDS, lay_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a corpus and print its size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description="Write a crawl directory of invented articles.")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--articles", type=int, required=True, metavar="N")
    parser.add_argument("--kind", choices=KINDS, default="mixed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: one for each core")
    options = parser.parse_args(arguments)
    start = time.perf_counter()

    def progress(files: int) -> None:
        rate = files / (time.perf_counter() - start)
        print(f"\r{files:,} of {options.articles:,} articles, {rate:,.0f} a second", end="", file=sys.stderr, flush=True)

    written = lay_out(options.directory, options.articles, options.seed, options.kind, processes=options.processes, progress=progress)
    seconds = time.perf_counter() - start
    print(
        f"\r{written.files:,} articles in {written.folders:,} folders, {written.file_bytes / 1e6:,.1f} MB, in {seconds:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
