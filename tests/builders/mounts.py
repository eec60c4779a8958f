"""Tests that mount: each runs in a mount namespace of its own, which takes its mounts along when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

_INSIDE = "DEDUP_TESTS_MOUNT_NAMESPACE"
_UNSHARE = ("unshare", "--mount", "--propagation", "private")


def in_own_mounts(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test (without parameters) by another pytest under unshare(1); skipped where namespaces or mounts are not permitted."""
    if _INSIDE in os.environ:
        return test

    def outside(request: pytest.FixtureRequest) -> None:
        try:
            tried = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("unshare(1) is not there")
        if tried.returncode:
            pytest.skip(f"no mounts of one's own: {tried.stderr.strip()}")
        command = [*_UNSHARE, sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", "--no-header", request.node.nodeid]
        done = subprocess.run(
            command, cwd=request.config.rootpath, env={**os.environ, _INSIDE: "1"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(done.stdout + done.stderr, pytrace=False)
        assert "1 passed" in done.stdout, done.stdout

    outside.__name__, outside.__doc__, outside.__module__ = test.__name__, test.__doc__, test.__module__
    return outside


def mount(*args: Any) -> None:
    """mount(8)."""
    subprocess.run(["mount", *args], check=True)


def unmount(*args: Any) -> None:
    """umount(8)."""
    subprocess.run(["umount", *args], check=True)
