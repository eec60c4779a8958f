"""Descriptors of database files that stay open.

A process that closes any descriptor of a file loses all its POSIX locks on that file (fcntl(2)). Opening a database to read its header and
closing it again would drop the locks that SQLite holds for another connection of the process.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_MAX_DESCRIPTORS = 16
_descriptors: dict[tuple[int, int], int] = {}
_connection_counts: Counter[str] = Counter()
_unneeded_descriptors: dict[str, list[int]] = {}
_lock = threading.Lock()


@contextmanager
def connected(path: str) -> Iterator[None]:
    """Within the block, a connection of this process may have the database at `path` open."""
    database = os.path.realpath(path)
    with _lock:
        _connection_counts[database] += 1
    try:
        yield
    finally:
        with _lock:
            _connection_counts[database] -= 1
            _close_unneeded(database)


def close_after_connections(path: str, fd: int) -> None:
    """Close a descriptor of a database, or of the index of its log, as soon as no connection of this process has the database open."""
    database = os.path.realpath(path)
    with _lock:
        _unneeded_descriptors.setdefault(database, []).append(fd)
        _close_unneeded(database)


def _close_unneeded(database: str) -> None:
    if _connection_counts[database] == 0:
        del _connection_counts[database]
        for fd in _unneeded_descriptors.pop(database, ()):
            os.close(fd)


def shared_descriptor(path: str) -> int:
    """Return a read-only descriptor of a regular file, shared within the process. Never close it. Raises OSError."""
    with _lock:
        file_stat = os.stat(path)
        if not stat.S_ISREG(file_stat.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        if (file_stat.st_dev, file_stat.st_ino) not in _descriptors:
            if len(_descriptors) >= _MAX_DESCRIPTORS:
                os.close(_descriptors.pop(next(iter(_descriptors))))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            file_stat = os.fstat(fd)  # another file may be in its place by now
            _descriptors[file_stat.st_dev, file_stat.st_ino] = fd
        return _descriptors[file_stat.st_dev, file_stat.st_ino]
