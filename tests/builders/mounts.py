"""Run tests that mount in a mount namespace of their own. The mounts end with the namespace."""

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
    """Run a test without parameters in another pytest under unshare(1). Skips it if namespaces or mounts are not permitted."""
    if _INSIDE in os.environ:
        return test

    def run_in_namespace(request: pytest.FixtureRequest) -> None:
        try:
            trial = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("unshare(1) is not installed")
        if trial.returncode:
            pytest.skip(f"mounting in a namespace is not permitted: {trial.stderr.strip()}")
        command = [*_UNSHARE, sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", "--no-header", request.node.nodeid]
        process = subprocess.run(
            command, cwd=request.config.rootpath, env={**os.environ, _INSIDE: "1"}, capture_output=True, text=True, check=False
        )
        if process.returncode:
            pytest.fail(process.stdout + process.stderr, pytrace=False)
        assert "1 passed" in process.stdout, process.stdout

    run_in_namespace.__name__, run_in_namespace.__doc__, run_in_namespace.__module__ = test.__name__, test.__doc__, test.__module__
    return run_in_namespace


def mount(*args: Any) -> None:
    subprocess.run(["mount", *args], check=True)


def unmount(*args: Any) -> None:
    subprocess.run(["umount", *args], check=True)
