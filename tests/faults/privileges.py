"""Daemons with the privileges of a service: a user of its own, who owns neither the files nor what they are in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tests import daemon

USER = 65534
Privileges = Literal["root", "service", "service with CAP_LEASE"]
_AS_SERVICE = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
_UNDER: dict[Privileges, tuple[str, ...]] = {
    "root": (),
    "service": (*_AS_SERVICE, "--inh-caps=-all", "--bounding-set=-all"),
    "service with CAP_LEASE": (*_AS_SERVICE, "--inh-caps=-all,+lease", "--ambient-caps=-all,+lease", "--bounding-set=-all,+lease"),
}


def run_with(privileges: Privileges, db: Path, patch: pytest.MonkeyPatch) -> None:
    """Have `watching` run daemons with these privileges on a database at `db`; skipped where that cannot be had."""
    under = _UNDER[privileges]
    if not under:
        return
    if os.geteuid() != 0:
        pytest.skip("only root can run a daemon as another user")
    tried = subprocess.run([*under, sys.executable, "-c", "import dedup"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no daemon as another user: {tried.stderr.strip()}")
    os.chown(db.parent, USER, USER)
    for folder in db.parent.parents:
        if folder.owner() == "root" and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    patch.setattr(daemon, "UNDER", under)
    patch.delenv("XDG_RUNTIME_DIR", raising=False)
    patch.setenv("XDG_STATE_HOME", str(db.parent))
