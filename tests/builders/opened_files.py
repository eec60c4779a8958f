"""Record which files are opened, through inotify."""

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
def record_opened_files(*watched: Path) -> Iterator[set[str]]:
    """Record the paths of files that are opened or read while the block runs. The set is complete after the block.

    `watched`: files, or folders with files.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0
    places = {libc.inotify_add_watch(fd, os.fsencode(path), _OPEN | _ACCESS): path for path in watched}
    assert min(places) > 0
    names: set[str] = set()
    try:
        yield names
        while select.select([fd], [], [], 0)[0]:
            events = os.read(fd, 1 << 16)
            while events:
                wd, _, _, length = struct.unpack_from("iIII", events)
                names.add(str(places[wd] / events[16 : 16 + length].rstrip(b"\0").decode()))
                events = events[16 + length :]
    finally:
        os.close(fd)
