"""The lock of the one writer, which also shows other processes who holds it and what the holder is doing."""

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
from typing import NamedTuple

from dedup.errors import DatabaseBusyError, DatabaseFailedError, DatabaseLockLostError, DatabaseUnreadableError
from dedup.files import disk_errors, secure
from dedup.files.descriptors import is_exhausted
from dedup.store.descriptors import close_after_connections, shared_descriptor
from dedup.text import times

_FILE_BYTES = 2048
"""Size of the lock file in bytes. It never changes, so that the file can be overwritten on a full disk."""
_FLOCK = struct.Struct("@hhqqi4x")
"""The kernel's struct flock: type, whence, first byte, number of bytes, process."""
_CANNOT_REPORT_BYTE, _WRITER_BYTE = 0, 1
"""Bytes of the lock file; each is locked while the name of its constant holds."""
_DATABASE_BYTE = 1 << 62
"""Byte of the database that its writer locks too, because the lock file can be removed or copied back. SQLite locks other bytes."""
_SQLITE_FIRST_BYTE, _SQLITE_LOCK_BYTES = 0x4000_0002, 510
"""Bytes of the database that SQLite locks to use it. It locks them exclusively to copy the log back and remove it on closing."""
_UNKNOWN_HOLDER = "another process, whose lock file was removed"

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The content of the lock file: who holds the lock, the path of its health file (may be empty), and what it is doing (may be empty).

    The file of a killed process keeps its content. `cannot_report`: the process runs, but cannot write its health file.
    """

    description: str
    health_path: str = ""
    activity: str = ""
    cannot_report: bool = False

    @property
    def process_id(self) -> int | None:
        """The process id in `description`, None if it has no id."""
        match = re.search(r"\(process (\d{1,9}),", self.description)
        return int(match[1]) if match else None


class _Holders(NamedTuple):
    """The process that holds the lock, or else the last one that held it if that was killed."""

    current: LockHolder | None = None
    crashed: LockHolder | None = None


class Lock:
    """An advisory lock on `<database>.lock` and on a byte of the database.

    It is a lock of the open file (fcntl(2), F_OFD_SETLK): the kernel releases it when the process ends for any reason, and other processes
    can query it without taking it. `previous_holder` is the last holder if that was killed. Release the lock after the connection that
    writes is closed.
    """

    def __init__(self, database: str, purpose: str) -> None:
        """Take the lock. Raises DatabaseBusyError, which names the holder, and DatabaseUnreadableError."""
        self.path = _lock_path(database)
        self._database_fd = -1
        self._fd = self._open(database)
        try:
            self._lock_file(database)
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
                path=database, problem=f"its lock file {self.path} cannot be created: {disk_errors.explain_error(error, database)}"
            ) from error

    def _lock_file(self, database: str) -> None:
        """Lock the lock file, unless another process holds it or the file is not a lock file."""
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _WRITER_BYTE))
        except OSError:
            holder = _read_holder(self._fd)
            raise DatabaseBusyError(path=database, holder=holder.description if holder else "another process") from None
        if not _is_lock_file(self._fd):
            raise DatabaseUnreadableError(path=database, problem=f"{self.path}, the name of its lock file, is another program's file")

    def _lock_database(self, database: str) -> None:
        """Lock the byte of the database. If the database does not exist yet (it is being restored) or cannot be written, the lock file
        alone must suffice."""
        try:
            fd = os.open(os.path.realpath(database), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _DATABASE_BYTE))
        except OSError as error:
            close_after_connections(database, fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DatabaseBusyError(path=database, holder=_UNKNOWN_HOLDER) from None
            return
        self._database_fd = fd

    def ensure_file(self) -> None:
        """Create the lock file again if it was removed or replaced. No other process can have written meanwhile, because this one also
        holds the byte of the database.

        Raises DatabaseLockLostError if it does not hold that byte, DatabaseUnreadableError if the file cannot be created, and
        DatabaseFailedError if another process holds the new file.
        """
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._fd)):
                return
        database = self.path.removesuffix(".lock")
        if self._database_fd < 0:
            raise DatabaseLockLostError(path=database, lock=self.path)
        fd = self._open(database)
        for attempt in range(20, -1, -1):  # a process that tries to become the writer holds it for a moment
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK, _WRITER_BYTE))
                break
            except OSError:
                if not attempt:
                    os.close(fd)
                    raise DatabaseFailedError(path=database, problem=f"another process holds its lock file {self.path}") from None
                time.sleep(0.01)
        os.close(self._fd)
        self._fd = fd
        self._write()
        self.set_cannot_report(on=self._cannot_report)
        _log.warning("another program removed or replaced %s; it was created again", self.path)

    def prevent_checkpoint(self) -> None:
        """Keep SQLite from copying the log back, and from removing it, when the connection is closed."""
        if self._database_fd >= 0:
            with suppress(OSError):
                fcntl.fcntl(self._database_fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_RDLCK, _SQLITE_FIRST_BYTE, _SQLITE_LOCK_BYTES))

    @property
    def activity(self) -> str:
        """The last activity of this process that was set."""
        return self._holder.activity

    def set_health_path(self, health_path: str) -> None:
        """Show other processes the path of this process's health file."""
        self._holder = LockHolder(self._holder.description, health_path)
        self._write()

    def set_activity(self, activity: str) -> None:
        """Show other processes what this process is doing; empty: nothing that an abort could lose. Takes some microseconds."""
        self._holder = LockHolder(self._holder.description, self._holder.health_path, activity)
        self._write()

    def set_cannot_report(self, *, on: bool) -> None:
        """Show other processes whether this one cannot write its health file at present. It is shown by a lock on a byte of the lock file,
        which works on a read-only or full file system too."""
        self._cannot_report = on
        with suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_WRLCK if on else fcntl.F_UNLCK, _CANNOT_REPORT_BYTE))

    def release(self) -> None:
        """Release the lock and clear the lock file, which is not removed."""
        with suppress(OSError):
            os.pwrite(self._fd, b"\n" * _FILE_BYTES, 0)
        os.close(self._fd)
        if self._database_fd >= 0:
            fcntl.fcntl(self._database_fd, fcntl.F_OFD_SETLK, _byte_range(fcntl.F_UNLCK, 0, 0))  # all bytes: it may stay open
            close_after_connections(self.path.removesuffix(".lock"), self._database_fd)

    def _write(self) -> None:
        holder = self._holder
        content = b"\n".join(
            (holder.description.encode(), os.fsencode(holder.health_path), holder.activity.encode("utf-8", "backslashreplace")[:1000])
        )
        with suppress(OSError):
            os.pwrite(self._fd, content.ljust(_FILE_BYTES, b"\n")[:_FILE_BYTES], 0)


