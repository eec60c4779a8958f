"""Which files a function opens, and how, as audit hooks see it."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPEN, _ACCESS, _CREATE = 0x20, 0x01, 0x100


@contextmanager
def opened(*watched: Path) -> Iterator[set[str]]:
    """Names of what is opened or read in these folders, or of the files themselves, while the block runs (inotify(7)): full when
    it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0
    places = {libc.inotify_add_watch(fd, os.fsencode(path), _OPEN | _ACCESS): path for path in watched}
    assert min(places) > 0
    found: set[str] = set()
    try:
        yield found
        while select.select([fd], [], [], 0)[0]:
            events = os.read(fd, 1 << 16)
            while events:
                wd, _, _, length = struct.unpack_from("iIII", events)
                found.add(str(places[wd] / events[16 : 16 + length].rstrip(b"\0").decode()))
                events = events[16 + length :]
    finally:
        os.close(fd)
