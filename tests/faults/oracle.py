"""What must hold of a database once nothing moves any more, whatever happened before: it is held against a plain walk."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection
from pathlib import Path

import xxhash

Walked = dict[bytes, tuple[int, int, bytes]]
"""Path relative to the crawl directory → (size, modification time in nanoseconds, XXH3-128 of the bytes)."""


def walk(crawl: Path) -> Walked:
    """Every article file of a directory, by nothing but listing and reading; links are not followed."""
    found: Walked = {}
    top = os.fsencode(crawl)
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            is_ = os.lstat(path)
            if stat.S_ISREG(is_.st_mode) and name.endswith(b".md"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, top)] = is_.st_size, is_.st_mtime_ns, xxhash.xxh3_128_digest(file.read())
    return found


def recorded(db: Path) -> Walked:
    """What the database says is there."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT folder, name, size, mtime_ns, content FROM files WHERE gone = 0").fetchall()
    connection.close()
    return {folder + b"/" + name if folder else name: (size, mtime, content) for folder, name, size, mtime, content in rows}


def caught_up(crawl: Path, db: Path) -> bool:
    """Whether the database says of every path what a walk says."""
    return recorded(db) == walk(crawl)


def assert_sound(db: Path, completed: Collection[str] | None = None) -> None:
    """The database is whole, nothing is in it twice, and every stored body is one that a writer had `completed`."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        ask = connection.execute
        assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ask("PRAGMA foreign_key_check").fetchall() == []
        for what, twice in _TWICE.items():
            assert ask(twice).fetchall() == [], what
        if completed is not None:
            assert {body for (body,) in ask("SELECT body FROM revisions WHERE pruned_at IS NULL")} <= set(completed)
    connection.close()


def assert_holds(crawl: Path, db: Path, completed: Collection[str] | None = None) -> None:
    """All of the oracle, at quiescence."""
    assert recorded(db) == walk(crawl)
    assert_sound(db, completed)


_TWICE = {
    "a file": "SELECT directory_id, folder, name FROM files GROUP BY 1, 2, 3 HAVING count(*) > 1",
    "a page": "SELECT url FROM pages GROUP BY 1 HAVING count(*) > 1",
    "a state": "SELECT page_id, title, body FROM revisions WHERE pruned_at IS NULL GROUP BY 1, 2, 3 HAVING count(*) > 1",
    "a crawl": "SELECT page_id, crawled_at, revision_id FROM sightings GROUP BY 1, 2, 3 HAVING count(*) > 1",
    "a reading": "SELECT sighting_id, file_id FROM readings GROUP BY 1, 2 HAVING count(*) > 1",
    "a match": "SELECT min(a, b), max(a, b) FROM matches GROUP BY 1, 2 HAVING count(*) > 1",
    "a change": "SELECT previous_id, sighting_id FROM changes GROUP BY 1, 2 HAVING count(*) > 1",
    "a sighting that no file showed": "SELECT id FROM sightings s WHERE NOT EXISTS (SELECT 1 FROM readings d WHERE d.sighting_id = s.id)",
    "a file's reading of another file": "SELECT f.id FROM files f JOIN readings d ON d.id = f.reading_id WHERE d.file_id <> f.id",
}
