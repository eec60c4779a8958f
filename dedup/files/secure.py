"""Files that are this user's own: made for nobody else, and never something that others put in their place."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator


def open_private(path: str, flags: int) -> int:
    """A descriptor of a file, made with mode 0600 where `flags` ask for it to be made. Raises OSError, also for what somebody may
    have put in its place: a link of either kind, a fifo, anything that is no file by itself."""
    fd = os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(fd)
        if not modes.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EPERM, "a link or something else that is no file of its own is in its place", path)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def ensure_private_folder(path: str) -> bool:
    """Whether `path` is a folder in which this user alone may write, and that nobody else can put another in the place of; it
    and what it lies in are made where they are missing."""
    try:
        for folder in _missing_folders(path):
            os.mkdir(folder, 0o700)
        status = os.lstat(path)
    except OSError:
        return False
    is_private = modes.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & (modes.S_IWGRP | modes.S_IWOTH)
    return is_private and os.access(path, os.W_OK) and find_world_writable(path) is None


def find_world_writable(path: str) -> str | None:
    """The folder above a file, or the file itself, that everybody may write to (a sticky folder, like /tmp, does not count:
    nobody can put something in the place of another's file there); None where there is none."""
    real = os.path.realpath(path)
    for candidate in (real, *_parent_folders(real)):
        try:
            mode = os.stat(candidate).st_mode
        except OSError:
            continue
        if mode & modes.S_IWOTH and not (modes.S_ISDIR(mode) and mode & modes.S_ISVTX):
            return candidate
    return None


def _parent_folders(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _missing_folders(path: str) -> list[str]:
    """The folders on the way to `path`, itself included, that are not there; outermost first."""
    missing: list[str] = []
    for folder in (path, *_parent_folders(path)):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    return missing[::-1]
