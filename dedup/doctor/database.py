"""The database file: whether it is there, whose it is, whether SQLite can read it whole, and if not, how much of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from dedup import store
from dedup.doctor.context import CheckContext, Finding, RepairKind, Steps
from dedup.errors import DatabaseDamagedError, DatabaseUnreadableError
from dedup.scan.session import describe_lost_texts
from dedup.store import integrity, wal
from dedup.store.ownership import require_dedup_database
from dedup.store.schema_repair import is_repairable
from dedup.text.format import format_megabytes
from dedup.text.sanitise import to_printable

CHECK = "database"
MAX_COMPLAINTS = 10
"""Complaints of SQLite that are told."""
LARGE_WAL_BYTES = 256 << 20
"""Bytes of log from which on it is told: it is copied back at 64 MB, unless a reader that stays for long is in the way."""
RESTORE_REMEDY = (
    "Restore the newest backup ('dedup restore FILE') and run 'dedup scan': files that are still there are taken in again."
    " Without a backup, keep the file as it is and let SQLite's own shell save from a copy what can be read:"
    " sqlite3 copy.db .recover | sqlite3 new.db; then examine the new one with dedup --database new.db doctor."
)
_SIDECAR_SUFFIXES = ("-wal", "-shm", ".lock", ".index", ".passages", ".search")
_WRONG_FILE_REMEDY = "Name the right file: --database, or [database] path in the configuration. Nothing was changed."
_MAGIC = b"SQLite format 3\0"
_WAL_MODE_BYTES = b"\x02\x02"
_INDEX_COMPLAINTS = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def check_file(context: CheckContext) -> Iterator[Finding]:
    """The file and what lies beside it; nothing is asked of SQLite."""
    path = context.path
    try:
        file_stat = os.stat(path)
    except FileNotFoundError:
        yield from _report_missing(path)
        return
    if not stat.S_ISREG(file_stat.st_mode):
        yield _error(f"{_path_text(path)} is no file", "Configure another place: [database] path.")
        return
    if not os.access(path, os.R_OK):
        yield _error(f"this user may not read {_path_text(path)}", "Run this as the user that the database belongs to.")
        return
    if not file_stat.st_size:
        yield _error(f"{_path_text(path)} is empty", _missing_remedy(path))
        return
    with open(path, "rb") as stream:
        header = stream.read(20)
    if not header.startswith(_MAGIC):
        yield _error(f"{_path_text(path)} is not a database: its beginning was overwritten, or it is something else", RESTORE_REMEDY)
        return
    try:
        require_dedup_database(path)
    except DatabaseDamagedError:
        pass  # what follows says more
    except DatabaseUnreadableError as error:
        yield _error(f"{_path_text(path)}: {to_printable(str(error.facts['problem']))}", _WRONG_FILE_REMEDY)
        return
    yield from _check_permissions(path, file_stat)
    yield from _check_replaced(context, file_stat)
    yield from _check_wal(context, header)
    context.can_open = True


def check_integrity(context: CheckContext) -> Iterator[Finding]:
    """What SQLite says of the file."""
    context.add_checked(CHECK, store.integrity.count_database_pages(context.readable_database))
    if problems := _quick_complaints(context) if context.quick else store.integrity.integrity_errors(context.readable_database):
        yield from _report_damage(context, problems)


def check_schema_version(context: CheckContext) -> Iterator[Finding]:
    """Whether the tables are this program's; afterwards `case.store` is None where they are not, and nothing can be asked."""
    if store.integrity.is_of_development(context.readable_database):
        context.database = None
        yield _error(
            "it was written by a development version of dedup, before the first release, and cannot be migrated",
            "Scan the crawl into a new database.",
        )
    elif unknown := store.integrity.unknown_migrations(context.readable_database):
        context.database = None
        yield _error(f"it was written by a newer version of dedup (it holds {to_printable(', '.join(unknown))})", "Install that version.")
    elif store.integrity.is_older(context.readable_database):
        damage_findings = list(check_integrity(context))  # which may be what makes it look so
        context.database = None
        older_finding = Finding(
            CHECK, "warning", "it is of an older version of dedup", "'dedup scan' brings it up to date; then examine it again."
        )
        yield from damage_findings or [older_finding]
    elif loss := describe_lost_texts(context.readable_database):
        yield Finding(CHECK, "warning", loss, "If it was meant, the next 'dedup scan' goes on from here.")


