"""Run the command line in a process that file permissions hold for, also where the tests run as root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.command import CommandResult, command

BOUND = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    if any(libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)):
        sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def bound(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """`dedup ARGS` in a process that file permissions hold for; skips the test where that cannot be had."""
    argv = [sys.executable, "-c", BOUND, *command(*args)]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 77:
        pytest.skip("root cannot be bound by permissions here")
    return CommandResult(done.returncode, done.stdout, done.stderr)
