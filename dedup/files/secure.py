"""Files that are this user's own: made for nobody else, and never something that others put in their place."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator


def open_own(path: str, flags: int) -> int:
    """A descriptor of a file, made with mode 0600 where `flags` ask for it to be made. Raises OSError, also for what somebody may
    have put in its place: a link of either kind, a fifo, anything that is no file by itself."""
    fd = os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(fd)
        if not modes.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise OSError(errno.EPERM, "a link or something else that is no file of its own is in its place", path)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def own_folder(path: str) -> bool:
    """Whether `path` is a folder in which this user alone may write, and that nobody else can put another in the place of; it
    and what it lies in are made where they are missing."""
    try:
        for folder in _missing(path):
            os.mkdir(folder, 0o700)
        found = os.lstat(path)
    except OSError:
        return False
    private = modes.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & (modes.S_IWGRP | modes.S_IWOTH)
    return private and os.access(path, os.W_OK) and exposed(path) is None


def exposed(path: str) -> str | None:
    """The folder above a file, or the file itself, that everybody may write to (a sticky folder, like /tmp, does not count:
    nobody can put something in the place of another's file there); None where there is none."""
    real = os.path.realpath(path)
    for place in (real, *_above(real)):
        try:
            mode = os.stat(place).st_mode
        except OSError:
            continue
        if mode & modes.S_IWOTH and not (modes.S_ISDIR(mode) and mode & modes.S_ISVTX):
            return place
    return None


def _above(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def _missing(path: str) -> list[str]:
    """The folders on the way to `path`, itself included, that are not there; outermost first."""
    missing: list[str] = []
    for folder in (path, *_above(path)):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    return missing[::-1]
