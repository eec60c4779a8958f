"""`python -m benchmarks.histories`: pages with a long history, at 1,000, 2,000 and 4,000 crawls.

Crawls of one page are recorded in order of time, backwards and shuffled, one file at a time (as events bring them), and all in one
scan. The cost of a crawl must not grow with the number of earlier ones: the column `growth` is the exponent between the two largest
sizes (1: linear, 2: quadratic). Times are processor time, which other processes hardly affect. Every order must end in the same
database.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from dedup import reports
from dedup.config import CrawlConfig, DatabaseConfig, Settings
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session, open_session
from dedup.runtime import process
from dedup.store import open_database

SIZES = (1_000, 2_000, 4_000)
BEGUN = datetime(2026, 3, 2, tzinfo=UTC)
_RNG = random.Random(20260302)
_WORDS = ["".join(_RNG.choices("abcdefghijklmnoprstuvw", k=_RNG.randint(3, 9))) for _ in range(80)]


@dataclass(frozen=True, slots=True)
class Showing:
    """One crawl of the page: its text, and whether the claim in the file is that of the previous text."""

    number: int
    body: str
    stale: str | None = None

    @property
    def name(self) -> bytes:
        return f"{self.number:06}.md".encode()

    def render(self) -> str:
        at = (BEGUN + timedelta(hours=self.number)).strftime("%Y-%m-%d %H:%M:%S")
        claim = hashlib.sha256((self.stale or self.body).encode()).hexdigest()
        return (
            f'---\nid: 901_1\ntitle: "Budget"\ncategory: \npublisher: Harbour Gazette\nauthor: \npublished_at: 2026-03-02 09:00\n'
            f"crawled_at: {at}\nurl: https://gazette.example/1\noid: 901\naid: 1\ncontent_hash: {claim}\n---\n\n# Budget\n\n"
            f"**Harbour Gazette** | 2026-03-02 09:00 | \n\n---\n\n{self.body}\n\n---\n\n*Crawled at: {at}*\n"
            "*Source: [original](https://gazette.example/1)*\n"
        )


def _text(*more: str) -> str:
    return " ".join([*_WORDS, *more]) + "."


def _new(n: int) -> Showing:
    return Showing(n, _text("edition", str(n)))


def _alternating(n: int) -> Showing:
    return Showing(n, _text("council", "agrees" if n % 2 else "disagrees"))


def _removed(n: int) -> Showing:
    return Showing(n, "Content not found" if n % 3 == 1 else _text("council", "edition", str(n // 6)))


def _stale(n: int) -> Showing:
    return Showing(n, _text("edition", str(n)), _text("edition", str(n - 1)) if n else None)


SHAPES: dict[str, Callable[[int], Showing]] = {
    "the same text": lambda n: Showing(n, _text()),
    "a new text each": _new,
    "two texts in turn": _alternating,
    "removed and restored": _removed,
    "stale claims": _stale,
}
ORDERS = ("in order", "backwards", "shuffled", "in one scan")


def _ordered(crawls: Sequence[Showing], order: str) -> list[Showing]:
    found = list(crawls)
    if order == "backwards":
        found.reverse()
    elif order == "shuffled":
        random.Random(len(crawls)).shuffle(found)
    return found


@contextmanager
def _session(folder: Path) -> Iterator[Session]:
    settings = Settings(
        crawl=CrawlConfig(directories=(str(folder / "crawl"),), settle_seconds=0.0, workers=1),
        database=DatabaseConfig(path=str(folder / "dedup.db")),
    )
    process.prepare_for_scanning()
    with open_session(settings, "benchmark") as session:
        yield session


def recorded(shape: str, order: str, size: int) -> tuple[float, str]:
    """Return (seconds of processor time for recording, a digest of the database's content)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "crawl").mkdir()
        crawls = _ordered([SHAPES[shape](n) for n in range(size)], order)
        with _session(folder) as session:
            scan = Scan(session)
            seconds = 0.0
            if order == "in one scan":
                for crawl in crawls:
                    (folder / "crawl" / crawl.name.decode()).write_text(crawl.render(), encoding="utf-8")
                begun = time.process_time()
                scan.run()
                seconds = time.process_time() - begun
            else:
                for crawl in crawls:
                    (folder / "crawl" / crawl.name.decode()).write_text(crawl.render(), encoding="utf-8")
                    begun = time.process_time()
                    scan.check_paths(session.directories[0], [crawl.name])
                    seconds += time.process_time() - begun
                scan.close()
        digest = hashlib.sha256()
        with open_database(str(folder / "dedup.db")) as database:
            for row in reports.dump_rows(database):
                digest.update(json.dumps(row).encode())
    return seconds, digest.hexdigest()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--crawls", "sizes", type=click.IntRange(10), multiple=True, default=SIZES, show_default=True, help="Sizes of histories.")
@click.option("--shape", "shapes", type=click.Choice(list(SHAPES)), multiple=True, default=list(SHAPES), help="Contents of the page.")
@click.option("--order", "orders", type=click.Choice(ORDERS), multiple=True, default=list(ORDERS), help="Orders of arrival.")
def main(sizes: tuple[int, ...], shapes: tuple[str, ...], orders: tuple[str, ...]) -> None:
    """Measure the cost of crawls of a page with a long history. Exits with 1 if two orders end in different databases."""
    sizes = tuple(sorted(sizes))
    print("| the page shows | crawls arrive | " + " | ".join(f"{size:,} (s)" for size in sizes) + " | ms a crawl | growth |")
    print("|---|---|" + "---|" * (len(sizes) + 2))
    differ = False
    for shape in shapes:
        ends: dict[int, set[str]] = {}
        for order in orders:
            seconds: list[float] = []
            for size in sizes:
                took, digest = recorded(shape, order, size)
                seconds.append(took)
                ends.setdefault(size, set()).add(digest)
            growth = math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2]) if len(sizes) > 1 else math.nan
            figures = " | ".join(f"{s:.1f}" for s in seconds)
            print(f"| {shape} | {order} | {figures} | {1000 * seconds[-1] / sizes[-1]:.1f} | {growth:.2f} |", flush=True)
        for size, digests in ends.items():
            if len(digests) > 1:
                differ = True
                print(f"{shape}, {size:,} crawls: the orders end in {len(digests)} different databases", file=sys.stderr)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
