"""Files that only this user may read and write, and that no other user can replace by a link or a device."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator


def open_private(path: str, flags: int) -> int:
    """Return a descriptor of the file at `path`, opened with `flags`; a new file has mode 0600.

    Raises OSError, also if the file is a symbolic link, has several hard links, or is not a regular file.
    """
    fd = os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(fd)
        if not modes.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EPERM, "it is a link or not a regular file", path)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def ensure_private_folder(path: str) -> bool:
    """Create `path` and missing folders above it with mode 0700. Return whether only this user can write to the folder or replace it."""
    try:
        for folder in _missing_folders(path):
            os.mkdir(folder, 0o700)
        status = os.lstat(path)
    except OSError:
        return False
    is_private = modes.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & (modes.S_IWGRP | modes.S_IWOTH)
    return is_private and os.access(path, os.W_OK) and find_world_writable(path) is None


def find_world_writable(path: str) -> str | None:
    """Return the file, or the nearest folder above it, that every user may write to; else None.

    A sticky folder such as /tmp does not count: users cannot replace each other's files there.
    """
    real = os.path.realpath(path)
    for candidate in (real, *parent_folders(real)):
        try:
            mode = os.stat(candidate).st_mode
        except OSError:
            continue
        if mode & modes.S_IWOTH and not (modes.S_ISDIR(mode) and mode & modes.S_ISVTX):
            return candidate
    return None


def parent_folders(path: str) -> Iterator[str]:
    """Yield the folders above `path`, innermost first, up to `/`."""
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _missing_folders(path: str) -> list[str]:
    """The missing folders on the way to `path`, itself included, outermost first."""
    missing: list[str] = []
    for folder in (path, *parent_folders(path)):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    return missing[::-1]
