"""Detect writers of a file with a read lease (fcntl(2), F_SETLEASE), which the kernel refuses while the file is open for writing.

The kernel grants a lease only to the owner of the file or with CAP_LEASE, and not on every file system. Where it grants none, the state
is `unknown`, which is not the same as `free`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import re
import signal
from dataclasses import dataclass
from typing import Literal

LeaseState = Literal["free", "open_for_writing", "unknown"]
"""`free`: no process has the file open for writing. `open_for_writing`: a process has. `unknown`: the kernel grants no lease."""

NO_LEASE_SUPPORT = -1
"""In place of a file's owner: the file system supports no leases for any user."""
_CAP_LEASE = 28
REMEDY = (
    "Give the process CAP_LEASE (AmbientCapabilities=CAP_LEASE and CapabilityBoundingSet=CAP_LEASE in the systemd unit), or run it as the"
    " user that writes the files."
)


@dataclass(frozen=True, slots=True)
class LeaseRights:
    """The effective user of a process, and whether it has CAP_LEASE."""

    user_id: int
    has_cap_lease: bool

    def can_lease(self, owner_id: int) -> bool:
        """Return whether the process can take a lease on files of this owner."""
        return self.has_cap_lease or self.user_id == owner_id


def probe_lease(fd: int) -> tuple[LeaseState, int]:
    """Return (state of a file opened O_RDONLY, errno of the refusal or 0). The lease is released at once.

    The kernel sends a signal if a writer opens the file during the probe. SIGIO would end a process that has no handler for it, so such
    a process gets SIGURG, which does nothing by default.
    """
    try:
        if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return "open_for_writing", 0
        return "unknown", error.errno or errno.EINVAL
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return "free", 0


def read_rights(process_id: int | Literal["self"] = "self") -> LeaseRights | None:
    """Return the rights of a process, or None if /proc does not show them."""
    try:
        with open(f"/proc/{process_id}/status", "rb") as file:
            status = file.read()
    except OSError:
        return None
    user = re.search(rb"^Uid:\t\d+\t(\d+)", status, re.MULTILINE)
    capabilities = re.search(rb"^CapEff:\t([0-9a-f]+)", status, re.MULTILINE)
    if user is None or capabilities is None:
        return None
    return LeaseRights(int(user[1]), bool(int(capabilities[1], 16) >> _CAP_LEASE & 1))


def describe_files(owner_id: int) -> str:
    """Return words for the files of an owner, or of a file system without leases (`NO_LEASE_SUPPORT`)."""
    if owner_id == NO_LEASE_SUPPORT:
        return "files on a file system without leases"
    try:
        name = f" ({pwd.getpwuid(owner_id).pw_name})"
    except (KeyError, OverflowError):
        name = ""
    return f"files of user {owner_id}{name}"


def format_warning(owner_id: int, settle_seconds: float) -> str:
    """Return a warning that writers of these files cannot be detected: the consequence, and what to do."""
    message = (
        f"writers of {describe_files(owner_id)} cannot be detected by user {os.geteuid()}: a file that does not show that it is complete is"
        f" read once it has not changed for {settle_seconds:g} s"
    )
    return f"{message}." if owner_id == NO_LEASE_SUPPORT else f"{message}. {REMEDY}"
