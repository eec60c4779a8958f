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
from dedup.store.descriptors import kept_open
from dedup.text import times

_SIZE = 2048
"""Bytes of the file, always: on a full disk it can still be written over."""
_RANGE = struct.Struct("@hhqqi4x")
"""A range of bytes to lock, as the kernel takes it: kind, whence, first, how many, process."""
_MUTE, _WRITES = 0, 1
"""Bytes of the file, and what it means that they are locked."""
_OWNED = 1 << 62
"""Byte of the database that its writer locks too: the lock file can be removed, or copied back. SQLite locks other bytes."""
_SHARED, _SHARED_BYTES = 0x4000_0002, 510
"""Bytes of the database that SQLite locks to use it, and must have for itself to copy the log back and remove it when it closes."""
_UNNAMED = "another process, whose lock file was removed"

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Held:
    """What the lock's file says: `holder` as it calls itself, where it reports (a path, or empty), what it is `doing` (or
    empty). Of a process that was killed the file still says so. `mute`: it runs, and cannot write its reports."""

    holder: str
    health: str = ""
    doing: str = ""
    mute: bool = False

    @property
    def process(self) -> int | None:
        """Its process number; None where it did not say."""
        named = re.search(r"\(process (\d{1,9}),", self.holder)
        return int(named[1]) if named else None


