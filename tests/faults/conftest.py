"""With what privileges the daemons of these tests run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.privileges import Privileges, reachable, run_with


@pytest.fixture(autouse=True)
def privileges(request: pytest.FixtureRequest) -> Privileges:
    """Those that a test is run with: see `tests.builders.privileges`."""
    asked = _asked(request)
    if asked != "root":
        run_with(asked, request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch"))
    return asked


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """As pytest's; where the daemon runs as another user, a folder that this user can reach."""
    if _asked(request) == "root":
        yield tmp_path
        return
    with reachable(request.node.name) as folder:
        yield folder


def _asked(request: pytest.FixtureRequest) -> Privileges:
    called = getattr(request.node, "callspec", None)
    asked: Privileges = called.params.get("privileges", "root") if called else "root"
    return asked
