"""Processes in a user namespace with small inotify limits."""

from __future__ import annotations

import subprocess
from typing import Literal

import pytest

from tests.builders.daemon import Daemon

_LIMITED = 'echo "$2" > "/proc/sys/user/max_inotify_$1" && shift 2 && exec "$@"'


def with_limit(what: Literal["watches", "instances"], number: int) -> tuple[str, ...]:
    """Return a command prefix that runs a command in a user namespace with this limit."""
    under = ("unshare", "--user", "--map-root-user", "sh", "-c", _LIMITED, "sh", what, str(number))
    try:
        trial = subprocess.run([*under, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    if trial.returncode:
        pytest.skip(f"cannot create a user namespace with its own limits: {trial.stderr.strip()}")
    return under


def set_limit(daemon: Daemon, what: str, number: int) -> None:
    """Change a limit of a running daemon's user namespace."""
    write = f"echo {number} > /proc/sys/user/max_inotify_{what}"
    subprocess.run(["nsenter", "--user", "--preserve-credentials", "-t", str(daemon.process.pid), "sh", "-c", write], check=True)
