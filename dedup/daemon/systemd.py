"""Notify systemd of the service's state, as in sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

Notify = Callable[[str], None]
"""Sends a state such as `READY=1` to the service manager."""


def notify_systemd(*states: str) -> None:
    """Send states such as `READY=1` to the socket in NOTIFY_SOCKET. Does nothing if it is not set. Never raises and never waits."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
        sock.sendto("\n".join(states).encode("utf-8", "replace"), address)
