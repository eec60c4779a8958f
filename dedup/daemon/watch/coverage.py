"""Which folders inotify really watches, as the kernel tells it: watchdog says nothing of those that it could not add."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dedup.files.descriptors import is_exhausted

_WATCH_LINE = re.compile(rb"^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) sdev:([0-9a-f]+) ", re.M)


@dataclass(frozen=True, slots=True)
class WatchedInodes:
    """The inodes that this process watches: `device_inodes` as (device, inode), `inodes` without the device, which some file systems
    (btrfs, overlays) tell otherwise here than stat(2) does."""

    device_inodes: frozenset[tuple[int, int]]
    inodes: frozenset[int]

    def is_watched(self, folder: os.stat_result, root: os.stat_result) -> bool:
        """Whether a folder below `root` is watched. Where the kernel's numbers for `root` are those of stat(2), both must fit;
        else the inode alone; where the root is known by neither, nothing can be said of what is below it: True."""
        if _device_inode(root) in self.device_inodes:
            return _device_inode(folder) in self.device_inodes if folder.st_dev == root.st_dev else folder.st_ino in self.inodes
        return folder.st_ino in self.inodes or root.st_ino not in self.inodes


def read_watched_inodes(descriptors: frozenset[str]) -> WatchedInodes:
    """What these inotify instances watch (proc_pid_fdinfo(5)); nothing where the kernel does not tell. Raises OSError where this process
    has no descriptor or memory left to ask it."""
    device_inodes: set[tuple[int, int]] = set()
    for fd in descriptors:
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb") as fdinfo:
                device_inodes.update((int(device, 16), int(inode, 16)) for inode, device in _WATCH_LINE.findall(fdinfo.read()))
        except OSError as error:
            if is_exhausted(error):
                raise
    return WatchedInodes(frozenset(device_inodes), frozenset(inode for _, inode in device_inodes))


def is_inotify_instance(fd: str) -> bool:
    """Whether a descriptor of this process is an inotify instance."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") in ("anon_inode:inotify", "anon_inode:[inotify]")
    except OSError:
        return False


def _device_inode(stat: os.stat_result) -> tuple[int, int]:
    """(device as the kernel numbers it: 12 bits of major and 20 of minor; inode)."""
    return os.major(stat.st_dev) << 20 | os.minor(stat.st_dev), stat.st_ino
