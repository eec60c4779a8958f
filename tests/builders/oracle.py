"""What must hold of a database once nothing moves any more, whatever happened before: it is held against a plain walk."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import xxhash

Walked = dict[bytes, tuple[int, int, bytes | None]]
"""Path relative to the crawl directory → (size, modification time in nanoseconds, XXH3-128 of the bytes; None: too large to be read)."""

MOST = 10_000_000
"""Bytes of a file that is read: the default of `max_file_bytes`."""
_PIECE = 2048
"""Bytes of a path that the kernel is given at once: it takes no 4096 (path_resolution(7))."""


def walk(crawl: Path) -> Walked:
    """Every article file of a directory, by nothing but listing and reading; links are not followed. However long its path is."""
    found: Walked = {}
    for folder, name, is_, within in _entries(crawl):
        if stat.S_ISREG(is_.st_mode) and name.endswith(b".md"):
            content = None if is_.st_size > MOST else _content(name, within)
            found[folder + b"/" + name if folder else name] = is_.st_size, is_.st_mtime_ns, content
    return found


def ignored(crawl: Path) -> Counter[str]:
    """How many entries of a directory, folders left out, are to be ignored by which rule."""
    found: Counter[str] = Counter()
    for _, name, is_, _ in _entries(crawl):
        regular, link = stat.S_ISREG(is_.st_mode), stat.S_ISLNK(is_.st_mode)
        if not (regular and name.endswith(b".md")):
            found["pattern" if regular else "symlink" if link else "special"] += 1
    return found


def _entries(crawl: Path) -> Iterator[tuple[bytes, bytes, os.stat_result, int]]:
    """(folder relative to the directory, name, lstat(2), descriptor of the folder) of everything in it but folders."""
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            within = _opened(crawl, folder)
        except OSError:
            continue
        try:
            for name in map(os.fsencode, os.listdir(within)):
                is_ = os.lstat(name, dir_fd=within)
                if stat.S_ISDIR(is_.st_mode):
                    folders.append(folder + b"/" + name if folder else name)
                else:
                    yield folder, name, is_, within
        finally:
            os.close(within)


def _opened(crawl: Path, folder: bytes) -> int:
    fd = os.open(crawl, os.O_RDONLY | os.O_DIRECTORY)
    while folder:
        cut = len(folder) if len(folder) <= _PIECE else folder.rindex(b"/", 0, _PIECE)
        piece, folder = folder[:cut], folder[cut + 1 :]
        try:
            inner = os.open(piece, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _content(name: bytes, within: int) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=within), "rb") as file:
        return xxhash.xxh3_128_digest(file.read())


def recorded(db: Path) -> Walked:
    """What the database says is there."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT folder, name, size, mtime_ns, content_digest FROM files WHERE gone = 0").fetchall()
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
    "a match": "SELECT min(text_a_id, text_b_id), max(text_a_id, text_b_id) FROM matches GROUP BY 1, 2 HAVING count(*) > 1",
    "a change": "SELECT previous_sighting_id, sighting_id FROM changes GROUP BY 1, 2 HAVING count(*) > 1",
    "a sighting that no file showed": "SELECT id FROM sightings s WHERE NOT EXISTS (SELECT 1 FROM readings d WHERE d.sighting_id = s.id)",
    "a file's reading of another file": "SELECT f.id FROM files f JOIN readings d ON d.id = f.current_reading_id WHERE d.file_id <> f.id",
}
