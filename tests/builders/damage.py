"""Ways to damage a database file: overwritten pages, a cut end, changed rows, and a killed writer that leaves its log behind."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.builders.crawl import ArticleFile, edit_words, words

PAGE = 4096


def fill(crawl: Path, number: int, *, first: int = 0) -> list[ArticleFile]:
    """Write `number` pages, a near copy of every third and a second crawl of every fourth.

    Each body fills at least one page of the database file.
    """
    articles = []
    for n in range(first, first + number):
        rng = random.Random(n)
        body = words(rng, 350)
        article = ArticleFile(body=" ".join(body), aid=f"{n:010d}", title=f"기사 {n}")
        articles.append(article)
        if n % 3 == 0:
            articles.append(replace(article, body=" ".join(edit_words(rng, body, 0.03)), oid="902", publisher="새나루신문"))
        if n % 4 == 0:
            later = replace(article, body=" ".join(edit_words(rng, body, 0.05)), crawled_at="2026-03-03 00:30:00")
            articles.append(later)
    for article in articles:
        article.write(crawl / article.crawled_at[:10])
    return articles


def configure(folder: Path) -> None:
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[database]\npath = "dedup.db"\n')


def pages(db: Path) -> int:
    return db.stat().st_size // PAGE


def overwrite(db: Path, which: Iterable[int], content: Callable[[], bytes]) -> None:
    """Overwrite pages of the file; the first is 0."""
    with open(db, "r+b") as file:
        for page in which:
            file.seek(page * PAGE)
            file.write(content().ljust(PAGE, b"\0"))


def zeros(db: Path) -> None:
    """Zero every second page except the first."""
    overwrite(db, range(1, pages(db), 2), bytes)


def noise(db: Path) -> None:
    rng = random.Random(5)
    overwrite(db, range(2, pages(db), 3), lambda: rng.randbytes(PAGE))


def misplaced(db: Path) -> None:
    """Overwrite pages with other valid pages of the same file."""
    with open(db, "rb") as file:
        content = [file.read(PAGE) for _ in range(pages(db))]
    overwrite(db, range(1, len(content) - 7, 2), iter(content[8::2]).__next__)


def halved(db: Path) -> None:
    os.truncate(db, pages(db) // 2 * PAGE)


def headless(db: Path) -> None:
    with open(db, "r+b") as file:
        file.write(b"Dear Sir or Madam, this is no database any more. " * 2)


WAYS = (zeros, noise, misplaced, halved, headless)


def by_sql(db: Path, *statements: str) -> int:
    """Execute statements without foreign keys. Returns the number of rows that the last one changed."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        for statement in statements:
            changed = connection.execute(statement).rowcount
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return changed


def leaves(db: Path, table: str) -> list[int]:
    """Return the numbers of the leaf pages of a table or index, in key order."""
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,)).fetchall()
    return [row[0] - 1 for row in rows]


_KILLED = """
import os, signal, sys
from pathlib import Path
from dedup.pipeline import scanner
from tests.builders import scans as running
scanner.BATCH_FILES = 8
with running.session(Path(sys.argv[1]), Path(sys.argv[2])) as session:
    scanner.Scan(session).run()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def scan_and_be_killed(crawl: Path, db: Path) -> None:
    """Scan in a process that is killed after the last commit, before the write-ahead log is checkpointed."""
    process = subprocess.run([sys.executable, "-c", _KILLED, str(crawl), str(db)], capture_output=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert Path(f"{db}-wal").stat().st_size > PAGE
