"""One writer: a lock beside the database, which also tells who holds it and what they are doing."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from dedup.errors import DatabaseBusyError, DatabaseFailedError, DatabaseLockLostError, DatabaseUnreadableError
from dedup.files import disk_errors, secure
from dedup.files.descriptors import is_exhausted
from dedup.store.descriptors import shared_descriptor
from dedup.text import times

_FILE_BYTES = 2048
"""Bytes of the file, always: on a full disk it can still be written over."""
_FLOCK = struct.Struct("@hhqqi4x")
"""A range of bytes to lock, as the kernel takes it: kind, whence, first, how many, process."""
_CANNOT_REPORT_BYTE, _WRITER_BYTE = 0, 1
"""Bytes of the file, and what it means that they are locked."""
_DATABASE_BYTE = 1 << 62
"""Byte of the database that its writer locks too: the lock file can be removed, or copied back. SQLite locks other bytes."""
_SQLITE_FIRST_BYTE, _SQLITE_LOCK_BYTES = 0x4000_0002, 510
"""Bytes of the database that SQLite locks to use it, and must have for itself to copy the log back and remove it when it closes."""
_UNKNOWN_HOLDER = "another process, whose lock file was removed"

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """What the lock's file says: `description` as it calls itself, where it reports (a path, or empty), what it does (`activity`, or
    empty). Of a process that was killed the file still says so. `cannot_report`: it runs, and cannot write its reports."""

    description: str
    health_path: str = ""
    activity: str = ""
    cannot_report: bool = False

    @property
    def process_id(self) -> int | None:
        """Its process number; None where it did not say."""
        match = re.search(r"\(process (\d{1,9}),", self.description)
        return int(match[1]) if match else None


class Lock:
    """An advisory lock on `<database>.lock` and on a byte of the database, of the open files (fcntl(2), F_OFD_SETLK): the kernel
    releases it when the process ends, however it ends, and can be asked for it by others who do not take it themselves. `previous_holder`
    is what the last holder left behind if it did not end by itself. Release it after every connection to the database was closed: closing a
    descriptor of the database drops the locks of SQLite."""

    def __init__(self, database: str, purpose: str) -> None:
        """Take the lock; raises DatabaseBusyError naming the process that holds it."""
        self.path = _lock_path(database)
        self._database_fd = -1
        self._fd = self._open(database)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _WRITER_BYTE))
        except OSError:
            holder = _read_holder(self._fd)
            os.close(self._fd)
            raise DatabaseBusyError(path=database, holder=holder.description if holder else "another process") from None
        if not _is_lock_file(self._fd):
            os.close(self._fd)
            raise DatabaseUnreadableError(path=database, problem=f"{self.path}, where its lock would be, is a file of something else")
        try:
            self._lock_database(database)
        except BaseException:
            os.close(self._fd)
            raise
        self.previous_holder = _read_holder(self._fd)
        self._holder = LockHolder(f"'dedup {purpose}' (process {os.getpid()}, since {times.now()})")
        self._cannot_report = False
        self._write()

    def _open(self, database: str) -> int:
        try:
            return secure.open_private(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise DatabaseUnreadableError(
                path=database, problem=f"its lock {self.path} cannot be made: {disk_errors.explain_error(error, database)}"
            ) from error

    def _lock_database(self, database: str) -> None:
        """Lock the byte of the database; where there is none yet (it is being restored) or it cannot be written, the lock file alone
        has to do."""
        try:
            fd = os.open(os.path.realpath(database), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _DATABASE_BYTE))
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DatabaseBusyError(path=database, holder=_UNKNOWN_HOLDER) from None
            return
        self._database_fd = fd

    def ensure_file(self) -> None:
        """Make the lock file again if it was removed or replaced. Nobody can have written meanwhile: this process holds the byte of the
        database too. Raises DatabaseLockLostError where it does not, DatabaseUnreadableError where the file cannot be made, and
        DatabaseFailedError where another process holds the new one."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._fd)):
                return
        database = self.path.removesuffix(".lock")
        if self._database_fd < 0:
            raise DatabaseLockLostError(path=database, lock=self.path)
        fd = self._open(database)
        for attempt in range(20, -1, -1):  # a process that tries to become the writer has it for a moment
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _WRITER_BYTE))
                break
            except OSError:
                if not attempt:
                    os.close(fd)
                    raise DatabaseFailedError(path=database, problem=f"another process holds its lock {self.path}") from None
                time.sleep(0.01)
        os.close(self._fd)
        self._fd = fd
        self._write()
        self.set_cannot_report(on=self._cannot_report)
        _log.warning("%s was removed or replaced by something else; it was made again", self.path)

    def prevent_checkpoint(self) -> None:
        """Keep SQLite from copying the log back, and from removing it, when the connection is closed."""
        if self._database_fd >= 0:
            with suppress(OSError):
                fcntl.fcntl(self._database_fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_RDLCK, _SQLITE_FIRST_BYTE, _SQLITE_LOCK_BYTES))

    @property
    def activity(self) -> str:
        """What this process said last that it is at."""
        return self._holder.activity

    def set_health_path(self, health_path: str) -> None:
        """Tell where this process reports how it is."""
        self._holder = LockHolder(self._holder.description, health_path)
        self._write()

    def set_activity(self, activity: str) -> None:
        """Tell what this process is at; empty: nothing that could be lost. Some microseconds."""
        self._holder = LockHolder(self._holder.description, self._holder.health_path, activity)
        self._write()

    def set_cannot_report(self, *, on: bool) -> None:
        """Tell that reports cannot be written now, or can again. On a file system that takes no writing this can still be told: by a
        lock on a byte of the file (fcntl(2), F_OFD_SETLK)."""
        self._cannot_report = on
        with suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK if on else fcntl.F_UNLCK, _CANNOT_REPORT_BYTE))

    def release(self) -> None:
        """Let go; the file stays and says nothing."""
        with suppress(OSError):
            os.pwrite(self._fd, b"\n" * _FILE_BYTES, 0)
        os.close(self._fd)
        if self._database_fd >= 0:
            os.close(self._database_fd)

    def _write(self) -> None:
        holder = self._holder
        content = b"\n".join(
            (holder.description.encode(), os.fsencode(holder.health_path), holder.activity.encode("utf-8", "backslashreplace")[:1000])
        )
        with suppress(OSError):
            os.pwrite(self._fd, content.ljust(_FILE_BYTES, b"\n")[:_FILE_BYTES], 0)


