"""Explain why a file cannot be written: a full, read-only or failed file system, a quota, a limit of this process; and what helps."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3

from dedup.files.mounts import Mount, find_mount, read_mounts

_MIN_FREE_BYTES = 1 << 20
"""Free bytes below which a file system counts as full."""
_WRITE_ERROR_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_READ_ERROR_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""Codes that SQLite may also return if a disk failed while half of a database was in memory."""


def explain_error(error: sqlite3.Error | OSError, path: str) -> str:
    """Return the message of an error that work on the file at `path` raised, followed by its cause if the disk is the cause."""
    message = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    reason = ""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        reason = "this process cannot open as many files as it needs; raise that limit (ulimit -n, LimitNOFILE)"
    elif isinstance(error, OSError):
        reason = find_write_problem(path)
    elif code in _WRITE_ERROR_CODES:
        reason = find_write_problem(path) or _find_temporary_problem(path)
    elif code in _READ_ERROR_CODES:
        reason = _find_read_only_problem(os.path.dirname(os.path.abspath(path)))
    return f"{message}: {reason}" if reason else message


def find_write_problem(path: str) -> str:
    """Return why the file at `path`, or a file of the same folder named after it, cannot be written, and what to do.

    Empty if no problem is found. Never raises.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if problem := _find_read_only_problem(folder) or _find_space_problem(folder):
        return problem
    max_bytes, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if max_bytes != resource.RLIM_INFINITY and max_bytes < max(_file_size(path), _file_size(path + "-wal")) + _MIN_FREE_BYTES:
        return f"this process may not write files of more than {max_bytes:,} bytes (ulimit -f); raise that"
    return _find_quota_problem(folder) if os.access(folder, os.W_OK) else f"{folder} is not writable for this user"


def find_temporary_folder(path: str) -> str | None:
    """Return the folder for SQLite's temporary files (statement journals, large sorts) during work on the database at `path`.

    It is SQLITE_TMPDIR, else the database's folder, else one of SQLite's defaults; None if none of them is writable
    (https://www.sqlite.org/tempfiles.html).
    """
    database_folder = os.path.dirname(os.path.realpath(path))
    candidates = (os.environ.get("SQLITE_TMPDIR", database_folder), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108  only looked at
    return next((folder for folder in candidates if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)), None)


def _find_temporary_problem(path: str) -> str:
    """Why SQLite cannot write its temporary files."""
    folder = find_temporary_folder(path) or os.curdir
    problem = _find_read_only_problem(folder) or _find_space_problem(folder) or _find_quota_problem(folder)
    return f"{problem} (SQLite keeps temporary files in {folder}; SQLITE_TMPDIR names another folder)" if problem else ""


def _find_space_problem(folder: str) -> str:
    """Which space the file system of a folder lacks: bytes or inodes."""
    try:
        file_system = os.statvfs(folder)
    except OSError:
        return ""
    mount_point = _mount_point(folder)
    if (free := file_system.f_bavail * file_system.f_frsize) < _MIN_FREE_BYTES:
        return f"the file system mounted on {mount_point} has {free:,} bytes left; make room there"
    if file_system.f_files and not file_system.f_favail:
        return f"the file system mounted on {mount_point} has no room for another file (inodes); make room there"
    return ""


def _find_quota_problem(folder: str) -> str:
    """Which limit refuses an unnamed file of 1 MiB in a folder. No system call reports such a limit, and SQLite does not either."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(_MIN_FREE_BYTES))
        finally:
            os.close(fd)
    except OSError as error:
        place = f"the file system mounted on {_mount_point(folder)}"
        if error.errno == errno.EDQUOT:
            return f"the disk quota of user {os.geteuid()} on {place} is used up; make room there, or raise it"
        if error.errno == errno.ENOSPC:
            return f"{place} has no room left for user {os.geteuid()}; make room there"
    return ""


def _find_read_only_problem(folder: str) -> str:
    """Why the file system of a folder cannot be written at all."""
    try:
        flags = os.statvfs(folder).f_flag
    except OSError as error:
        return f"{folder} cannot be reached ({error.strerror})"
    mount = _mount_of(folder)
    if mount is not None and {"emergency_ro", "shutdown"} & mount.super_options:
        place = f"the file system mounted on {_mount_point(folder)}"
        return f"{place} failed and refuses writing; stop dedup, check the file system (fsck) and mount it again"
    return f"the file system mounted on {_mount_point(folder)} is read-only; mount it for writing" if flags & os.ST_RDONLY else ""


def _file_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _mount_of(folder: str) -> Mount | None:
    try:
        return find_mount(os.fsencode(folder), read_mounts())
    except OSError:
        return None


def _mount_point(folder: str) -> str:
    mount = _mount_of(folder)
    return os.fsdecode(mount.mount_point) if mount is not None else "/"
