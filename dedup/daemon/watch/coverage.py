"""Ask the kernel which folders inotify watches: watchdog does not report folders that it failed to watch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dedup.files.descriptors import is_exhausted

_WATCH_LINE = re.compile(rb"^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) sdev:([0-9a-f]+) ", re.M)


@dataclass(frozen=True, slots=True)
class WatchedInodes:
    """The inodes that this process watches: `device_inodes` as (device, inode), and `inodes` without the device, which some file systems
    (btrfs, overlayfs) report differently here than stat(2) does."""

    device_inodes: frozenset[tuple[int, int]]
    inodes: frozenset[int]

    def is_watched(self, folder: os.stat_result, root: os.stat_result) -> bool:
        """Return whether a folder below `root` is watched.

        If the kernel reports the same device and inode for `root` as stat(2), both must match; otherwise the inode alone. If `root` itself
        is not found, the answer is unknown: True."""
        if _device_inode(root) in self.device_inodes:
            return _device_inode(folder) in self.device_inodes if folder.st_dev == root.st_dev else folder.st_ino in self.inodes
        return folder.st_ino in self.inodes or root.st_ino not in self.inodes


def read_watched_inodes(descriptors: frozenset[str]) -> WatchedInodes:
    """Return what these inotify instances watch, from /proc/self/fdinfo (proc_pid_fdinfo(5)); nothing if the kernel does not report it.

    Raises OSError if this process is out of descriptors or memory."""
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
    """Return whether a descriptor of this process is an inotify instance."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") in ("anon_inode:inotify", "anon_inode:[inotify]")
    except OSError:
        return False


def _device_inode(stat: os.stat_result) -> tuple[int, int]:
    """Return (device, inode), with the device in the kernel's form: 12 bits of major and 20 bits of minor number."""
    return os.major(stat.st_dev) << 20 | os.minor(stat.st_dev), stat.st_ino
