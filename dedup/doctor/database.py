"""Check the database file: its existence, owner, schema and integrity, and how much of a damaged file can be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from dedup import store
from dedup.doctor.context import CheckContext, Finding, RepairKind, Steps
from dedup.errors import DatabaseDamagedError, DatabaseUnreadableError
from dedup.pipeline.session import describe_lost_texts
from dedup.store import integrity, wal
from dedup.store.ownership import require_dedup_database
from dedup.store.schema_repair import is_repairable
from dedup.text.format import format_megabytes
from dedup.text.sanitise import to_printable

CHECK = "database"
MAX_COMPLAINTS = 10
"""Errors of SQLite that a finding quotes."""
LARGE_WAL_BYTES = 256 << 20
"""Size of the write-ahead log that is reported. It is copied back at 64 MB unless a long-running reader prevents that."""
RESTORE_REMEDY = (
    "Restore the newest backup ('dedup restore FILE') and run 'dedup scan', which records the files that still exist."
    " Without a backup, keep the file unchanged and recover what can be read from a copy of it:"
    " sqlite3 copy.db .recover | sqlite3 new.db; then check the new file with dedup --database new.db doctor."
)
_SIDECAR_SUFFIXES = ("-wal", "-shm", ".lock", ".index", ".passages", ".search")
_WRONG_FILE_REMEDY = "Set the right file with --database, or [database] path in the configuration. Nothing was changed."
_MAGIC = b"SQLite format 3\0"
_WAL_MODE_BYTES = b"\x02\x02"
_INDEX_COMPLAINTS = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def check_file(context: CheckContext) -> Iterator[Finding]:
    """Check the file and the files next to it, without SQLite."""
    path = context.path
    try:
        file_stat = os.stat(path)
    except FileNotFoundError:
        yield from _report_missing(path)
        return
    if not stat.S_ISREG(file_stat.st_mode):
        yield _error(f"{_path_text(path)} is not a regular file", "Set another path: [database] path.")
        return
    if not os.access(path, os.R_OK):
        yield _error(f"this user may not read {_path_text(path)}", "Run this command as the user that owns the database.")
        return
    if not file_stat.st_size:
        yield _error(f"{_path_text(path)} is empty", _missing_remedy(path))
        return
    with open(path, "rb") as stream:
        header = stream.read(20)
    if not header.startswith(_MAGIC):
        yield _error(f"{_path_text(path)} is not a database: its header was overwritten, or it is another kind of file", RESTORE_REMEDY)
        return
    try:
        require_dedup_database(path)
    except DatabaseDamagedError:
        pass  # later checks report the details
    except DatabaseUnreadableError as error:
        yield _error(f"{_path_text(path)}: {to_printable(str(error.facts['problem']))}", _WRONG_FILE_REMEDY)
        return
    yield from _check_permissions(path, file_stat)
    yield from _check_replaced(context, file_stat)
    yield from _check_wal(context, header)
    context.can_open = True


def check_integrity(context: CheckContext) -> Iterator[Finding]:
    """Run SQLite's integrity check."""
    context.add_checked(CHECK, store.integrity.count_database_pages(context.readable_database))
    if problems := _quick_complaints(context) if context.quick else store.integrity.integrity_errors(context.readable_database):
        yield from _report_damage(context, problems)


def check_schema_version(context: CheckContext) -> Iterator[Finding]:
    """Check that this version of dedup made the tables. Otherwise sets `context.database` to None: they cannot be queried."""
    if store.integrity.is_of_development(context.readable_database):
        context.database = None
        yield _error(
            "the database was written by a version of dedup before the first release and cannot be migrated",
            "Scan the crawl directories into a new database.",
        )
    elif unknown := store.integrity.unknown_migrations(context.readable_database):
        context.database = None
        yield _error(
            f"the database was written by a newer version of dedup (it has {to_printable(', '.join(unknown))})", "Install that version."
        )
    elif store.integrity.is_older(context.readable_database):
        damage_findings = list(check_integrity(context))  # damage may make the database look older
        context.database = None
        older_finding = Finding(
            CHECK,
            "warning",
            "the database was written by an older version of dedup",
            "Run 'dedup scan', which migrates it; then run 'dedup doctor' again.",
        )
        yield from damage_findings or [older_finding]
    elif loss := describe_lost_texts(context.readable_database):
        yield Finding(CHECK, "warning", loss, "If that was intended, run 'dedup scan', which continues from here.")


