"""`python -m benchmarks.dashboard`: the response time of each page of the dashboard on a large database.

The program writes and scans a crawl directory with edited pages. It then runs `dedup serve` as a process and requests pages drawn from
the database over the loopback, one after the other. The figures are milliseconds until the whole response has been read.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import click

from benchmarks.corpus import Article, between, lay_out, write
from benchmarks.corpus.mixture import BLOCK, CRAWLS
from benchmarks.machine import facts

TARGET = 100.0
"""Milliseconds for a page at the median, at most."""
_PAGES_IN_BLOCK = BLOCK - CRAWLS
_EDITED_IN_BLOCK = CRAWLS / 2
_UNRELATED_IN_BLOCK = 35


@dataclass(frozen=True, slots=True)
class Timed:
    """A view: milliseconds of each request, and the bytes of the largest response."""

    name: str
    milliseconds: tuple[float, ...]
    most_bytes: int


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pages", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option("--revisions", type=click.IntRange(0), default=30_000, show_default=True, help="Edits of those pages.")
@click.option("--requests", type=click.IntRange(3), default=40, show_default=True, help="Requests for each view.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep the crawl and the database there.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("dashboard.md"), show_default=True)
def main(pages: int, revisions: int, requests: int, folder: Path | None, output: Path) -> None:
    """Measure the pages of the dashboard and write a table."""
    with tempfile.TemporaryDirectory() as temporary:
        place = (folder or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        config = _database(place, pages, revisions)
        with contextlib.closing(sqlite3.connect(f"file:{place / 'dedup.db'}?mode=ro", uri=True)) as db, _serving(config) as address:
            drawn = _drawn(db)
            counts = [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("pages", "revisions", "changes", "clusters")]  # noqa: S608
            found = [_timed(address, name, ask, requests) for name, ask in drawn.items()]
        written = _table(
            found, counts, f"python -m benchmarks.dashboard --pages {pages} --revisions {revisions} --requests {requests}", place
        )
        output.write_text(written, encoding="utf-8")
        click.echo(written)


def _database(place: Path, pages: int, revisions: int) -> Path:
    """The configuration file of a scanned crawl, which is made if it does not exist."""
    config, crawl = place / "config.toml", place / "crawl"
    files = pages * BLOCK // _PAGES_IN_BLOCK
    if not (place / "laid_out").exists():
        say(f"laying out {files:,} files")
        lay_out(crawl, files, kind="phrases", processes=len(os.sched_getaffinity(0)))
        say("laying out edits")
        write(crawl / "edits", _edits(files, revisions - int(files / BLOCK * _EDITED_IN_BLOCK)))
        (place / "laid_out").touch()
    config.write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n')
    say("scanning")
    command = [sys.executable, "-m", "dedup", "--config", str(config), "--quiet"]
    subprocess.run([*command, "scan"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  ourselves
    status = json.loads(subprocess.run([*command, "status", "--format", "json"], check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603
    if status["search"]["indexed"] < status["search"]["total"]:
        subprocess.run([*command, "reindex", "--search"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  ourselves
    return config


def _edits(files: int, number: int) -> Iterator[Article]:
    """Some pages as crawled a day later, with another amount in their text; half of them are marked as corrected."""
    blocks = files // BLOCK
    step = max(1, blocks * _UNRELATED_IN_BLOCK // max(1, number))
    left = number
    for block in range(0, blocks, step):
        for article in between(block * BLOCK, (block + 1) * BLOCK, 1, "phrases"):
            if article.kind == "unrelated" and left > 0:
                left -= 1
                rng = random.Random(article.number)
                words = article.body.split(" ")
                words.insert(rng.randrange(len(words)), f"{rng.randrange(2, 900)}억원")
                body = " ".join(words) + (" [정정] 금액을 바로잡습니다." if article.number % 2 else "")
                crawled = datetime.fromisoformat(article.crawled_at) + timedelta(days=1)
                yield replace(article, body=body, crawled_at=crawled.isoformat(" ", "seconds"))


@contextlib.contextmanager
def _serving(config: Path) -> Iterator[tuple[str, int]]:
    """Run `dedup serve` at a free port; (host, port)."""
    command = [sys.executable, "-m", "dedup", "--config", str(config), "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            while not (address := re.search(r"http://([\d.]+):(\d+)", line := process.stdout.readline())):
                if not line:
                    raise click.ClickException("dedup serve did not start")
            yield address[1], int(address[2])
        finally:
            process.terminate()


Ask = Callable[[random.Random], str]


def _drawn(db: sqlite3.Connection) -> dict[str, Ask]:
    """View → a function that draws an address of it."""

    def some(sql: str) -> list[tuple[str, ...]]:
        found = db.execute(f"{sql} ORDER BY random() LIMIT 200").fetchall()
        return found or [("",) * 3]

    pages = some("SELECT url FROM pages")
    edited = some(
        "SELECT p.url, lower(hex(a.digest)), lower(hex(b.digest)) FROM changes c JOIN pages p ON p.id = c.page_id"
        " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id"
        " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id WHERE c.body_changed = 1"
    )
    clusters = some("SELECT p.url FROM clusters c JOIN pages p ON p.id = c.page_id")
    pairs = some("SELECT p.url, q.url FROM cluster_members m JOIN pages p ON p.id = m.cluster_id JOIN pages q ON q.id = m.page_id")
    publishers = some("SELECT DISTINCT publisher FROM summaries")
    times_ = some("SELECT first_crawled_at FROM summaries")
    words = [w[0] for w in some("SELECT substr(body, 200, 2) FROM revisions") if w[0].strip()]
    titles = [t[0].split(" ")[0] for t in some("SELECT title FROM revisions")]

    def at(view: str, *given: tuple[str, Callable[[random.Random], str]]) -> Ask:
        return lambda rng: f"/{view}?" + urlencode([(name, draw(rng)) for name, draw in given])

    def one(values: list[tuple[str, ...]], column: int = 0) -> Callable[[random.Random], str]:
        return lambda rng: rng.choice(values)[column]

    def fixed(value: str) -> Callable[[random.Random], str]:
        return lambda _: value

    def together(view: str, names: tuple[str, ...], values: list[tuple[str, ...]]) -> Ask:
        return lambda rng: f"/{view}?" + urlencode(list(zip(names, rng.choice(values), strict=False)))

    return {
        "Overview": at(""),
        "Clusters": at("clusters"),
        "Clusters, largest": at("clusters", ("order", fixed("largest"))),
        "Clusters, fastest": at("clusters", ("order", fixed("fastest"))),
        "Clusters of a publisher": at("clusters", ("publisher", one(publishers))),
        "Clusters that grew before a time": at("clusters", ("until", one(times_))),
        "Cluster": at("cluster", ("url", one(clusters))),
        "Two articles": together("pair", ("a", "b"), pairs),
        "Pages": at("pages"),
        "Pages of a publisher": at("pages", ("publisher", one(publishers))),
        "Pages, most edited": at("pages", ("order", fixed("edited"))),
        "Pages before a time": at("pages", ("until", one(times_))),
        "Page": at("page", ("url", one(pages))),
        "Page with edits": at("page", ("url", one(edited))),
        "Compare": together("compare", ("url", "from", "to"), edited),
        "Changes": at("changes"),
        "Changes, silent": at("changes", ("silent", fixed("1"))),
        "Changes of a publisher": at("changes", ("publisher", one(publishers))),
        "Changes of one kind": at("changes", ("kind", fixed("substantive"))),
        "Checks": at("checks"),
        "Faults": at("faults"),
        "Search, two syllables": at("search", ("q", lambda rng: rng.choice(words))),
        "Search, a word of a title": at("search", ("q", lambda rng: rng.choice(titles))),
        "Status": at("status"),
    }


def _timed(address: tuple[str, int], name: str, ask: Ask, requests: int) -> Timed:
    """Send requests one after the other over one connection. The first two are not counted."""
    rng = random.Random(name)
    say(name)
    connection = http.client.HTTPConnection(*address, timeout=120)
    spent: list[float] = []
    most = 0
    for n in range(requests + 2):
        begun = time.perf_counter()
        connection.request("GET", ask(rng))
        answer = connection.getresponse()
        body = answer.read()
        if n >= 2:
            spent.append((time.perf_counter() - begun) * 1000)
        if answer.status != 200:
            raise click.ClickException(f"{name}: {answer.status}")
        most = max(most, len(body))
    connection.close()
    return Timed(name, tuple(spent), most)


def _table(found: list[Timed], counts: list[int], command: str, place: Path) -> str:
    machine = facts(place)
    lines = [
        ", ".join(f"{n:,} {what}" for n, what in zip(counts, ("pages", "revisions", "changes", "clusters"), strict=True)) + ".",
        f"{machine.cpu}, {machine.cores} cores, {datetime.now(UTC).date()}: `{command}`",
        "",
        "| page | median ms | 95 % ms | slowest ms | kB | median ≤ 100 ms |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for t in found:
        median = statistics.median(t.milliseconds)
        high = sorted(t.milliseconds)[int(0.95 * (len(t.milliseconds) - 1))]
        row = f"| {t.name} | {median:.1f} | {high:.1f} | {max(t.milliseconds):.1f} | {t.most_bytes / 1000:,.0f} |"
        lines.append(f"{row} {'met' if median <= TARGET else 'missed'} |")
    return "\n".join(lines) + "\n"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
