"""Mounted file systems: where a path lies, and whether other machines can change it without an event on this one."""

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
"""Types of file systems whose files another machine, or the host of this virtual machine, may hold."""
_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: the directory `root` of a file system of this type is visible at `mount_point`.

    `device` is "major:minor". `super_options` are the current options of the file system, not of this mount.
    """

    mount_point: bytes
    type: str
    device: bytes = b""
    root: bytes = b"/"
    super_options: frozenset[str] = frozenset()

    @property
    def is_network(self) -> bool:
        """Whether another machine may change the files."""
        return self.type in _NETWORK_TYPES


def read_mounts(mountinfo: str = MOUNTINFO) -> list[Mount]:
    """Return every mount that this process sees, oldest first; an empty list if the kernel does not list them.

    The format is that of proc_pid_mountinfo(5). Raises OSError if this process has no descriptor or memory left.
    """
    try:
        with open(mountinfo, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        if is_exhausted(error):
            raise
        return []
    return [mount for line in lines if (mount := _parse_mount(line)) is not None]


def _parse_mount(line: bytes) -> Mount | None:
    before, _, after = line.partition(b" - ")
    fields, system_fields = before.split(b" "), after.split(b" ")
    if len(fields) <= 4 or not system_fields[0]:
        return None
    options = system_fields[2].decode("ascii", "replace").split(",") if len(system_fields) > 2 else ()
    return Mount(_unescape(fields[4]), system_fields[0].decode("ascii", "replace"), fields[2], _unescape(fields[3]), frozenset(options))


def find_mount(path: bytes, mounts: list[Mount]) -> Mount | None:
    """Return the mount that holds a path, after resolving links: the one with the longest mount point, the latest of several there."""
    real = os.path.realpath(path)
    matching = [m for m in mounts if real == m.mount_point or real.startswith(m.mount_point.rstrip(b"/") + b"/")]
    return max(enumerate(matching), key=lambda m: (len(m[1].mount_point), m[0]))[1] if matching else None


def locate(path: bytes, mounts: list[Mount]) -> tuple[bytes, bytes]:
    """Return (device, path within its file system) of a path, after resolving links. It is the same for every mount of the file system."""
    real = os.path.realpath(path)
    mount = find_mount(real, mounts)
    if mount is None:
        return b"", real
    return mount.device, os.path.normpath(mount.root + b"/" + real[len(mount.mount_point.rstrip(b"/")) :])


def _unescape(escaped: bytes) -> bytes:
    """Decode the octal escapes that the kernel writes for spaces, tabs, line ends and backslashes."""
    return _OCTAL_ESCAPE.sub(lambda m: bytes([int(m[1], 8) & 0xFF]), escaped)