def check_schema(context: CheckContext) -> Iterator[Finding]:
    """Tables, indexes, triggers and views."""
    for difference in store.integrity.schema_differences(context.readable_database):
        message = (
            f"the {difference.kind} {difference.name} is missing"
            if difference.is_missing
            else f"the {difference.kind} {difference.name} is not as this version of dedup makes it"
        )
        if is_repairable(difference):
            yield Finding(CHECK, "error", message, _REPAIR_REMEDY, "schema")
        elif difference.is_missing:
            yield _error(message, _LOST_ROWS_REMEDY)
        else:
            yield _error(message, "Restore a backup ('dedup restore FILE'), or scan into a new database: this one cannot be relied on.")


def check_foreign_keys(context: CheckContext) -> Iterator[Finding]:
    """Rows that name others."""
    for (table, referenced), count in sorted(store.integrity.broken_foreign_keys(context.readable_database).items()):
        repair_kind: RepairKind | None = _FOREIGN_KEY_REPAIRS.get((table, referenced))
        remedy = _REPAIR_REMEDY if repair_kind else _LOST_ROWS_REMEDY
        yield Finding(CHECK, "error", f"rows of {table} that name one of {referenced} that is not there: {count:,}", remedy, repair_kind)


FILE_STEPS: Steps = {"the file": check_file}
CONTENT_STEPS: Steps = {
    "the version of its tables": check_schema_version,
    "its tables, indexes, triggers and views": check_schema,
    "its integrity": check_integrity,
    "its foreign keys": check_foreign_keys,
}

_REPAIR_REMEDY = "Run 'dedup doctor --repair': it is made again from the rest."
_LOST_ROWS_REMEDY = "Rows were lost. " + RESTORE_REMEDY
_FOREIGN_KEY_REPAIRS: dict[tuple[str, str], RepairKind] = {
    ("matches", "texts"): "matches",
    ("text_fingerprints", "texts"): "matches",
    ("text_fingerprints", "publishers"): "matches",
    ("followers", "texts"): "matches",
    ("changes", "sightings"): "histories",
    ("changes", "pages"): "histories",
    ("pages", "sightings"): "histories",
    ("revisions", "texts"): "texts",
    ("summaries", "pages"): "summaries",
    ("clusters", "pages"): "summaries",
    ("cluster_members", "pages"): "summaries",
    ("cluster_members", "clusters"): "summaries",
}


def _error(message: str, remedy: str) -> Finding:
    return Finding(CHECK, "error", message, remedy)


def _path_text(path: str) -> str:
    return to_printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _sidecar_paths(path: str) -> list[str]:
    """What lies beside the database, where that really is, and is there."""
    real_path = os.path.realpath(path)
    return [real_path + suffix for suffix in _SIDECAR_SUFFIXES if os.path.exists(real_path + suffix)]


def _report_missing(path: str) -> Iterator[Finding]:
    yield _error(f"there is no database at {_path_text(path)}", _missing_remedy(path))


def _missing_remedy(path: str) -> str:
    sidecars = _sidecar_paths(path)
    if not any(p.endswith(("-wal", ".index")) for p in sidecars):
        return "'dedup scan' makes one."
    return (
        f"There was one: {', '.join(map(_path_text, sidecars))} of it lie there. Find it, or restore a backup ('dedup restore FILE');"
        " 'dedup scan' makes a new one, without what only the old one knew."
    )


# Whose it is


def _check_permissions(path: str, file_stat: os.stat_result) -> Iterator[Finding]:
    exposed = [p for p in (path, *_sidecar_paths(path)) if _file_mode(p) & 0o077]
    if exposed:
        listing = ", ".join(f"{_path_text(p)} (mode {_file_mode(p):03o})" for p in exposed)
        yield Finding(CHECK, "warning", f"others than its owner may open {listing}", f"chmod 600 {' '.join(map(_path_text, exposed))}")
    foreign = [p for p in _sidecar_paths(path) if (s := _stat_or_none(p)) is not None and s.st_uid != file_stat.st_uid]
    if foreign:
        listing = " ".join(map(_path_text, foreign))
        remedy = f"chown {file_stat.st_uid} {listing}, or who writes the database cannot write these; run dedup as that user only."
        yield Finding(CHECK, "warning", f"{listing} belong to another user than the database", remedy)
    if os.geteuid() not in (0, file_stat.st_uid):
        remedy = "Run dedup as that user, or 'dedup scan' and 'dedup watch' cannot write it."
        yield Finding(CHECK, "warning", f"{_path_text(path)} belongs to user {file_stat.st_uid}, and this is user {os.geteuid()}", remedy)
    folder = os.path.dirname(os.path.realpath(path))
    mode = _file_mode(folder, with_special_bits=True)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        message = f"everybody may put another file in its place: {_path_text(folder)} is writable by all (mode {mode:03o})"
        yield _error(message, f"chmod o-w {_path_text(folder)}, or move the database into a folder of its own.")


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _file_mode(path: str, *, with_special_bits: bool = False) -> int:
    file_stat = _stat_or_none(path)
    return 0 if file_stat is None else file_stat.st_mode & (0o7777 if with_special_bits else 0o777)


