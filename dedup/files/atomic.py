"""Atomic writes: a file is written under a temporary name in the target's folder, and then renamed.

At any moment, also after a crash, the target is the whole old file or the whole new one. Temporary names begin with `PART_PREFIX`. A
lock (flock(2)) marks a temporary file as in use, so that those of killed processes can be removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

PART_PREFIX = ".dedup-part-"
"""The start of a temporary name."""
SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps next to a database."""
DATABASE_SUFFIXES = (
    *SQLITE_SUFFIXES,
    ".lock",
    ".health",
    ".index",
    ".passages",
    ".search",
    *(".search" + suffix for suffix in SQLITE_SUFFIXES),
    ".compiled",
)
"""Suffixes of everything that dedup and SQLite keep next to a database."""


ReplaceCheck = Callable[[int | None], None]
"""Receives a readable descriptor of the file that is about to be replaced (None: there is no file). It raises to prevent that."""


class PartFile:
    """A temporary file, for its owner alone to read and write: its path, its descriptor, and a descriptor of its folder.

    It is removed by `discard`, or with this object, unless `move_to` has renamed it.
    """

    def __init__(self, path: str, fd: int, folder_fd: int) -> None:
        self.path, self.fd, self.folder_fd = path, fd, folder_fd
        self._discard = weakref.finalize(self, _close_and_unlink, fd, folder_fd, os.path.basename(path))

    @classmethod
    def create(cls, folder: str) -> PartFile:
        """Create an empty temporary file in `folder`, a path without links, and remove those of killed processes. Raises OSError."""
        folder_fd = open_folder(folder)
        try:
            _remove_stale_parts(folder_fd)
            while True:
                name = PART_PREFIX + secrets.token_hex(8)
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX)
                    is_linked = os.fstat(fd).st_nlink > 0
                except OSError:
                    os.close(fd)
                    _unlink_with_sidecars(folder_fd, name)
                    raise
                if is_linked:
                    return cls(os.path.join(folder, name), fd, folder_fd)
                os.close(fd)  # another process removed it before it was locked
        except BaseException:
            os.close(folder_fd)
            raise

    def move_to(self, target: str, *, durable: bool = True) -> None:
        """Rename the file to `target`, a path in the same folder. With `durable`, wait until the new name is on the disk. Raises OSError.

        The content is not synced here.
        """
        os.replace(os.path.basename(self.path), os.path.basename(target), src_dir_fd=self.folder_fd, dst_dir_fd=self.folder_fd)
        if durable:
            os.fsync(self.folder_fd)

    def discard(self) -> None:
        """Close the descriptors, and remove the file unless it was renamed. May be called more than once."""
        self._discard()


@contextmanager
def create_part(folder: str) -> Iterator[PartFile]:
    """Create a temporary file in `folder`, a path without links. After the block it is gone unless it was renamed. Raises OSError."""
    part = PartFile.create(folder)
    try:
        yield part
    finally:
        part.discard()


def _allow_any(_: int | None) -> None:
    """A `ReplaceCheck` that prevents nothing."""


@contextmanager
def replace_atomically(path: str, check: ReplaceCheck = _allow_any, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path`, a path without links, after the block. Raises OSError.

    If the block raises, the file at `path` is unchanged. `check` is called with that file before anything is written, and again just
    before it is replaced. No symbolic link is followed, neither at `path` nor in place of a folder above it. The new file has `mode`,
    else the mode of the file that it replaces. Content and name are on the disk afterwards.
    """
    name = os.path.basename(path)
    with create_part(os.path.dirname(path)) as part:
        with _open_existing(part.folder_fd, name) as existing_fd:
            check(existing_fd)
            os.fchmod(part.fd, _choose_mode(existing_fd) if mode is None else mode)
        with open(os.dup(part.fd), "wb") as file:
            yield file
            file.flush()
        os.fsync(part.fd)
        with _open_existing(part.folder_fd, name) as existing_fd:
            check(existing_fd)
        part.move_to(path)


@contextmanager
def _open_existing(folder_fd: int, name: str) -> Iterator[int | None]:
    """A readable descriptor of the file of that name; None if it does not exist. Raises OSError for anything but a regular file."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link was put in its place", name) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EPERM, "it is not a regular file", name)
        yield fd
    finally:
        os.close(fd)


def _choose_mode(existing_fd: int | None) -> int:
    """The mode of an existing file, or the mode that the umask gives a new one."""
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


def copy_ownership(fd: int, path: str) -> None:
    """Give a file the mode of the file at `path`, and its owner if this process may. Does nothing if there is no file."""
    with suppress(FileNotFoundError):
        existing = os.stat(path)
        with suppress(PermissionError):
            os.fchown(fd, existing.st_uid, existing.st_gid)
        os.fchmod(fd, stat.S_IMODE(existing.st_mode))


def open_folder(path: str) -> int:
    """Return a descriptor of the folder at `path`, a path without links; a link that was put into it since is not followed.

    Raises OSError.
    """
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


def sync_folder(path: str) -> None:
    """Wait until the names in the folder of the file at `path` are on the disk. Raises OSError."""
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_stale_parts(folder_fd: int) -> None:
    """Remove the temporary files that no process has locked."""
    for name in os.listdir(folder_fd):
        if not name.startswith(PART_PREFIX) or name.endswith(SQLITE_SUFFIXES):
            continue
        with suppress(OSError):  # it belongs to another user, is in use, or is gone by now
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _unlink_with_sidecars(folder_fd, name)
            finally:
                os.close(fd)


def _close_and_unlink(fd: int, folder_fd: int, name: str) -> None:
    os.close(fd)
    try:
        _unlink_with_sidecars(folder_fd, name)
    finally:
        os.close(folder_fd)


def _unlink_with_sidecars(folder_fd: int, name: str) -> None:
    for file_name in (name, *(name + suffix for suffix in SQLITE_SUFFIXES)):
        with suppress(FileNotFoundError):
            os.unlink(file_name, dir_fd=folder_fd)