def current_holder(database: str) -> LockHolder | None:
    """Who writes to the database now; None if nobody does."""
    return _read_holders(database)[0]


def crashed_holder(database: str) -> LockHolder | None:
    """What the last holder left, if nobody writes now and it did not end by itself."""
    return _read_holders(database)[1]


def _lock_path(database: str) -> str:
    """One lock for one database, by whatever link it is reached."""
    return os.path.realpath(database) + ".lock"


def _read_holders(database: str) -> tuple[LockHolder | None, LockHolder | None]:
    """(who holds the lock, who held it last and was killed)."""
    try:
        fd = secure.open_private(_lock_path(database), os.O_RDONLY)
    except OSError as error:
        if is_exhausted(error):
            raise  # a writer may hold it all the same
        return LockHolder(_UNKNOWN_HOLDER) if _is_database_locked(database) else None, None
    try:
        if _is_locked(fd, _WRITER_BYTE):  # by asking alone: whoever begins to write must not meet one who only looks
            return replace(_read_holder(fd) or LockHolder("another process"), cannot_report=_is_locked(fd, _CANNOT_REPORT_BYTE)), None
        crashed = _read_holder(fd)
    finally:
        os.close(fd)
    return (LockHolder(_UNKNOWN_HOLDER), None) if _is_database_locked(database) else (None, crashed)


def _is_database_locked(database: str) -> bool:
    """Whether a process that writes holds the byte of the database."""
    try:
        return _is_locked(shared_descriptor(os.path.realpath(database)), _DATABASE_BYTE)
    except OSError:
        return False


def _is_locked(fd: int, byte: int) -> bool:
    """Whether somebody else has locked a byte of the file."""
    return bool(_FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _byte_range(fcntl.F_RDLCK, byte)))[0] != fcntl.F_UNLCK)


def _byte_range(kind: int, byte: int, length: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, length, 0)


def _is_lock_file(fd: int) -> bool:
    """Whether a file is empty, or holds what a lock says."""
    content = os.pread(fd, _FILE_BYTES + 1, 0)
    return len(content) <= _FILE_BYTES and (content.startswith(b"'dedup ") or not content.strip(b"\n\0"))


def _read_holder(fd: int) -> LockHolder | None:
    with suppress(OSError):
        lines = os.pread(fd, _FILE_BYTES, 0).split(b"\n")
        if lines[0].strip():
            health_path, activity = (*lines[1:3], b"", b"")[:2]
            return LockHolder(lines[0].decode("utf-8", "replace").strip(), os.fsdecode(health_path), activity.decode("utf-8", "replace"))
    return None
