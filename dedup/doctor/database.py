"""The database file: whether it is there, whose it is, whether SQLite can read it whole, and if not, how much of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from dedup import store
from dedup.doctor.context import Case, Cure, Finding, Steps
from dedup.errors import DatabaseDamagedError, DatabaseUnreadableError
from dedup.scan.session import lost_since
from dedup.store import integrity, wal
from dedup.store.ownership import require_own
from dedup.store.schema_repair import is_mendable
from dedup.text.normalise import printable

CHECK = "database"
SHOWN = 10
"""Complaints of SQLite that are told."""
LARGE_LOG = 256 << 20
"""Bytes of log from which on it is told: it is copied back at 64 MB, unless a reader that stays for long is in the way."""
RESTORE = (
    "Restore the newest backup ('dedup restore FILE') and run 'dedup scan': files that are still there are taken in again."
    " Without a backup, keep the file as it is and let SQLite's own shell save from a copy what can be read:"
    " sqlite3 copy.db .recover | sqlite3 new.db; then examine the new one with dedup --database new.db doctor."
)
_BESIDE = ("-wal", "-shm", ".lock", ".index", ".passages", ".search")
_ANOTHER = "Name the right file: --database, or [database] path in the configuration. Nothing was changed."
_MAGIC = b"SQLite format 3\0"
_IN_WAL_MODE = b"\x02\x02"
_OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def file(case: Case) -> Iterator[Finding]:
    """The file and what lies beside it; nothing is asked of SQLite."""
    path = case.path
    try:
        found = os.stat(path)
    except FileNotFoundError:
        yield from _missing(path)
        return
    if not stat.S_ISREG(found.st_mode):
        yield _error(f"{_shown(path)} is no file", "Configure another place: [database] path.")
        return
    if not os.access(path, os.R_OK):
        yield _error(f"this user may not read {_shown(path)}", "Run this as the user that the database belongs to.")
        return
    if not found.st_size:
        yield _error(f"{_shown(path)} is empty", _gone_remedy(path))
        return
    with open(path, "rb") as raw:
        head = raw.read(20)
    if not head.startswith(_MAGIC):
        yield _error(f"{_shown(path)} is not a database: its beginning was overwritten, or it is something else", RESTORE)
        return
    try:
        require_own(path)
    except DatabaseDamagedError:
        pass  # what follows says more
    except DatabaseUnreadableError as error:
        yield _error(f"{_shown(path)}: {printable(str(error.facts['problem']))}", _ANOTHER)
        return
    yield from _permissions(path, found)
    yield from _replaced(case, found)
    yield from _log(case, head)
    case.askable = True


def check_integrity(case: Case) -> Iterator[Finding]:
    """What SQLite says of the file."""
    case.look(CHECK, store.integrity.count_database_pages(case.asked))
    if complaints := _quick_complaints(case) if case.quick else store.integrity.complaints(case.asked):
        yield from _damage(case, complaints)


def tables(case: Case) -> Iterator[Finding]:
    """Whether the tables are this program's; afterwards `case.store` is None where they are not, and nothing can be asked."""
    if newer := store.integrity.unknown_migrations(case.asked):
        case.database = None
        yield _error(f"it was written by a newer version of dedup (it holds {printable(', '.join(newer))})", "Install that version.")
    elif store.integrity.is_older(case.asked):
        damaged = list(check_integrity(case))  # which may be what makes it look so
        case.database = None
        older = Finding(CHECK, "warning", "it is of an older version of dedup", "'dedup scan' brings it up to date; then examine it again.")
        yield from damaged or [older]
    elif lost := lost_since(case.asked):
        yield Finding(CHECK, "warning", lost, "If it was meant, the next 'dedup scan' goes on from here.")


def layout(case: Case) -> Iterator[Finding]:
    """Tables, indexes, triggers and views."""
    for d in store.integrity.schema_differences(case.asked):
        what = f"the {d.kind} {d.name} is missing" if d.missing else f"the {d.kind} {d.name} is not as this version of dedup makes it"
        if is_mendable(d):
            yield Finding(CHECK, "error", what, _CURED, "schema")
        elif d.missing:
            yield _error(what, _LOST_ROWS)
        else:
            yield _error(what, "Restore a backup ('dedup restore FILE'), or scan into a new database: this one cannot be relied on.")


