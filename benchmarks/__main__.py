"""`python -m benchmarks`: run all measurements and write the tables."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import measures
from benchmarks.machine import facts
from benchmarks.measures import Place
from benchmarks.table import Measurement, Report, as_json, markdown

DEFAULT = (10_000, 100_000)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--articles", "sizes", type=click.IntRange(2_000), multiple=True, default=DEFAULT, show_default=True, help="Sizes of corpora."
)
@click.option("--only", metavar="LETTERS", default="abcdefghijkl", show_default=True, help="Which measurements to make.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep corpora, databases and environments there.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("benchmark"), show_default=True, help="Writes OUTPUT.md, OUTPUT.json."
)
def main(sizes: tuple[int, ...], only: str, folder: Path | None, output: Path) -> None:
    """Measure dedup and other packages on invented articles, and write the tables as Markdown and as JSON.

    \b
    a  signature              e  restart                 i  hot buckets
    b  + lookup, insertion    f  latency of the daemon   j  stages of the largest scan
    c  the whole job          g  bytes, memory           k  shared passages
    d  rescan                 h  recall and precision    l  search

    The default sizes take about 15 minutes and 5 GB, a million articles half an hour and 19 GB. pip installs each other
    package into an environment of its own. Repeat --articles for several sizes.
    """
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        place = Place((folder or Path(temporary)).resolve(), say, len(os.sched_getaffinity(0)))
        place.folder.mkdir(parents=True, exist_ok=True)
        measurements = tuple(_measured(place, sorted(set(sizes)), only))
        report = Report(
            machine=facts(place.folder),
            date=datetime.now(UTC).date().isoformat(),
            command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
            versions=place.versions,
            measurements=measurements,
        )
    output.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    output.with_suffix(".json").write_text(as_json(report), encoding="utf-8")
    print(markdown(report), end="")


def _measured(place: Place, sizes: list[int], only: str) -> list[Measurement]:
    """The measurements in an order in which each finds what it needs. (f) adds articles to a database and comes last."""
    steps: list[tuple[str, Callable[[], list[Measurement]]]] = [
        ("ab", lambda: measures.packages(place)),
        ("c", lambda: [measures.whole_jobs(place, sizes)]),
        ("g", lambda: [measures.sizes_of(place, sizes)]),
        ("d", lambda: [measures.rescans(place, sizes)]),
        ("e", lambda: [measures.restarts(place, sizes)]),
        ("h", lambda: [measures.truths(place)]),
        ("i", lambda: [measures.hot(place)]),
        ("j", lambda: [measures.growth(place, sizes[-1])]),
        ("l", lambda: [measures.searches(place, sizes)]),
        ("k", lambda: [measures.shared_passages(place, sizes)]),
        ("f", lambda: [measures.latencies(place, sizes)]),
    ]
    made = [measurement for letters, step in steps if set(letters) & set(only) for measurement in step()]
    return sorted(made, key=lambda measurement: measurement.key)


if __name__ == "__main__":
    main()
