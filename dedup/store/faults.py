"""Files and folders that could not be read as articles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from dedup.model import Fault
from dedup.store import files
from dedup.store.database import Database, Transaction


class FaultRow(NamedTuple):
    """A fault of a file or folder; `path` is printable."""

    path: str
    kind: str
    message: str
    first_seen_at: str


def list_after(database: Database, cursor: tuple[str, str] | None, limit: int, kind: str | None = None) -> list[FaultRow]:
    """Return at most `limit` faults by path and kind, from the one after `cursor` (path, kind) on; with `kind`, those of one kind."""
    path, last_kind = cursor or ("", "")
    rows = database.rows(
        "SELECT * FROM (SELECT o.path_text || '/' || t.path_text AS path, t.kind AS kind, t.message, t.first_seen_at FROM faults t"
        " JOIN crawl_directories o ON o.id = t.directory_id WHERE ?4 IS NULL OR t.kind = ?4)"
        " WHERE (path, kind) > (?1, ?2) ORDER BY path, kind LIMIT ?3",
        path, last_kind, limit, kind,
    )  # fmt: skip
    return [FaultRow(*r) for r in rows]


def kinds_at(database: Database, paths: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], set[str]]:
    """Return (directory, path) → the kinds of faults recorded there. Paths without a fault are left out."""
    kinds_by_path: dict[tuple[int, bytes], set[str]] = {}
    select = "SELECT w.d, w.path, t.kind FROM wanted w CROSS JOIN faults t ON t.directory_id = w.d AND t.path = w.path"
    for directory, path, kind in database.select_by_keys("d, path", paths, select):
        kinds_by_path.setdefault((directory, path), set()).add(kind)
    return kinds_by_path


def count_between(database: Database, since: str, until: str) -> dict[str, int]:
    """Return kind → the number of current faults first seen in a period, both ends included."""
    rows = database.rows("SELECT kind, count(*) FROM faults WHERE first_seen_at BETWEEN ? AND ? GROUP BY kind ORDER BY kind", since, until)
    return dict(rows)


def list_all(database: Database) -> list[FaultRow]:
    """Return every fault, by path and kind."""
    return [
        FaultRow(*r)
        for r in database.rows(
            "SELECT o.path_text || '/' || t.path_text, t.kind, t.message, t.first_seen_at FROM faults t"
            " JOIN crawl_directories o ON o.id = t.directory_id ORDER BY 1, 2"
        )
    ]


def count_in_folders(database: Database, folders: Collection[tuple[int, bytes]]) -> dict[str, int]:
    """Return kind → the number of unreadable files and folders below these folders: (crawl directory, folder in it, empty for the whole
    directory).

    A file with several faults counts once. One that could be read except for a time in it does not count.
    """
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
    """Replace the faults of each path by the given ones: (directory, path, path as text, faults). A fault that was recorded before keeps
    the time when it was first seen, which is `at` for a new one."""
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
    """Return the unreadable paths at which no file is recorded: folders that could not be listed."""
    rows = database.rows("SELECT path FROM faults WHERE directory_id = ? AND kind = 'unreadable' ORDER BY path", directory)
    file_paths = {path: (directory, folder, name) for (path,) in rows for folder, _, name in (path.rpartition(b"/"),)}
    existing = files.find_by_path(database, file_paths.values())
    return [path for path, key in file_paths.items() if key not in existing]
