"""Why nothing more can be written to a place, as far as the system tells, and what helps."""

from __future__ import annotations

import errno
import os
import re
import resource
import sqlite3

_MIN_FREE_BYTES = 1 << 20
"""Bytes: where fewer are left, that is the reason."""
_WRITE_ERROR_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_READ_ERROR_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What SQLite may say where a disk has gone and half of what it asks for is still in memory."""
_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")


def explain_error(error: sqlite3.Error | OSError, path: str) -> str:
    """What an error says that work on the file at `path` met; and why, where that is the disk's."""
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
    """Why the file at `path`, or those beside it that are named after it, cannot grow or be written, and what to do; empty where
    nothing is known to be wrong. Never raises."""
    folder = os.path.dirname(os.path.abspath(path))
    if problem := _find_read_only_problem(folder) or _find_space_problem(folder):
        return problem
    max_bytes, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if max_bytes != resource.RLIM_INFINITY and max_bytes < max(_file_size(path), _file_size(path + "-wal")) + _MIN_FREE_BYTES:
        return f"this process may not write files of more than {max_bytes:,} bytes (ulimit -f); raise that"
    return _find_quota_problem(folder) if os.access(folder, os.W_OK) else f"{folder} is not writable for this user"


def find_temporary_folder(path: str) -> str | None:
    """Where SQLite keeps files without a name of their own (statement journals, large sorts) while it works on the database at `path`:
    where SQLITE_TMPDIR says, else beside the database. None: no folder takes them (https://www.sqlite.org/tempfiles.html)."""
    database_folder = os.path.dirname(os.path.realpath(path))
    candidates = (os.environ.get("SQLITE_TMPDIR", database_folder), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108  only looked at
    return next((folder for folder in candidates if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)), None)


def _find_temporary_problem(path: str) -> str:
    """What is wrong with the folder for temporary files, as `find_write_problem` says it."""
    folder = find_temporary_folder(path) or os.curdir
    problem = _find_read_only_problem(folder) or _find_space_problem(folder) or _find_quota_problem(folder)
    return f"{problem} (SQLite keeps temporary files in {folder}; SQLITE_TMPDIR names another folder)" if problem else ""


def _find_space_problem(folder: str) -> str:
    """How a folder's file system has no room, if so."""
    try:
        file_system = os.statvfs(folder)
    except OSError:
        return ""
    mount_point, _ = _find_mount(folder)
    if (free := file_system.f_bavail * file_system.f_frsize) < _MIN_FREE_BYTES:
        return f"the file system mounted on {mount_point} has {free:,} bytes left; make room there"
    if file_system.f_files and not file_system.f_favail:
        return f"the file system mounted on {mount_point} has no room for another file (inodes); make room there"
    return ""


def _find_quota_problem(folder: str) -> str:
    """What the system says to a small file without a name in a folder, if that is a limit that it does not show otherwise: SQLite does
    not pass it on."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(_MIN_FREE_BYTES))
        finally:
            os.close(fd)
    except OSError as error:
        mount_point, _ = _find_mount(folder)
        if error.errno == errno.EDQUOT:
            return (
                f"the disk quota of user {os.geteuid()} on the file system mounted on {mount_point} is used up; make room there, or raise"
                " it"
            )
        if error.errno == errno.ENOSPC:
            return f"the file system mounted on {mount_point} has no room left for user {os.geteuid()}; make room there"
    return ""


def _find_read_only_problem(folder: str) -> str:
    """Why a folder's file system takes no writing at all, if so."""
    try:
        flags = os.statvfs(folder).f_flag
    except OSError as error:
        return f"{folder} cannot be reached ({error.strerror})"
    mount_point, options = _find_mount(folder)
    if {"emergency_ro", "shutdown"} & set(options):
        return (
            f"the file system mounted on {mount_point} met an error and takes no more writing; stop, have it checked (fsck), mount it again"
        )
    return f"the file system mounted on {mount_point} is read-only; mount it for writing" if flags & os.ST_RDONLY else ""


def _file_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _find_mount(folder: str) -> tuple[str, list[str]]:
    """Where the file system of a folder is mounted, and the options that it has by now (proc_pid_mountinfo(5))."""
    real = os.fsencode(os.path.realpath(folder))
    mount_point, options = b"/", b""
    try:
        with open("/proc/self/mountinfo", "rb") as lines:
            for line in lines:
                fields = line.split()
                candidate = _OCTAL_ESCAPE.sub(lambda m: bytes((int(m[1], 8),)), fields[4])
                if len(candidate) >= len(mount_point) and (real == candidate or real.startswith(candidate.rstrip(b"/") + b"/")):
                    mount_point, options = candidate, fields[-1]  # of several on one place the last is seen
    except (OSError, IndexError):
        pass
    return os.fsdecode(mount_point), options.decode("ascii", "replace").split(",")
