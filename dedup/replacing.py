"""Files that are written as a whole: under a name of their own beside their place, durable there, and only then renamed. There is no
moment without a whole file, whatever happens on the way."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

PART = ".dedup-part-"
"""How the name of a file begins that is not finished."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of the names."""
OWN = (*BESIDE, ".lock", ".health", ".index", ".passages", ".search", *(".search" + end for end in BESIDE), ".compiled")
"""All that lies beside a database of ours, likewise."""


@contextmanager
def replaced(place: str) -> Iterator[BinaryIO]:
    """A file to be written that takes the place of `place` after the block, with the permissions of what stood there. If the block is
    left otherwise, nothing is left of it, and what stood there stands there still. Raises OSError."""
    folder = os.path.dirname(place)
    with part(folder) as (path, fd):
        os.fchmod(fd, _mode(place))
        with open(os.dup(fd), "wb") as file:
            yield file
            file.flush()
        os.fsync(fd)
        os.replace(path, place)
        sync_folder(place)


def _mode(place: str) -> int:
    """Permissions of a file, or where there is none, of one that is made now."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(place).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def part(folder: str) -> Iterator[tuple[str, int]]:
    """An empty file in `folder` that only its owner may read: its path, and a descriptor of it. It is gone after the block, unless
    it was renamed. Those that a killed process left are cleared away; a lock tells them from those that are in use."""
    _clear(folder)
    while True:
        fd, path = tempfile.mkstemp(prefix=PART, dir=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:  # else another one cleared it away before it was locked
                yield path, fd
                return
        finally:
            os.close(fd)
            _remove(path)


def _clear(folder: str) -> None:
    """Remove the unfinished files that nobody is at work on."""
    for name in os.listdir(folder):
        if not name.startswith(PART) or name.endswith(BESIDE):
            continue
        left = os.path.join(folder, name)
        with suppress(OSError):  # another one's, or gone by now
            fd = os.open(left, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)
            finally:
                os.close(fd)


def _remove(path: str) -> None:
    for name in (path, *(path + end for end in BESIDE)):
        with suppress(FileNotFoundError):
            os.unlink(name)


def sync_folder(path: str) -> None:
    """Have the names in the folder of `path` on the disk."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
