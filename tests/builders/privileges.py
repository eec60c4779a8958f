"""Daemons with the privileges of a service: a user of its own, who owns neither the crawled files nor the folders they are in.

Most modules of this package run as the user who runs the tests, usually root, for whom permissions, reserved blocks and leases are
no obstacle. `as_service` and `as_both` run a test with the privileges that an installed daemon has.
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
    """Why the program does not run under this command; empty if it does. It is looked for from elsewhere than this folder."""
    command = [*under, sys.executable, "-m", "dedup", "--version"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    except OSError as error:
        return str(error)
    return (tried.stderr.strip() or "it failed") if tried.returncode else ""


def with_privileges(*privileges: Privileges) -> pytest.MarkDecorator:
    """Run a test, or all tests of a module, once with each."""
    return pytest.mark.parametrize("privileges", privileges, indirect=True)


as_both = with_privileges("root", "service")
OTHER: Privileges = "service" if os.geteuid() == 0 and not _cannot_run(_UNDER["service"]) else "root"
"""For tests to which root adds nothing. Where no daemon can run as another user, they run as whoever runs them."""
as_service = with_privileges(OTHER)


@contextmanager
def reachable(name: str) -> Iterator[Path]:
    """A new folder that every user can reach. pytest's own are below a folder that each pytest closes to other users as it starts,
    while others may still be running."""
    folder = Path(tempfile.mkdtemp(prefix=f"dedup-{name[:40]}-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_with(privileges: Privileges, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have `watching` run daemons with these privileges, on databases in `folder`; skips the test where that is not possible.

    The folder is given to the user, what is in it is not.
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
    """Give a file or folder to the user whom daemons run as."""
    if daemon.OWNER is not None:
        os.chown(path, daemon.OWNER, daemon.OWNER)


def _problem(under: Sequence[str], folder: Path) -> str:
    """Why a daemon cannot run under this command; empty if it can."""
    if os.geteuid() != 0:
        return "only root can run a daemon as another user"
    if problem := _cannot_run(tuple(under)):
        return f"no daemon as another user: {problem}"
    if subprocess.run([*under, "test", "-x", folder], check=False).returncode:
        return f"another user cannot reach {folder}"
    return ""
