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

from dedup.errors import DatabaseFailedError, DatabaseReplacedError, DatabaseTruncatedError, WalLostError, WalTruncatedError

_INDEX_HEADER = struct.Struct("=14xHII")
"""The page size, the valid frames of the log, and the pages of the database as of the last commit; from the index of the log."""
_CHECKPOINTED = struct.Struct("=96xI")
"""How many of those frames are copied back to the database."""
_FRAME_BYTES = 24
_LOG_HEADER_BYTES = 32

_log = logging.getLogger("dedup")


class _LogIndex(NamedTuple):
    page_bytes: int
    frame_count: int
    page_count: int
    checkpointed_frames: int


class OpenFiles:
    """What the files were when they were opened. Made after SQLite has opened all of them, and closed after SQLite has closed them:
    closing any descriptor of a file drops SQLite's locks on it."""

    def __init__(self, path: str) -> None:
        self._path = path
        real = os.path.realpath(path)
        self._side_paths = {end: real + end for end in ("-wal", "-shm")}
        self._database_stat = os.stat(path)
        self._size_bytes = self._database_stat.st_size
        self._side_stats = {end: os.stat(name) for end, name in self._side_paths.items() if os.path.exists(name)}
        self._index_bytes = self._side_stats["-shm"].st_size if "-shm" in self._side_stats else 0
        self._fd = os.open(self._side_paths["-shm"], os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if self._index_bytes else -1

    def close(self) -> None:
        """Close what was opened."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def check(self) -> None:
        """Raise an error if a file is not what it was; no transaction may be open.

        DatabaseFailedError: the database is not there. DatabaseReplacedError: another file is in its place. DatabaseTruncatedError: it
        was truncated. WalLostError: its log, or the index of that, was removed or replaced; the connection still has it.
        WalTruncatedError: its log was truncated.
        """
        try:
            current = os.stat(self._path)
        except OSError as error:
            raise DatabaseFailedError(path=self._path, problem=f"it is not there any more ({error.strerror})") from error
        if not os.path.samestat(current, self._database_stat):
            raise DatabaseReplacedError(path=self._path)
        if self._fd < 0:
            return
        self._restore_index_length()
        index = self._read_index()
        size_bytes = os.stat(self._path).st_size
        min_bytes = min(self._size_bytes, index.page_bytes * index.page_count) if index.page_count else self._size_bytes
        if size_bytes < min_bytes:
            raise DatabaseTruncatedError(
                path=self._path, problem=f"it was cut short to {size_bytes:,} of {min_bytes:,} bytes by something else"
            )
        self._size_bytes = size_bytes
        for suffix, side_path in self._side_paths.items():
            if not _is_same_file(side_path, self._side_stats[suffix]):
                raise WalLostError(path=self._path, log=side_path)
        self._check_log(index)

    def _check_log(self, index: _LogIndex) -> None:
        log_path = self._side_paths["-wal"]
        for _ in range(3):  # another program may copy the log back and truncate it between the two looks
            if index.checkpointed_frames >= index.frame_count:
                return
            needed_bytes = _LOG_HEADER_BYTES + index.frame_count * (_FRAME_BYTES + index.page_bytes)
            with suppress(FileNotFoundError):
                if os.stat(log_path).st_size >= needed_bytes:
                    return
            previous, index = index, self._read_index()
            if index == previous:
                raise WalTruncatedError(path=self._path, log=log_path)

    def _restore_index_length(self) -> None:
        """SQLite maps the index of the log, and reading beyond the end of a mapped file ends the process (SIGBUS). Zeros in its place
        make SQLite build it again from the log."""
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes < self._index_bytes:
            os.ftruncate(self._fd, self._index_bytes)
            _log.warning("%s was cut short by something else; it is made again from the log", self._side_paths["-shm"])
        else:
            self._index_bytes = size_bytes

    def _read_index(self) -> _LogIndex:
        raw = os.pread(self._fd, _CHECKPOINTED.size, 0)
        page_bytes, frame_count, page_count = _INDEX_HEADER.unpack_from(raw)
        (checkpointed_frames,) = _CHECKPOINTED.unpack(raw)
        return _LogIndex(1 << 16 if page_bytes == 1 else page_bytes, frame_count, page_count, checkpointed_frames)


def are_open(path: str) -> bool:
    """Whether this process still has the log of a database, or the index of that, open. False where /proc does not show it."""
    real = os.path.realpath(path)
    with suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)") in (real + "-wal", real + "-shm"):
                    return True
    return False


def _is_same_file(path: str, expected: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), expected)
    except OSError:
        return False
