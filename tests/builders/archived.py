"""A crawl of three days whose older days were moved to an archive, so that no file in the crawl directory holds the old states."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.builders.command import run
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.stories import paper, story, wire_copy

DAYS = ("02", "03", "04")
PAGES = 24


def configure(folder: Path, *, keep: str = '["last"]', days: int = 0, more: str = "") -> None:
    (folder / "config.toml").write_text(
        f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = {keep}\ndays = {days}\n{more}'
    )


@cache
def articles() -> tuple[ArticleFile, ...]:
    """Return every page on every day: agency stories, wire copies, near copies and exact copies.

    The agency rewrites its stories on the second day: after that no page shows the original.
    """
    articles_by_day: list[ArticleFile] = []
    source: ArticleFile | None = None
    wire = story(random.Random(1), 6)
    for n in range(PAGES):
        rng = random.Random(n)
        if n % 6 == 0:
            wire = story(rng, 6)
            first = source = paper(n, wire.body)
        elif n % 6 < 4:
            first = paper(n, wire_copy(rng, wire))
        else:
            assert source is not None
            first = paper(n, " ".join(edit_words(rng, source.body.split(), 0.02 if n % 6 == 4 else 0.0)))
        for i, day in enumerate(DAYS):
            body = first.body
            if i:
                body = (
                    story(rng, 5).body if n % 6 == 0 else " ".join(edit_words(rng, first.body.split(), 0.04)) if n % 6 != 3 else first.body
                )
            articles_by_day.append(replace(first, body=body, title=f"{first.title} {'가' * (i % 2)}", crawled_at=f"2026-03-{day} 00:30:00"))
    return tuple(articles_by_day)


def scan_and_archive(folder: Path) -> Path:
    """Write the crawl to `folder`, scan it, move its older days to `archive` and scan again. Returns the path of the database."""
    for article in articles():
        article.write(folder / "crawl" / article.crawled_at[:10])
    assert run(folder, "scan").code == 0
    (folder / "archive").mkdir()
    for day in DAYS[:-1]:
        (folder / "crawl" / f"2026-03-{day}").rename(folder / "archive" / f"2026-03-{day}")
    assert run(folder, "scan").code == 0
    return folder / "dedup.db"


def restore_archive(folder: Path) -> None:
    """Move the older days back from `archive`."""
    for day in (folder / "archive").iterdir():
        day.rename(folder / "crawl" / day.name)


def copy_database(db: Path, name: str) -> Path:
    """Copy a database without a writer, and its indexes, to another name."""
    for file in db.parent.glob(db.name + "*"):
        if not file.name.endswith((".lock", "-shm")):
            shutil.copy(file, db.with_name(file.name.replace(db.name, name)))
    return db.with_name(name)


def ask(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def some_words(seed: int, number: int = 120) -> str:
    return " ".join(words(random.Random(seed), number))
