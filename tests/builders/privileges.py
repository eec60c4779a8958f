"""Daemons with the privileges of a service: an own user, who owns neither the crawled files nor their folders.

Most tests run as the current user, usually root, who bypasses permissions, reserved blocks and leases. `as_service` and `as_both`
run a test with the privileges of an installed daemon.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from tests.builders import daemon

USER = 65534
Privileges = Literal["root", "service", "service with CAP_LEASE"]
_AS_SERVICE = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
_UNDER: dict[Privileges, tuple[str, ...]] = {
    "root": (),
    "service": (*_AS_SERVICE, "--inh-caps=-all", "--bounding-set=-all"),
    "service with CAP_LEASE": (*_AS_SERVICE, "--inh-caps=-all,+lease", "--ambient-caps=-all,+lease", "--bounding-set=-all,+lease"),
}


@cache
def _cannot_run(under: tuple[str, ...]) -> str:
    """Return why the program does not run under this command prefix, or an empty string. It is started outside of the source tree."""
    command = [*under, sys.executable, "-m", "dedup", "--version"]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    except OSError as error:
        return str(error)
    return (trial.stderr.strip() or "it failed") if trial.returncode else ""


def with_privileges(*privileges: Privileges) -> pytest.MarkDecorator:
    """Run a test, or all tests of a module, once with each of the privileges."""
    return pytest.mark.parametrize("privileges", privileges, indirect=True)


as_both = with_privileges("root", "service")
OTHER: Privileges = "service" if os.geteuid() == 0 and not _cannot_run(_UNDER["service"]) else "root"
"""For tests that need no run as root. If no daemon can run as another user, they run as the current user."""
as_service = with_privileges(OTHER)


@contextmanager
def reachable(name: str) -> Iterator[Path]:
    """Make a temporary folder that every user can enter. The temporary folders of pytest are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix=f"dedup-{name[:40]}-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_with(privileges: Privileges, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make `watching` run daemons with these privileges, on databases in `folder`. Skips the test if that is not possible.

    The user becomes the owner of the folder, not of its content.
    """
    under = _UNDER[privileges]
    if not under:
        return
    if problem := _problem(under, folder):
        pytest.skip(problem)
    os.chown(folder, USER, USER)
    patch.setattr(daemon, "UNDER", under)
    patch.setattr(daemon, "OWNER", USER)
    patch.delenv("XDG_RUNTIME_DIR", raising=False)
    patch.setenv("XDG_STATE_HOME", str(folder))


def give(path: Path) -> None:
    """Change the owner of a file or folder to the user that daemons run as."""
    if daemon.OWNER is not None:
        os.chown(path, daemon.OWNER, daemon.OWNER)


def _problem(under: Sequence[str], folder: Path) -> str:
    """Return why a daemon cannot run under this command prefix, or an empty string."""
    if os.geteuid() != 0:
        return "only root can run a daemon as another user"
    if problem := _cannot_run(tuple(under)):
        return f"no daemon as another user: {problem}"
    if subprocess.run([*under, "test", "-x", folder], check=False).returncode:
        return f"another user cannot reach {folder}"
    return ""
