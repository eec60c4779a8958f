"""File descriptors of this process: how many it may have, and errors that mean that there are none left."""

from __future__ import annotations

import errno
import resource

EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""Errors of this process or machine. They say nothing about the file that was asked for."""
MOST = 1 << 16
"""The soft limit is not raised beyond this: nothing here needs more."""


def is_exhausted(error: OSError) -> bool:
    """Whether the system had no descriptor or memory left. The file that was asked for may exist, and the call may be repeated."""
    return error.errno in EXHAUSTED


def raise_limit() -> int:
    """Raise this process's soft limit of open files to its hard limit, at most MOST. Returns the soft limit in force; never raises."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