def _check_replaced(context: CheckContext, file_stat: os.stat_result) -> Iterator[Finding]:
    """A process that writes to a file that is no longer the one of that name writes into nothing."""
    if context.writer is None or context.writer.process_id is None:
        return
    process = context.writer.process_id
    open_stats = []
    try:
        for fd in os.listdir(f"/proc/{process}/fd"):
            link = f"/proc/{process}/fd/{fd}"
            target = os.readlink(link).removesuffix(" (deleted)")
            if target == os.path.realpath(context.path):
                open_stats.append(os.stat(link))
    except OSError:
        return  # another user's process, or it ended
    if open_stats and not any((o.st_dev, o.st_ino) == (file_stat.st_dev, file_stat.st_ino) for o in open_stats):
        yield _error(
            f"{context.writer.description} writes to a file that was there before {_path_text(context.path)} took its place:"
            " what it records is lost",
            "Stop it, see that the file is the one that is meant, and start it again.",
        )


def _check_wal(context: CheckContext, header: bytes) -> Iterator[Finding]:
    database_path = os.path.realpath(context.path)
    wal_path = database_path + "-wal"
    if wal.is_foreign(database_path, has_writer=context.writer is not None):
        yield _error(
            f"the log {_path_text(wal_path)} is not of this database: another file was put in its place, or the two were copied one after"
            " the other while it was written. It is left out of what follows",
            f"If this is a backup that was restored: move {_path_text(wal_path)} and {_path_text(database_path + '-shm')} away and run"
            " 'dedup scan'. If it is a copy of a database in use: make another, with 'dedup backup FILE'.",
        )
    size = os.path.getsize(wal_path) if os.path.exists(wal_path) else 0
    if size > LARGE_WAL_BYTES:
        advice = (
            f"wait for {context.writer.description}, or see who else reads" if context.writer else "the next 'dedup scan' copies it back"
        )
        remedy = f"A reader that stays open for long keeps it from being copied back, a 'dedup reindex' makes it grow: {advice}."
        yield Finding(CHECK, "warning", f"its log {_path_text(wal_path)} has {format_megabytes(size, 0)}", remedy)
    if header[18:20] != _WAL_MODE_BYTES and wal.read_commit_count(database_path) != wal.BACKUP_COUNT:
        remedy = "Another program changed that; the next 'dedup scan' sets it again."
        yield Finding(CHECK, "warning", "it is not in WAL mode: readers and the writer wait for each other", remedy)


# How much of it


def _quick_complaints(context: CheckContext) -> list[str]:
    """Of every table but the one that holds the bodies."""
    database = context.readable_database
    return [
        complaint
        for table in store.integrity.tables(database)
        if table != "revisions"
        for complaint in store.integrity.integrity_errors(database, table)
    ][:100]


def _report_damage(context: CheckContext, complaints: list[str]) -> Iterator[Finding]:
    """What is damaged, as far as it can be told; a database of which only indexes are is as good as sound."""
    database = context.readable_database
    listing = "; ".join(to_printable(c) for c in complaints[:MAX_COMPLAINTS])
    remainder = f"; and {len(complaints) - MAX_COMPLAINTS:,} more" if len(complaints) > MAX_COMPLAINTS else ""
    extents = [store.integrity.count_readable_rows(database, table) for table in integrity.BASE_TABLES]
    incomplete = [e for e in extents if e.readable_count < e.known_count]
    if not incomplete and all(any(part in c for part in _INDEX_COMPLAINTS) for c in complaints):
        yield Finding(CHECK, "error", f"indexes of SQLite's own do not fit their tables: {listing}{remainder}", _REPAIR_REMEDY, "sqlite")
        return
    yield replace(_error(f"the file is damaged: {listing}{remainder}", RESTORE_REMEDY), blocks_repair=True)
    if not any(e.known_count for e in extents):
        context.database = None
        yield _error("which tables it has cannot be read, and so nothing of them", RESTORE_REMEDY)
        return
    for e in incomplete:
        yield _error(f"of {e.known_count:,} rows of {e.table} that are known of, {e.readable_count:,} can be read", RESTORE_REMEDY)
    if not incomplete:
        damaged_derived = sorted(t for t in integrity.DERIVED_TABLES if store.integrity.integrity_errors(database, t))
        explanation = (
            f"only what is derived is damaged ({', '.join(damaged_derived)})"
            if damaged_derived
            else "what is damaged is none of their pages"
        )
        message = f"all rows of {', '.join(integrity.BASE_TABLES)} that are known of can be read: {explanation}"
        yield Finding(CHECK, "ok", message, RESTORE_REMEDY)