def keys(case: Case) -> Iterator[Finding]:
    """Rows that name others."""
    for (table, other), number in sorted(store.integrity.broken_foreign_keys(case.asked).items()):
        cure: Cure | None = _CURES.get((table, other))
        remedy = _CURED if cure else _LOST_ROWS
        yield Finding(CHECK, "error", f"rows of {table} that name one of {other} that is not there: {number:,}", remedy, cure)


FILE: Steps = {"the file": file}
CONTENT: Steps = {
    "the version of its tables": tables,
    "its tables, indexes, triggers and views": layout,
    "its integrity": check_integrity,
    "its foreign keys": keys,
}

_CURED = "Run 'dedup doctor --repair': it is made again from the rest."
_LOST_ROWS = "Rows were lost. " + RESTORE
_CURES: dict[tuple[str, str], Cure] = {
    ("matches", "texts"): "matches",
    ("passages", "texts"): "matches",
    ("passages", "publishers"): "matches",
    ("represented", "texts"): "matches",
    ("changes", "sightings"): "histories",
    ("changes", "pages"): "histories",
    ("pages", "sightings"): "histories",
    ("revisions", "texts"): "texts",
    ("summaries", "pages"): "summaries",
    ("clusters", "pages"): "summaries",
    ("cluster_members", "pages"): "summaries",
    ("cluster_members", "clusters"): "summaries",
}


def _error(what: str, remedy: str) -> Finding:
    return Finding(CHECK, "error", what, remedy)


def _shown(path: str) -> str:
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _beside(path: str) -> list[str]:
    """What lies beside the database, where that really is, and is there."""
    real = os.path.realpath(path)
    return [real + end for end in _BESIDE if os.path.exists(real + end)]


def _missing(path: str) -> Iterator[Finding]:
    yield _error(f"there is no database at {_shown(path)}", _gone_remedy(path))


def _gone_remedy(path: str) -> str:
    beside = _beside(path)
    if not any(p.endswith(("-wal", ".index")) for p in beside):
        return "'dedup scan' makes one."
    return (
        f"There was one: {', '.join(map(_shown, beside))} of it lie there. Find it, or restore a backup ('dedup restore FILE');"
        " 'dedup scan' makes a new one, without what only the old one knew."
    )


# Whose it is


def _permissions(path: str, found: os.stat_result) -> Iterator[Finding]:
    loose = [p for p in (path, *_beside(path)) if _mode(p) & 0o077]
    if loose:
        told = ", ".join(f"{_shown(p)} (mode {_mode(p):03o})" for p in loose)
        yield Finding(CHECK, "warning", f"others than its owner may open {told}", f"chmod 600 {' '.join(map(_shown, loose))}")
    strange = [p for p in _beside(path) if (s := _stat(p)) is not None and s.st_uid != found.st_uid]
    if strange:
        told = " ".join(map(_shown, strange))
        remedy = f"chown {found.st_uid} {told}, or who writes the database cannot write these; run dedup as that user only."
        yield Finding(CHECK, "warning", f"{told} belong to another user than the database", remedy)
    if os.geteuid() not in (0, found.st_uid):
        remedy = "Run dedup as that user, or 'dedup scan' and 'dedup watch' cannot write it."
        yield Finding(CHECK, "warning", f"{_shown(path)} belongs to user {found.st_uid}, and this is user {os.geteuid()}", remedy)
    folder = os.path.dirname(os.path.realpath(path))
    mode = _mode(folder, everything=True)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        what = f"everybody may put another file in its place: {_shown(folder)} is writable by all (mode {mode:03o})"
        yield _error(what, f"chmod o-w {_shown(folder)}, or move the database into a folder of its own.")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _mode(path: str, *, everything: bool = False) -> int:
    found = _stat(path)
    return 0 if found is None else found.st_mode & (0o7777 if everything else 0o777)


