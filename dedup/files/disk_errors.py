"""Why nothing more can be written to a place, as far as the system tells, and what helps."""

from __future__ import annotations

import errno
import os
import re
import resource
import sqlite3

_LEAST = 1 << 20
"""Bytes: where fewer are left, that is the reason."""
_WRITING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_READING = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What SQLite may say where a disk has gone and half of what it asks for is still in memory."""
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def explained(error: sqlite3.Error | OSError, path: str) -> str:
    """What an error says that work on the file at `path` met; and why, where that is the disk's."""
    told = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    why = ""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        why = "this process cannot open as many files as it needs; raise that limit (ulimit -n, LimitNOFILE)"
    elif isinstance(error, OSError):
        why = trouble(path)
    elif code in _WRITING:
        why = trouble(path) or _temporary_trouble(path)
    elif code in _READING:
        why = _refusal(os.path.dirname(os.path.abspath(path)))
    return f"{told}: {why}" if why else told


def trouble(path: str) -> str:
    """Why the file at `path`, or those beside it that are named after it, cannot grow or be written, and what to do; empty where
    nothing is known to be wrong. Never raises."""
    folder = os.path.dirname(os.path.abspath(path))
    if problem := _refusal(folder) or _fullness(folder):
        return problem
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY and most < max(_size(path), _size(path + "-wal")) + _LEAST:
        return f"this process may not write files of more than {most:,} bytes (ulimit -f); raise that"
    return _denial(folder) if os.access(folder, os.W_OK) else f"{folder} is not writable for this user"


def temporary_folder(path: str) -> str | None:
    """Where SQLite keeps files without a name of their own (statement journals, large sorts) while it works on the database at `path`:
    where SQLITE_TMPDIR says, else beside the database. None: no folder takes them (https://www.sqlite.org/tempfiles.html)."""
    beside = os.path.dirname(os.path.realpath(path))
    given = (os.environ.get("SQLITE_TMPDIR", beside), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108  only looked at
    return next((folder for folder in given if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)), None)


def _temporary_trouble(path: str) -> str:
    """What is wrong with the folder for temporary files, as `trouble` says it."""
    folder = temporary_folder(path) or os.curdir
    problem = _refusal(folder) or _fullness(folder) or _denial(folder)
    return f"{problem} (SQLite keeps temporary files in {folder}; SQLITE_TMPDIR names another folder)" if problem else ""


def _fullness(folder: str) -> str:
    """How a folder's file system has no room, if so."""
    try:
        place = os.statvfs(folder)
    except OSError:
        return ""
    mount, _ = _mounted(folder)
    if (free := place.f_bavail * place.f_frsize) < _LEAST:
        return f"the file system mounted on {mount} has {free:,} bytes left; make room there"
    if place.f_files and not place.f_favail:
        return f"the file system mounted on {mount} has no room for another file (inodes); make room there"
    return ""


def _denial(folder: str) -> str:
    """What the system says to a small file without a name in a folder, if that is a limit that it does not show otherwise: SQLite does
    not pass it on."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(_LEAST))
        finally:
            os.close(fd)
    except OSError as error:
        mount, _ = _mounted(folder)
        if error.errno == errno.EDQUOT:
            return f"the disk quota of user {os.geteuid()} on the file system mounted on {mount} is used up; make room there, or raise it"
        if error.errno == errno.ENOSPC:
            return f"the file system mounted on {mount} has no room left for user {os.geteuid()}; make room there"
    return ""


def _refusal(folder: str) -> str:
    """Why a folder's file system takes no writing at all, if so."""
    try:
        flags = os.statvfs(folder).f_flag
    except OSError as error:
        return f"{folder} cannot be reached ({error.strerror})"
    mount, options = _mounted(folder)
    if {"emergency_ro", "shutdown"} & set(options):
        return f"the file system mounted on {mount} met an error and takes no more writing; stop, have it checked (fsck), mount it again"
    return f"the file system mounted on {mount} is read-only; mount it for writing" if flags & os.ST_RDONLY else ""


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _mounted(folder: str) -> tuple[str, list[str]]:
    """Where the file system of a folder is mounted, and the options that it has by now (proc_pid_mountinfo(5))."""
    real = os.fsencode(os.path.realpath(folder))
    found, options = b"/", b""
    try:
        with open("/proc/self/mountinfo", "rb") as lines:
            for line in lines:
                fields = line.split()
                mount = _ESCAPED.sub(lambda m: bytes((int(m[1], 8),)), fields[4])
                if len(mount) >= len(found) and (real == mount or real.startswith(mount.rstrip(b"/") + b"/")):
                    found, options = mount, fields[-1]  # of several on one place the last is seen
    except (OSError, IndexError):
        pass
    return os.fsdecode(found), options.decode("ascii", "replace").split(",")