class Lock:
    """An advisory lock on `<database>.lock` and on a byte of the database, of the open files (fcntl(2), F_OFD_SETLK): the kernel
    releases it when the process ends, however it ends, and can be asked for it by others who do not take it themselves. `left` is what
    the last holder left behind if it did not end by itself. Release it after every connection to the database was closed: closing a
    descriptor of the database drops the locks of SQLite."""

    def __init__(self, database: str, purpose: str) -> None:
        """Take the lock; raises DatabaseBusyError naming the process that holds it."""
        self.path = _beside(database)
        self._database = -1
        self._fd = self._open(database)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, _WRITES))
        except OSError:
            found = _read(self._fd)
            os.close(self._fd)
            raise DatabaseBusyError(path=database, holder=found.holder if found else "another process") from None
        if not _is_lock(self._fd):
            os.close(self._fd)
            raise DatabaseUnreadableError(path=database, problem=f"{self.path}, where its lock would be, is a file of something else")
        try:
            self._own(database)
        except BaseException:
            os.close(self._fd)
            raise
        self.left = _read(self._fd)
        self._held = Held(f"'dedup {purpose}' (process {os.getpid()}, since {times.now()})")
        self._muted = False
        self._write()

    def _open(self, database: str) -> int:
        try:
            return secure.open_own(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise DatabaseUnreadableError(
                path=database, problem=f"its lock {self.path} cannot be made: {disk_errors.explained(error, database)}"
            ) from error

    def _own(self, database: str) -> None:
        """Lock the byte of the database; where there is none yet (it is being restored) or it cannot be written, the lock file alone
        has to do."""
        try:
            fd = os.open(os.path.realpath(database), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, _OWNED))
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DatabaseBusyError(path=database, holder=_UNNAMED) from None
            return
        self._database = fd

    def keep(self) -> None:
        """Make the lock file again if it was removed or replaced. Nobody can have written meanwhile: this process holds the byte of the
        database too. Raises DatabaseLockLostError where it does not, DatabaseUnreadableError where the file cannot be made, and
        DatabaseFailedError where another process holds the new one."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self._fd)):
                return
        database = self.path.removesuffix(".lock")
        if self._database < 0:
            raise DatabaseLockLostError(path=database, lock=self.path)
        fd = self._open(database)
        for attempt in range(20, -1, -1):  # a process that tries to become the writer has it for a moment
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, _WRITES))
                break
            except OSError:
                if not attempt:
                    os.close(fd)
                    raise DatabaseFailedError(path=database, problem=f"another process holds its lock {self.path}") from None
                time.sleep(0.01)
        os.close(self._fd)
        self._fd = fd
        self._write()
        self.mute(on=self._muted)
        _log.warning("%s was removed or replaced by something else; it was made again", self.path)

    def leave_files(self) -> None:
        """Keep SQLite from copying the log back, and from removing it, when the connection is closed."""
        if self._database >= 0:
            with suppress(OSError):
                fcntl.fcntl(self._database, fcntl.F_OFD_SETLK, _range(fcntl.F_RDLCK, _SHARED, _SHARED_BYTES))

    @property
    def at(self) -> str:
        """What this process said last that it is at."""
        return self._held.doing

    def report_in(self, health: str) -> None:
        """Tell where this process reports how it is."""
        self._held = Held(self._held.holder, health)
        self._write()

    def doing(self, what: str) -> None:
        """Tell what this process is at; empty: nothing that could be lost. Some microseconds."""
        self._held = Held(self._held.holder, self._held.health, what)
        self._write()

    def mute(self, *, on: bool) -> None:
        """Tell that reports cannot be written now, or can again. On a file system that takes no writing this can still be told: by a
        lock on a byte of the file (fcntl(2), F_OFD_SETLK)."""
        self._muted = on
        with suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK if on else fcntl.F_UNLCK, _MUTE))

    def release(self) -> None:
        """Let go; the file stays and says nothing."""
        with suppress(OSError):
            os.pwrite(self._fd, b"\n" * _SIZE, 0)
        os.close(self._fd)
        if self._database >= 0:
            os.close(self._database)

    def _write(self) -> None:
        h = self._held
        told = b"\n".join((h.holder.encode(), os.fsencode(h.health), h.doing.encode("utf-8", "backslashreplace")[:1000]))
        with suppress(OSError):
            os.pwrite(self._fd, told.ljust(_SIZE, b"\n")[:_SIZE], 0)


def held(database: str) -> Held | None:
    """Who writes to the database now; None if nobody does."""
    return _look(database)[0]


def left_behind(database: str) -> Held | None:
    """What the last holder left, if nobody writes now and it did not end by itself."""
    return _look(database)[1]


def _beside(database: str) -> str:
    """One lock for one database, by whatever link it is reached."""
    return os.path.realpath(database) + ".lock"


def _look(database: str) -> tuple[Held | None, Held | None]:
    """(who holds the lock, who held it last and was killed)."""
    try:
        fd = secure.open_own(_beside(database), os.O_RDONLY)
    except OSError as error:
        if is_exhausted(error):
            raise  # a writer may hold it all the same
        return Held(_UNNAMED) if _is_owned(database) else None, None
    try:
        if _is_locked(fd, _WRITES):  # by asking alone: whoever begins to write must not meet one who only looks
            return replace(_read(fd) or Held("another process"), mute=_is_locked(fd, _MUTE)), None
        left = _read(fd)
    finally:
        os.close(fd)
    return (Held(_UNNAMED), None) if _is_owned(database) else (None, left)


def _is_owned(database: str) -> bool:
    """Whether a process that writes holds the byte of the database."""
    try:
        return _is_locked(kept_open(os.path.realpath(database)), _OWNED)
    except OSError:
        return False


def _is_locked(fd: int, byte: int) -> bool:
    """Whether somebody else has locked a byte of the file."""
    return bool(_RANGE.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _range(fcntl.F_RDLCK, byte)))[0] != fcntl.F_UNLCK)


def _range(kind: int, byte: int, number: int = 1) -> bytes:
    return _RANGE.pack(kind, os.SEEK_SET, byte, number, 0)


def _is_lock(fd: int) -> bool:
    """Whether a file is empty, or holds what a lock says."""
    held = os.pread(fd, _SIZE + 1, 0)
    return len(held) <= _SIZE and (held.startswith(b"'dedup ") or not held.strip(b"\n\0"))


def _read(fd: int) -> Held | None:
    with suppress(OSError):
        lines = os.pread(fd, _SIZE, 0).split(b"\n")
        if lines[0].strip():
            health, doing = (*lines[1:3], b"", b"")[:2]
            return Held(lines[0].decode("utf-8", "replace").strip(), os.fsdecode(health), doing.decode("utf-8", "replace"))
    return None
