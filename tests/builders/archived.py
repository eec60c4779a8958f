"""A crawl that went on for some days, of which the older ones were archived since: pages with old states that no file holds."""

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
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.stories import paper, story, wire_copy

DAYS = ("02", "03", "04")
PAGES = 24


def configure(folder: Path, *, keep: str = '["last"]', days: int = 0, more: str = "") -> None:
    (folder / "config.toml").write_text(
        f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = {keep}\ndays = {days}\n{more}'
    )


@cache
def articles() -> tuple[ArticleFile, ...]:
    """Every page on every day: stories of an agency's and copies of them, near copies, exact copies, and what is a page's own; the
    agency's story is rewritten on the second day, so that no page shows it any more."""
    found: list[ArticleFile] = []
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
            first = paper(n, " ".join(edited(rng, source.body.split(), 0.02 if n % 6 == 4 else 0.0)))
        for i, day in enumerate(DAYS):
            body = first.body
            if i:
                body = story(rng, 5).body if n % 6 == 0 else " ".join(edited(rng, first.body.split(), 0.04)) if n % 6 != 3 else first.body
            found.append(replace(first, body=body, title=f"{first.title} {'가' * (i % 2)}", crawled_at=f"2026-03-{day} 00:30:00"))
    return tuple(found)


def archived(folder: Path) -> Path:
    """The crawl in `folder`, scanned, its older days moved to `archive` and found to be gone; the database."""
    for article in articles():
        article.write(folder / "crawl" / article.crawled_at[:10])
    assert run(folder, "scan").code == 0
    (folder / "archive").mkdir()
    for day in DAYS[:-1]:
        (folder / "crawl" / f"2026-03-{day}").rename(folder / "archive" / f"2026-03-{day}")
    assert run(folder, "scan").code == 0
    return folder / "dedup.db"


def brought_back(folder: Path) -> None:
    """Its older days are there again."""
    for day in (folder / "archive").iterdir():
        day.rename(folder / "crawl" / day.name)


def copied(db: Path, name: str) -> Path:
    """The database, nobody writing to it, and its indexes under another name."""
    for beside in db.parent.glob(db.name + "*"):
        if not beside.name.endswith((".lock", "-shm")):
            shutil.copy(beside, db.with_name(beside.name.replace(db.name, name)))
    return db.with_name(name)


def ask(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def some_words(seed: int, number: int = 120) -> str:
    return " ".join(words(random.Random(seed), number))
