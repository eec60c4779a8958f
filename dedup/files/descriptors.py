"""File descriptors of this process: raise their limit, and recognise errors that mean that none is left."""

from __future__ import annotations

import errno
import resource

EXHAUSTION_ERRNOS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""Errors of this process or machine. They mean nothing for the file that was opened."""
MAX_OPEN_FILES = 1 << 16
"""The soft limit is not raised above this."""


def is_exhausted(error: OSError) -> bool:
    """Return whether the system had no descriptor or memory left. The file may exist, and the call may succeed later."""
    return error.errno in EXHAUSTION_ERRNOS


def raise_open_file_limit() -> int:
    """Raise the soft limit of open files to the hard limit, at most to `MAX_OPEN_FILES`. Return the limit in force. Never raises."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):
        return soft
    return target
