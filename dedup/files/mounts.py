"""Which file system a path is on, and whether other machines write there: their changes raise no event here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dedup.files.descriptors import is_exhausted

MOUNTINFO = "/proc/self/mountinfo"

_NETWORK_TYPES = frozenset((
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.moosefs", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.smbnetfs",
    "fuse.sshfs", "fuse.vmhgfs-fuse", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs",
    "prl_fs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
))  # fmt: skip
"""File systems of which another machine, or the host of this one, may hold the files."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system of this type is to be seen: its directory `root` is at the path `mount_point`. `device` is "major:minor"."""

    mount_point: bytes
    type: str
    device: bytes = b""
    root: bytes = b"/"

    @property
    def is_network(self) -> bool:
        """Whether others than this kernel change its files."""
        return self.type in _NETWORK_TYPES


def read_mounts(mountinfo: str = MOUNTINFO) -> list[Mount]:
    """Every mount that this process sees, in the order in which they were made; none where the kernel does not say."""
    try:
        with open(mountinfo, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        if is_exhausted(error):
            raise
        return []
    mounts = []
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, kinds = before.split(b" "), after.split(b" ")
        if len(fields) > 4 and kinds[0]:
            mounts.append(Mount(_unescape(fields[4]), kinds[0].decode("ascii", "replace"), fields[2], _unescape(fields[3])))
    return mounts


def find_mount(path: bytes, mounts: list[Mount]) -> Mount | None:
    """The mount that a path lies on, links resolved: the one with the longest way in common, the latest where several are in one
    place."""
    real = os.path.realpath(path)
    matching = [m for m in mounts if real == m.mount_point or real.startswith(m.mount_point.rstrip(b"/") + b"/")]
    return max(enumerate(matching), key=lambda m: (len(m[1].mount_point), m[0]))[1] if matching else None


def locate(path: bytes, mounts: list[Mount]) -> tuple[bytes, bytes]:
    """(file system, path in it) of a path, links resolved: the same wherever the file system is mounted, and however often."""
    real = os.path.realpath(path)
    mount = find_mount(real, mounts)
    if mount is None:
        return b"", real
    return mount.device, os.path.normpath(mount.root + b"/" + real[len(mount.mount_point.rstrip(b"/")) :])


def _unescape(escaped: bytes) -> bytes:
    """The kernel writes blanks, tabs, line ends and backslashes as three octal digits."""
    return re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 0xFF]), escaped)
