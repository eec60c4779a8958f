"""Descriptors of database files that stay open.

A process that closes any descriptor of a file loses all its POSIX locks on that file (fcntl(2)). Opening a database to read its header and
closing it again would drop the locks that SQLite holds for another connection of the process.
"""

from __future__ import annotations

import errno
import os
import stat
import threading

_MAX_DESCRIPTORS = 16
_descriptors: dict[tuple[int, int], int] = {}
_lock = threading.Lock()


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