def current_holder(database: str) -> LockHolder | None:
    """Return the process that writes to the database now, None if it has no writer."""
    return _read_holders(database).current


def crashed_holder(database: str) -> LockHolder | None:
    """Return the last holder of the lock if it was killed and no process writes now."""
    return _read_holders(database).crashed


def _lock_path(database: str) -> str:
    """Return the path of the lock file. All links to the database lead to one lock file."""
    return os.path.realpath(database) + ".lock"


def _read_holders(database: str) -> _Holders:
    try:
        fd = secure.open_private(_lock_path(database), os.O_RDONLY)
    except OSError as error:
        if is_exhausted(error):
            raise  # a writer may hold it nevertheless
        return _Holders(current=LockHolder(_UNKNOWN_HOLDER) if _is_database_locked(database) else None)
    try:
        if _is_locked(fd, _WRITER_BYTE):  # queried, not taken: a new writer must not fail because of a reader
            holder = _read_holder(fd) or LockHolder("another process")
            return _Holders(current=replace(holder, cannot_report=_is_locked(fd, _CANNOT_REPORT_BYTE)))
        crashed = _read_holder(fd)
    finally:
        os.close(fd)
    return _Holders(current=LockHolder(_UNKNOWN_HOLDER)) if _is_database_locked(database) else _Holders(crashed=crashed)


def _is_database_locked(database: str) -> bool:
    """Return whether a writer holds the byte of the database."""
    try:
        return _is_locked(shared_descriptor(os.path.realpath(database)), _DATABASE_BYTE)
    except OSError:
        return False


def _is_locked(fd: int, byte: int) -> bool:
    """Return whether another open file has locked a byte of the file."""
    return bool(_FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _byte_range(fcntl.F_RDLCK, byte)))[0] != fcntl.F_UNLCK)


def _byte_range(kind: int, byte: int, length: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, length, 0)


def _is_lock_file(fd: int) -> bool:
    """Return whether a file is empty or has the content of a lock file."""
    content = os.pread(fd, _FILE_BYTES + 1, 0)
    return len(content) <= _FILE_BYTES and (content.startswith(b"'dedup ") or not content.strip(b"\n\0"))


def _read_holder(fd: int) -> LockHolder | None:
    """Return the holder that a lock file names, None if it names none."""
    with suppress(OSError):
        lines = os.pread(fd, _FILE_BYTES, 0).split(b"\n")
        if lines[0].strip():
            health_path, activity = (*lines[1:3], b"", b"")[:2]
            return LockHolder(lines[0].decode("utf-8", "replace").strip(), os.fsdecode(health_path), activity.decode("utf-8", "replace"))
    return None
