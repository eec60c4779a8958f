"""Files that are written as a whole: under a name of their own beside their place, durable there, and only then renamed. There is no
moment without a whole file, whatever happens on the way."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

PART_PREFIX = ".dedup-part-"
"""How the name of a file begins that is not finished."""
SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of the names."""
DATABASE_SUFFIXES = (
    *SQLITE_SUFFIXES,
    ".lock",
    ".health",
    ".index",
    ".passages",
    ".search",
    *(".search" + end for end in SQLITE_SUFFIXES),
    ".compiled",
)
"""All that lies beside a database of ours, likewise."""


ReplaceCheck = Callable[[int | None], None]
"""Gets a descriptor for reading of the file that is to be replaced (None: there is none) and raises what keeps it from being replaced."""


@dataclass(frozen=True, slots=True)
class PartFile:
    """A file that is not finished: its path, a descriptor of it, and one of the folder that it is in."""

    path: str
    fd: int
    folder_fd: int

    def move_to(self, target: str) -> None:
        """Rename it to `target`, a path in the same folder, and have the new name on the disk. Raises OSError."""
        os.rename(os.path.basename(self.path), os.path.basename(target), src_dir_fd=self.folder_fd, dst_dir_fd=self.folder_fd)
        os.fsync(self.folder_fd)


def _allow_any(_: int | None) -> None:
    """Whatever is there may be replaced."""


@contextmanager
def replace_atomically(path: str, check: ReplaceCheck = _allow_any, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file to be written that takes the place of `path` after the block; `path` is a path without links. If the block is left
    otherwise, nothing is left of it, and what was at `path` is there still.

    What is at `path` is shown to `check` before anything is written, and again just before it is replaced. A link that was put at
    `path`, or in place of a folder above it, is not followed. The file has `mode`, or the permissions of what it replaces. Raises
    OSError.
    """
    name = os.path.basename(path)
    with create_part(os.path.dirname(path)) as part_file:
        with _open_existing(part_file.folder_fd, name) as existing_fd:
            check(existing_fd)
            os.fchmod(part_file.fd, _choose_mode(existing_fd) if mode is None else mode)
        with open(os.dup(part_file.fd), "wb") as file:
            yield file
            file.flush()
        os.fsync(part_file.fd)
        with _open_existing(part_file.folder_fd, name) as existing_fd:
            check(existing_fd)
        part_file.move_to(path)


@contextmanager
def _open_existing(folder_fd: int, name: str) -> Iterator[int | None]:
    """A descriptor of the file of that name, if there is one. Raises OSError for a link and for what is no regular file."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
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


def _choose_mode(existing_fd: int | None) -> int:
    """Permissions of a file, or where there is none, of one that is made now."""
    if existing_fd is not None:
        return stat.S_IMODE(os.fstat(existing_fd).st_mode)
    return 0o666 & ~_read_umask()


def _read_umask() -> int:
    """Return this process's umask without changing it; 0o077 if /proc does not show it."""
    try:
        with open("/proc/self/status", "rb") as file:
            match = re.search(rb"^Umask:\t([0-7]+)", file.read(), re.MULTILINE)
    except OSError:
        match = None
    return int(match[1], 8) if match else 0o077


@contextmanager
def create_part(folder: str) -> Iterator[PartFile]:
    """An empty file in `folder` that only its owner may read. It is gone after the block, unless it was renamed. Those that a killed
    process left are cleared away; a lock tells them from those that are in use. Raises OSError."""
    folder_fd = open_folder(folder)
    try:
        _remove_stale_parts(folder_fd)
        while True:
            name = PART_PREFIX + secrets.token_hex(8)
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink:  # else another process cleared it away before it was locked
                    yield PartFile(os.path.join(folder, name), fd, folder_fd)
                    return
            finally:
                os.close(fd)
                _unlink_with_sidecars(folder_fd, name)
    finally:
        os.close(folder_fd)


def open_folder(path: str) -> int:
    """A descriptor of the folder at `path`, a path without links; one that was put into it meanwhile is not followed. Raises OSError."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open("/", os.O_PATH | flags)
    try:
        for name in (*(name for name in os.path.abspath(path).split("/") if name), "."):
            next_fd = os.open(name, (os.O_RDONLY if name == "." else os.O_PATH) | flags, dir_fd=fd)
            os.close(fd)
            fd = next_fd
    except OSError as error:
        os.close(fd)
        error.filename = path
        raise
    return fd


def _remove_stale_parts(folder_fd: int) -> None:
    """Remove the unfinished files that nobody is at work on."""
    for name in os.listdir(folder_fd):
        if not name.startswith(PART_PREFIX) or name.endswith(SQLITE_SUFFIXES):
            continue
        with suppress(OSError):  # another user's, or gone by now
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _unlink_with_sidecars(folder_fd, name)
            finally:
                os.close(fd)


def _unlink_with_sidecars(folder_fd: int, name: str) -> None:
    for file_name in (name, *(name + end for end in SQLITE_SUFFIXES)):
        with suppress(FileNotFoundError):
            os.unlink(file_name, dir_fd=folder_fd)


def sync_folder(path: str) -> None:
    """Have the names in the folder of `path` on the disk."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
