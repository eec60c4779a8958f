"""Files and folders that could not be read as articles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from dedup.model import Fault
from dedup.store import files
from dedup.store.database import Database, Transaction


def list_after(database: Database, cursor: tuple[str, str] | None, limit: int, kind: str | None = None) -> list[tuple[Any, ...]]:
    """(path, kind, message, since) of what could not be read, by path and kind, from the one after `cursor` on."""
    path, last_kind = cursor or ("", "")
    return database.rows(
        "SELECT * FROM (SELECT o.path_text || '/' || t.path_text AS path, t.kind AS kind, t.message, t.first_seen_at FROM faults t"
        " JOIN crawl_directories o ON o.id = t.directory_id WHERE ?4 IS NULL OR t.kind = ?4)"
        " WHERE (path, kind) > (?1, ?2) ORDER BY path, kind LIMIT ?3",
        path, last_kind, limit, kind,
    )  # fmt: skip


def kinds_at(database: Database, paths: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], set[str]]:
    """(directory, path) → kinds of faults that stand there."""
    kinds_by_path: dict[tuple[int, bytes], set[str]] = {}
    select = "SELECT w.d, w.path, t.kind FROM wanted w CROSS JOIN faults t ON t.directory_id = w.d AND t.path = w.path"
    for directory, path, kind in database.select_by_keys("d, path", paths, select):
        kinds_by_path.setdefault((directory, path), set()).add(kind)
    return kinds_by_path


def count_between(database: Database, since: str, until: str) -> dict[str, int]:
    """Kind → faults that came within a time, both ends included, and are still there."""
    rows = database.rows("SELECT kind, count(*) FROM faults WHERE first_seen_at BETWEEN ? AND ? GROUP BY kind ORDER BY kind", since, until)
    return {r[0]: r[1] for r in rows}


def list_all(database: Database) -> list[tuple[str, str, str, str]]:
    """(path, kind, message, since) of everything that could not be read, by path."""
    return [
        (r[0], r[1], r[2], r[3])
        for r in database.rows(
            "SELECT o.path_text || '/' || t.path_text, t.kind, t.message, t.first_seen_at FROM faults t"
            " JOIN crawl_directories o ON o.id = t.directory_id ORDER BY 1, 2"
        )
    ]


def count_in_folders(database: Database, folders: Collection[tuple[int, bytes]]) -> dict[str, int]:
    """Kind of fault → files and folders that cannot be read for it, in these places: (crawl directory, folder in it, empty for all of
    it). One that could be read but for a time in it is not among them."""
    counts: Counter[str] = Counter()
    for directory, folder in folders:
        rows = database.rows(
            "SELECT kind, count(*) FROM (SELECT min(kind) AS kind FROM faults WHERE kind <> 'unparsable_time' AND directory_id = ?1"
            " AND (?2 = x'' OR path = ?2 OR (path >= ?3 AND path < ?4)) GROUP BY path) GROUP BY kind",
            directory, folder, folder + b"/", folder + b"0",
        )  # fmt: skip
        counts.update(dict(rows))
    return dict(sorted(counts.items()))


def replace(transaction: Transaction, faults: Collection[tuple[int, bytes, str, tuple[Fault, ...]]], at: str) -> None:
    """Exactly these faults stand at each (directory, path, path as text, faults) from now on; one that stood there before
    keeps its `since`."""
    existing = kinds_at(transaction, ((directory, path) for directory, path, _, _ in faults))
    outdated, rows = [], []
    for directory, path, path_text, path_faults in faults:
        kinds = {f.kind: f.message for f in path_faults}
        outdated += [(directory, path, kind) for kind in existing.get((directory, path), ()) if kind not in kinds]
        rows += [(directory, path, kind, message, path_text, at) for kind, message in kinds.items()]
    transaction.execute_many("DELETE FROM faults WHERE directory_id = ? AND path = ? AND kind = ?", outdated)
    transaction.execute_many(
        "INSERT INTO faults (directory_id, path, kind, message, path_text, first_seen_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET message = excluded.message",
        rows,
    )


def folders_with_faults(database: Database, directory: int) -> list[bytes]:
    """Paths with a fault where no file is recorded: folders that could not be listed."""
    rows = database.rows("SELECT path FROM faults WHERE directory_id = ? AND kind = 'unreadable' ORDER BY path", directory)
    file_paths = {path: (directory, folder, name) for (path,) in rows for folder, _, name in (path.rpartition(b"/"),)}
    existing = files.find_by_path(database, file_paths.values())
    return [path for path, key in file_paths.items() if key not in existing]
