"""File descriptors of this process: how many it may have, and errors that mean that there are none left."""

from __future__ import annotations

import errno
import resource

EXHAUSTION_ERRNOS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""Errors of this process or machine. They say nothing about the file that was asked for."""
MAX_OPEN_FILES = 1 << 16
"""The soft limit is not raised beyond this: nothing here needs more."""


def is_exhausted(error: OSError) -> bool:
    """Whether the system had no descriptor or memory left. The file that was asked for may exist, and the call may be repeated."""
    return error.errno in EXHAUSTION_ERRNOS


def raise_open_file_limit() -> int:
    """Raise this process's soft limit of open files to its hard limit, at most MOST. Returns the soft limit in force; never raises."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):
        return soft
    return target