def check_schema(context: CheckContext) -> Iterator[Finding]:
    """Compare tables, indexes, triggers and views with those that the migrations create."""
    for difference in store.integrity.schema_differences(context.readable_database):
        message = (
            f"the {difference.kind} {difference.name} is missing"
            if difference.is_missing
            else f"the {difference.kind} {difference.name} differs from the one that this version of dedup creates"
        )
        if is_repairable(difference):
            yield Finding(CHECK, "error", message, _REPAIR_REMEDY, "schema")
        elif difference.is_missing:
            yield _error(message, _LOST_ROWS_REMEDY)
        else:
            yield _error(message, "Restore a backup ('dedup restore FILE'), or scan into a new database: this one is not reliable.")


def check_foreign_keys(context: CheckContext) -> Iterator[Finding]:
    """Find rows that refer to missing rows."""
    for (table, referenced), count in sorted(store.integrity.broken_foreign_keys(context.readable_database).items()):
        repair_kind: RepairKind | None = _FOREIGN_KEY_REPAIRS.get((table, referenced))
        remedy = _REPAIR_REMEDY if repair_kind else _LOST_ROWS_REMEDY
        yield Finding(CHECK, "error", f"rows of {table} that refer to a missing row of {referenced}: {count:,}", remedy, repair_kind)


FILE_STEPS: Steps = {"the file": check_file}
CONTENT_STEPS: Steps = {
    "version": check_schema_version,
    "tables, indexes, triggers and views": check_schema,
    "integrity": check_integrity,
    "foreign keys": check_foreign_keys,
}

_REPAIR_REMEDY = "Run 'dedup doctor --repair' to rebuild it from the rest of the database."
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
    """Return the existing files that belong to a database: log, lock and indexes, next to its real path."""
    real_path = os.path.realpath(path)
    return [real_path + suffix for suffix in _SIDECAR_SUFFIXES if os.path.exists(real_path + suffix)]


def _report_missing(path: str) -> Iterator[Finding]:
    yield _error(f"there is no database at {_path_text(path)}", _missing_remedy(path))


def _missing_remedy(path: str) -> str:
    sidecars = _sidecar_paths(path)
    if not any(p.endswith(("-wal", ".index")) for p in sidecars):
        return "Run 'dedup scan' to create it."
    return (
        f"There was a database: {', '.join(map(_path_text, sidecars))} still exist. Find it, or restore a backup ('dedup restore FILE')."
        " 'dedup scan' would create a new one without the history of the old one."
    )


# Permissions and log


def _check_permissions(path: str, file_stat: os.stat_result) -> Iterator[Finding]:
    exposed = [p for p in (path, *_sidecar_paths(path)) if _file_mode(p) & 0o077]
    if exposed:
        listing = ", ".join(f"{_path_text(p)} (mode {_file_mode(p):03o})" for p in exposed)
        yield Finding(
            CHECK, "warning", f"users other than the owner may open {listing}", f"Run chmod 600 {' '.join(map(_path_text, exposed))}"
        )
    foreign = [p for p in _sidecar_paths(path) if (s := _stat_or_none(p)) is not None and s.st_uid != file_stat.st_uid]
    if foreign:
        listing = " ".join(map(_path_text, foreign))
        remedy = f"Run chown {file_stat.st_uid} {listing}, and run dedup only as that user: other users cannot write all of the files."
        yield Finding(CHECK, "warning", f"{listing} belong to a user other than the owner of the database", remedy)
    if os.geteuid() not in (0, file_stat.st_uid):
        remedy = "Run dedup as that user: otherwise 'dedup scan' and 'dedup watch' cannot write to it."
        yield Finding(CHECK, "warning", f"{_path_text(path)} belongs to user {file_stat.st_uid}, and this is user {os.geteuid()}", remedy)
    folder = os.path.dirname(os.path.realpath(path))
    mode = _file_mode(folder, with_special_bits=True)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        message = f"any user may replace the database: {_path_text(folder)} is writable by all (mode {mode:03o})"
        yield _error(message, f"Run chmod o-w {_path_text(folder)}, or move the database into a separate folder.")


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _file_mode(path: str, *, with_special_bits: bool = False) -> int:
    file_stat = _stat_or_none(path)
    return 0 if file_stat is None else file_stat.st_mode & (0o7777 if with_special_bits else 0o777)


