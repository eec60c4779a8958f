"""Detect that the files of a database that is open for writing were removed, replaced or truncated by another program.

The files are the database, its log (`-wal`) and the index of the log (`-shm`), which SQLite maps. SQLite keeps using the files that it
opened, whatever happens to their names: it does not notice that another program deleted `*-wal`, copied a folder back or truncated a file,
and what it writes afterwards is lost or does damage. `OpenFiles.check` notices, in a few microseconds.
https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import logging
import os
import struct
from contextlib import suppress
from typing import NamedTuple

from dedup.errors import DatabaseFailedError, DatabaseReplacedError, DatabaseTruncatedError, WalLostError, WalTruncatedError
from dedup.store.descriptors import close_after_connections

_INDEX_HEADER = struct.Struct("=14xHII")
"""In the index of the log: page size, valid frames of the log, and pages of the database as of the last commit."""
_CHECKPOINTED = struct.Struct("=96xI")
"""In the index of the log: number of frames that were copied back to the database."""
_FRAME_BYTES = 24
_LOG_HEADER_BYTES = 32

_log = logging.getLogger("dedup")


class _LogIndex(NamedTuple):
    page_bytes: int
    frame_count: int
    page_count: int
    checkpointed_frames: int


class OpenFiles:
    """The state of the files when they were opened. Create it after SQLite has opened all of them, and close it after SQLite has closed
    them."""

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
        """Close the descriptor of the log's index."""
        if self._fd >= 0:
            close_after_connections(self._path, self._fd)
            self._fd = -1

    def check(self) -> None:
        """Raise an error if a file is not the one that was opened. No transaction may be open.

        DatabaseFailedError: the database does not exist. DatabaseReplacedError: another file is in its place. DatabaseTruncatedError: it
        was truncated. WalLostError: its log, or the index of the log, was removed or replaced; the connection still has it.
        WalTruncatedError: its log was truncated.
        """
        try:
            current = os.stat(self._path)
        except OSError as error:
            raise DatabaseFailedError(path=self._path, problem=f"it no longer exists ({error.strerror})") from error
        if not os.path.samestat(current, self._database_stat):
            raise DatabaseReplacedError(path=self._path)
        if self._fd < 0:
            return
        self._restore_index_length()
        index = self._read_index()
        size_bytes = os.stat(self._path).st_size
        min_bytes = min(self._size_bytes, index.page_bytes * index.page_count) if index.page_count else self._size_bytes
        if size_bytes < min_bytes:
            raise DatabaseTruncatedError(path=self._path, problem=f"another program truncated it to {size_bytes:,} of {min_bytes:,} bytes")
        self._size_bytes = size_bytes
        for suffix, side_path in self._side_paths.items():
            if not _is_same_file(side_path, self._side_stats[suffix]):
                raise WalLostError(path=self._path, log=side_path)
        self._check_log(index)

    def _check_log(self, index: _LogIndex) -> None:
        log_path = self._side_paths["-wal"]
        for _ in range(3):  # another program may copy the log back and truncate it between the two reads
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
        """Extend a truncated index of the log with zeros, from which SQLite rebuilds it.

        SQLite maps the file, and reading beyond the end of a mapped file ends the process (SIGBUS).
        """
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes < self._index_bytes:
            os.ftruncate(self._fd, self._index_bytes)
            _log.warning("another program truncated %s; SQLite rebuilds it from the log", self._side_paths["-shm"])
        else:
            self._index_bytes = size_bytes

    def _read_index(self) -> _LogIndex:
        raw = os.pread(self._fd, _CHECKPOINTED.size, 0)
        page_bytes, frame_count, page_count = _INDEX_HEADER.unpack_from(raw)
        (checkpointed_frames,) = _CHECKPOINTED.unpack(raw)
        return _LogIndex(1 << 16 if page_bytes == 1 else page_bytes, frame_count, page_count, checkpointed_frames)


def are_open(path: str) -> bool:
    """Return whether this process still has the log of a database, or the index of the log, open. False if /proc does not show it."""
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
