"""Run commands in a process that is subject to file permissions, even if the tests run as root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.command import CommandResult, command

DROP_CAPABILITIES = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    if any(libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)):
        sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Run a command without CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2). PR_CAPBSET_DROP is 24."""


def run_without_capabilities(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """Run `dedup ARGS` without the capabilities that bypass file permissions. Skips the test if they cannot be dropped."""
    argv = [sys.executable, "-c", DROP_CAPABILITIES, *command(*args)]
    process = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    if process.returncode == 77:
        pytest.skip("root cannot drop capabilities here")
    return CommandResult(process.returncode, process.stdout, process.stderr)