def _check_replaced(context: CheckContext, file_stat: os.stat_result) -> Iterator[Finding]:
    """Check that the writing process has this file open: if the file was replaced, what the process writes is lost."""
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
            f"{context.writer.description} is writing to a file that {_path_text(context.path)} has replaced: what it records is lost",
            "Stop it, check that the file is the right one, and start it again.",
        )


def _check_wal(context: CheckContext, header: bytes) -> Iterator[Finding]:
    database_path = os.path.realpath(context.path)
    wal_path = database_path + "-wal"
    if wal.is_foreign(database_path, has_writer=context.writer is not None):
        yield _error(
            f"the log {_path_text(wal_path)} does not belong to this database: one of the two was replaced, or they were copied separately"
            " while the database was in use. The other checks ignore the log",
            f"If this is a restored backup: move {_path_text(wal_path)} and {_path_text(database_path + '-shm')} away and run 'dedup scan'."
            " If it is a copy of a database in use: make a new copy with 'dedup backup FILE'.",
        )
    size = os.path.getsize(wal_path) if os.path.exists(wal_path) else 0
    if size > LARGE_WAL_BYTES:
        advice = f"wait for {context.writer.description}, or find the reader" if context.writer else "the next 'dedup scan' copies it back"
        remedy = f"A long-running reader prevents it from being copied back, and 'dedup reindex' makes it grow: {advice}."
        yield Finding(CHECK, "warning", f"the log {_path_text(wal_path)} has {format_megabytes(size, 0)}", remedy)
    if header[18:20] != _WAL_MODE_BYTES and wal.read_commit_count(database_path) != wal.BACKUP_COUNT:
        remedy = "Another program changed that; the next 'dedup scan' changes it back."
        yield Finding(CHECK, "warning", "the database is not in WAL mode: readers and the writer block each other", remedy)


# Damage


def _quick_complaints(context: CheckContext) -> list[str]:
    """Return SQLite's errors about all tables except the one with the bodies."""
    database = context.readable_database
    return [
        complaint
        for table in store.integrity.tables(database)
        if table != "revisions"
        for complaint in store.integrity.integrity_errors(database, table)
    ][:100]


def _report_damage(context: CheckContext, complaints: list[str]) -> Iterator[Finding]:
    """Report what is damaged, as far as that can be determined. If only indexes are, nothing is lost."""
    database = context.readable_database
    listing = "; ".join(to_printable(c) for c in complaints[:MAX_COMPLAINTS])
    remainder = f"; and {len(complaints) - MAX_COMPLAINTS:,} more" if len(complaints) > MAX_COMPLAINTS else ""
    extents = [store.integrity.count_readable_rows(database, table) for table in integrity.BASE_TABLES]
    incomplete = [e for e in extents if e.readable_count < e.known_count]
    if not incomplete and all(any(part in c for part in _INDEX_COMPLAINTS) for c in complaints):
        yield Finding(CHECK, "error", f"SQLite's indexes do not match their tables: {listing}{remainder}", _REPAIR_REMEDY, "sqlite")
        return
    yield replace(_error(f"the file is damaged: {listing}{remainder}", RESTORE_REMEDY), blocks_repair=True)
    if not any(e.known_count for e in extents):
        context.database = None
        yield _error("the list of tables cannot be read, so no table can be", RESTORE_REMEDY)
        return
    for e in incomplete:
        yield _error(f"of {e.known_count:,} known rows of {e.table}, {e.readable_count:,} can be read", RESTORE_REMEDY)
    if not incomplete:
        damaged_derived = sorted(t for t in integrity.DERIVED_TABLES if store.integrity.integrity_errors(database, t))
        explanation = (
            f"only derived tables are damaged ({', '.join(damaged_derived)})" if damaged_derived else "the damaged pages are not theirs"
        )
        message = f"all known rows of {', '.join(integrity.BASE_TABLES)} can be read: {explanation}"
        yield Finding(CHECK, "ok", message, RESTORE_REMEDY)
