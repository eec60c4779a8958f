"""Processes in a user namespace with a small number of inotify watches."""

from __future__ import annotations

import subprocess
from typing import Literal

import pytest

from tests.builders.daemon import Daemon

_LIMITED = 'echo "$2" > "/proc/sys/user/max_inotify_$1" && shift 2 && exec "$@"'


def limited(what: Literal["watches", "instances"], number: int) -> tuple[str, ...]:
    """What runs a command in a user namespace with this limit."""
    under = ("unshare", "--user", "--map-root-user", "sh", "-c", _LIMITED, "sh", what, str(number))
    try:
        tried = subprocess.run([*under, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not there")
    if tried.returncode:
        pytest.skip(f"no user namespace with limits of its own: {tried.stderr.strip()}")
    return under


def set_limit(daemon: Daemon, what: str, number: int) -> None:
    """Set a limit of the daemon's namespace while it runs."""
    write = f"echo {number} > /proc/sys/user/max_inotify_{what}"
    subprocess.run(["nsenter", "--user", "--preserve-credentials", "-t", str(daemon.process.pid), "sh", "-c", write], check=True)
