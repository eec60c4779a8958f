"""The files of a database that is open for writing: the database, its log (`-wal`) and the index of that (`-shm`), which SQLite maps.

SQLite keeps using the files that it opened, whatever happens to their names. A tidy-up of `*-wal`, a folder copied back or a file cut
short goes unnoticed, and what is written afterwards is lost or does damage. `OpenFiles.check` notices. It costs some microseconds.
https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import logging
import os
import struct
from contextlib import suppress
from typing import NamedTuple

from dedup.errors import DatabaseCutShortError, DatabaseFailedError, DatabaseLogCutShortError, DatabaseLogLostError, DatabaseReplacedError

_HEADER = struct.Struct("=14xHII")
"""The page size, the valid frames of the log, and the pages of the database as of the last commit; from the index of the log."""
_COPIED = struct.Struct("=96xI")
"""How many of those frames are copied back to the database."""
_FRAME_BYTES = 24
_LOG_HEADER = 32

_log = logging.getLogger("dedup")


class _Index(NamedTuple):
    page: int
    frames: int
    pages: int
    copied: int


class OpenFiles:
    """What the files were when they were opened. Made after SQLite has opened all of them, and closed after SQLite has closed them:
    closing any descriptor of a file drops SQLite's locks on it."""

    def __init__(self, path: str) -> None:
        self._path = path
        real = os.path.realpath(path)
        self._names = {end: real + end for end in ("-wal", "-shm")}
        self._database = os.stat(path)
        self._size = self._database.st_size
        self._beside = {end: os.stat(name) for end, name in self._names.items() if os.path.exists(name)}
        self._index_size = self._beside["-shm"].st_size if "-shm" in self._beside else 0
        self._fd = os.open(self._names["-shm"], os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if self._index_size else -1

    def close(self) -> None:
        """Close what was opened."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def check(self) -> None:
        """Raise an error if a file is not what it was; no transaction may be open.

        DatabaseFailedError: the database is not there. DatabaseReplacedError: another file is in its place. DatabaseCutShortError: it
        was truncated. DatabaseLogLostError: its log, or the index of that, was removed or replaced; the connection still has it.
        DatabaseLogCutShortError: its log was truncated.
        """
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise DatabaseFailedError(path=self._path, problem=f"it is not there any more ({error.strerror})") from error
        if not os.path.samestat(found, self._database):
            raise DatabaseReplacedError(path=self._path)
        if self._fd < 0:
            return
        self._keep_index_whole()
        index = self._index()
        size = os.stat(self._path).st_size
        least = min(self._size, index.page * index.pages) if index.pages else self._size
        if size < least:
            raise DatabaseCutShortError(path=self._path, problem=f"it was cut short to {size:,} of {least:,} bytes by something else")
        self._size = size
        for end, name in self._names.items():
            if not _is_at(name, self._beside[end]):
                raise DatabaseLogLostError(path=self._path, log=name)
        self._check_log(index)

    def _check_log(self, index: _Index) -> None:
        name = self._names["-wal"]
        for _ in range(3):  # another program may copy the log back and truncate it between the two looks
            if index.copied >= index.frames:
                return
            needed = _LOG_HEADER + index.frames * (_FRAME_BYTES + index.page)
            with suppress(FileNotFoundError):
                if os.stat(name).st_size >= needed:
                    return
            before, index = index, self._index()
            if index == before:
                raise DatabaseLogCutShortError(path=self._path, log=name)

    def _keep_index_whole(self) -> None:
        """SQLite maps the index of the log, and reading beyond the end of a mapped file ends the process (SIGBUS). Zeros in its place
        make SQLite build it again from the log."""
        size = os.fstat(self._fd).st_size
        if size < self._index_size:
            os.ftruncate(self._fd, self._index_size)
            _log.warning("%s was cut short by something else; it is made again from the log", self._names["-shm"])
        else:
            self._index_size = size

    def _index(self) -> _Index:
        raw = os.pread(self._fd, _COPIED.size, 0)
        page, frames, pages = _HEADER.unpack_from(raw)
        (copied,) = _COPIED.unpack(raw)
        return _Index(1 << 16 if page == 1 else page, frames, pages, copied)


def are_open(path: str) -> bool:
    """Whether this process still has the log of a database, or the index of that, open. False where /proc does not show it."""
    real = os.path.realpath(path)
    with suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)") in (real + "-wal", real + "-shm"):
                    return True
    return False


def _is_at(path: str, was: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), was)
    except OSError:
        return False
