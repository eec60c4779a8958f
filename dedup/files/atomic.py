"""Files that are written as a whole: under a name of their own beside their place, durable there, and only then renamed. There is no
moment without a whole file, whatever happens on the way."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

PART = ".dedup-part-"
"""How the name of a file begins that is not finished."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of the names."""
OWN = (*BESIDE, ".lock", ".health", ".index", ".passages", ".search", *(".search" + end for end in BESIDE), ".compiled")
"""All that lies beside a database of ours, likewise."""


Check = Callable[[int | None], None]
"""Gets a descriptor for reading of the file that is to be replaced (None: there is none) and raises what keeps it from being replaced."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is not finished: its path, a descriptor of it, and one of the folder that it is in."""

    path: str
    fd: int
    folder: int

    def take_place(self, place: str) -> None:
        """Rename it to `place`, a path in the same folder, and have the new name on the disk. Raises OSError."""
        os.rename(os.path.basename(self.path), os.path.basename(place), src_dir_fd=self.folder, dst_dir_fd=self.folder)
        os.fsync(self.folder)


def _anything(_: int | None) -> None:
    """Whatever is there may be replaced."""


@contextmanager
def replaced(place: str, check: Check = _anything, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file to be written that takes the place of `place` after the block; `place` is a path without links. If the block is left
    otherwise, nothing is left of it, and what was at `place` is there still.

    What is at `place` is shown to `check` before anything is written, and again just before it is replaced. A link that was put at
    `place`, or in place of a folder above it, is not followed. The file has `mode`, or the permissions of what it replaces. Raises
    OSError.
    """
    name = os.path.basename(place)
    with part(os.path.dirname(place)) as new:
        with _existing(new.folder, name) as there:
            check(there)
            os.fchmod(new.fd, _mode(there) if mode is None else mode)
        with open(os.dup(new.fd), "wb") as file:
            yield file
            file.flush()
        os.fsync(new.fd)
        with _existing(new.folder, name) as there:
            check(there)
        new.take_place(place)


@contextmanager
def _existing(folder: int, name: str) -> Iterator[int | None]:
    """A descriptor of the file of that name, if there is one. Raises OSError for a link and for what is no regular file."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link was put in its place", name) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EPERM, "what is in its place is no regular file", name)
        yield fd
    finally:
        os.close(fd)


def _mode(there: int | None) -> int:
    """Permissions of a file, or where there is none, of one that is made now."""
    if there is not None:
        return stat.S_IMODE(os.fstat(there).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def part(folder: str) -> Iterator[Part]:
    """An empty file in `folder` that only its owner may read. It is gone after the block, unless it was renamed. Those that a killed
    process left are cleared away; a lock tells them from those that are in use. Raises OSError."""
    where = open_folder(folder)
    try:
        _clear(where)
        while True:
            name = PART + secrets.token_hex(8)
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=where)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink:  # else another process cleared it away before it was locked
                    yield Part(os.path.join(folder, name), fd, where)
                    return
            finally:
                os.close(fd)
                _remove(where, name)
    finally:
        os.close(where)


def open_folder(path: str) -> int:
    """A descriptor of the folder at `path`, a path without links; one that was put into it meanwhile is not followed. Raises OSError."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open("/", os.O_PATH | flags)
    try:
        for name in (*(name for name in os.path.abspath(path).split("/") if name), "."):
            inner = os.open(name, (os.O_RDONLY if name == "." else os.O_PATH) | flags, dir_fd=fd)
            os.close(fd)
            fd = inner
    except OSError as error:
        os.close(fd)
        error.filename = path
        raise
    return fd


def _clear(folder: int) -> None:
    """Remove the unfinished files that nobody is at work on."""
    for name in os.listdir(folder):
        if not name.startswith(PART) or name.endswith(BESIDE):
            continue
        with suppress(OSError):  # another user's, or gone by now
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder, name)
            finally:
                os.close(fd)


def _remove(folder: int, name: str) -> None:
    for each in (name, *(name + end for end in BESIDE)):
        with suppress(FileNotFoundError):
            os.unlink(each, dir_fd=folder)


def sync_folder(path: str) -> None:
    """Have the names in the folder of `path` on the disk."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