def _replaced(case: Case, found: os.stat_result) -> Iterator[Finding]:
    """A process that writes to a file that is no longer the one of that name writes into nothing."""
    if case.writer is None or case.writer.process is None:
        return
    process = case.writer.process
    opened = []
    try:
        for number in os.listdir(f"/proc/{process}/fd"):
            link = f"/proc/{process}/fd/{number}"
            name = os.readlink(link).removesuffix(" (deleted)")
            if name == os.path.realpath(case.path):
                opened.append(os.stat(link))
    except OSError:
        return  # another user's process, or it ended
    if opened and not any((o.st_dev, o.st_ino) == (found.st_dev, found.st_ino) for o in opened):
        yield _error(
            f"{case.writer.holder} writes to a file that was there before {_shown(case.path)} took its place: what it records is lost",
            "Stop it, see that the file is the one that is meant, and start it again.",
        )


def _log(case: Case, head: bytes) -> Iterator[Finding]:
    path = os.path.realpath(case.path)
    log = path + "-wal"
    if wal.is_foreign(path, written=case.writer is not None):
        yield _error(
            f"the log {_shown(log)} is not of this database: another file was put in its place, or the two were copied one after the"
            " other while it was written. It is left out of what follows",
            f"If this is a backup that was restored: move {_shown(log)} and {_shown(path + '-shm')} away and run 'dedup scan'."
            " If it is a copy of a database in use: make another, with 'dedup backup FILE'.",
        )
    size = os.path.getsize(log) if os.path.exists(log) else 0
    if size > LARGE_LOG:
        who = f"wait for {case.writer.holder}, or see who else reads" if case.writer else "the next 'dedup scan' copies it back"
        remedy = f"A reader that stays open for long keeps it from being copied back, a 'dedup reindex' makes it grow: {who}."
        yield Finding(CHECK, "warning", f"its log {_shown(log)} has {size / 1e6:,.0f} MB", remedy)
    if head[18:20] != _IN_WAL_MODE and wal.counted(path) != wal.BACKUP:
        remedy = "Another program changed that; the next 'dedup scan' sets it again."
        yield Finding(CHECK, "warning", "it is not in WAL mode: readers and the writer wait for each other", remedy)


# How much of it


def _quick_complaints(case: Case) -> list[str]:
    """Of every table but the one that holds the bodies."""
    database = case.asked
    return [
        told for table in store.integrity.tables(database) if table != "revisions" for told in store.integrity.complaints(database, table)
    ][:100]


def _damage(case: Case, complaints: list[str]) -> Iterator[Finding]:
    """What is damaged, as far as it can be told; a database of which only indexes are is as good as sound."""
    database = case.asked
    told = "; ".join(printable(c) for c in complaints[:SHOWN])
    more = f"; and {len(complaints) - SHOWN:,} more" if len(complaints) > SHOWN else ""
    extents = [store.integrity.extent(database, table) for table in integrity.BASE]
    lost = [e for e in extents if e.readable < e.known]
    if not lost and all(any(part in c for part in _OF_INDEXES) for c in complaints):
        yield Finding(CHECK, "error", f"indexes of SQLite's own do not fit their tables: {told}{more}", _CURED, "sqlite")
        return
    yield replace(_error(f"the file is damaged: {told}{more}", RESTORE), bars=True)
    if not any(e.known for e in extents):
        case.database = None
        yield _error("which tables it has cannot be read, and so nothing of them", RESTORE)
        return
    for e in lost:
        yield _error(f"of {e.known:,} rows of {e.table} that are known of, {e.readable:,} can be read", RESTORE)
    if not lost:
        derived = sorted(t for t in integrity.DERIVED if store.integrity.complaints(database, t))
        where = f"only what is derived is damaged ({', '.join(derived)})" if derived else "what is damaged is none of their pages"
        what = f"all rows of {', '.join(integrity.BASE)} that are known of can be read: {where}"
        yield Finding(CHECK, "ok", what, RESTORE)
