"""What must hold of a database once the crawl directory no longer changes: it is compared with a plain walk."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import xxhash

Walked = dict[bytes, tuple[int, int, bytes | None]]
"""Path relative to the crawl directory → (size, mtime in nanoseconds, XXH3-128 of the content, or None if the file is too large)."""

MOST = 10_000_000
"""Largest file that is read, in bytes: the default of `max_file_bytes`."""
_PIECE = 2048
"""Bytes of a path passed to the kernel at once, below PATH_MAX (path_resolution(7))."""


def walk(crawl: Path) -> Walked:
    """List and read every article file of a directory. Links are not followed; paths may be longer than PATH_MAX."""
    files: Walked = {}
    for folder, name, stat_result, folder_fd in _entries(crawl):
        if stat.S_ISREG(stat_result.st_mode) and name.endswith(b".md"):
            content = None if stat_result.st_size > MOST else _content(name, folder_fd)
            files[folder + b"/" + name if folder else name] = stat_result.st_size, stat_result.st_mtime_ns, content
    return files


def ignored(crawl: Path) -> Counter[str]:
    """Count the entries that must be ignored, by rule. Folders are not counted."""
    counts: Counter[str] = Counter()
    for _, name, stat_result, _ in _entries(crawl):
        regular, link = stat.S_ISREG(stat_result.st_mode), stat.S_ISLNK(stat_result.st_mode)
        if not (regular and name.endswith(b".md")):
            counts["pattern" if regular else "symlink" if link else "special"] += 1
    return counts


def _entries(crawl: Path) -> Iterator[tuple[bytes, bytes, os.stat_result, int]]:
    """Yield (folder relative to the directory, name, lstat(2), descriptor of the folder) of all entries except folders."""
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            folder_fd = _open_folder(crawl, folder)
        except OSError:
            continue
        try:
            for name in map(os.fsencode, os.listdir(folder_fd)):
                stat_result = os.lstat(name, dir_fd=folder_fd)
                if stat.S_ISDIR(stat_result.st_mode):
                    folders.append(folder + b"/" + name if folder else name)
                else:
                    yield folder, name, stat_result, folder_fd
        finally:
            os.close(folder_fd)


def _open_folder(crawl: Path, folder: bytes) -> int:
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


def _content(name: bytes, folder_fd: int) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder_fd), "rb") as file:
        return xxhash.xxh3_128_digest(file.read())


def recorded(db: Path) -> Walked:
    """Return the files that the database records as present."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT folder, name, size, mtime_ns, content_digest FROM files WHERE gone = 0").fetchall()
    connection.close()
    return {folder + b"/" + name if folder else name: (size, mtime, content) for folder, name, size, mtime, content in rows}


def caught_up(crawl: Path, db: Path) -> bool:
    """Whether the database and a walk agree on every path."""
    return recorded(db) == walk(crawl)


def assert_sound(db: Path, completed: Collection[str] | None = None) -> None:
    """Assert integrity, the absence of duplicate rows, and that every stored body is one of the `completed` bodies of the writer."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        ask = connection.execute
        assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ask("PRAGMA foreign_key_check").fetchall() == []
        for what, query in _DUPLICATE_QUERIES.items():
            assert ask(query).fetchall() == [], what
        if completed is not None:
            assert {body for (body,) in ask("SELECT body FROM revisions WHERE pruned_at IS NULL")} <= set(completed)
    connection.close()


def assert_holds(crawl: Path, db: Path, completed: Collection[str] | None = None) -> None:
    """Assert that the database is sound and agrees with a walk."""
    assert recorded(db) == walk(crawl)
    assert_sound(db, completed)


_DUPLICATE_QUERIES = {
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
