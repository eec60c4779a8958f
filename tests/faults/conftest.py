"""Fixtures that run the daemons of these tests with the privileges of a service or another user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.privileges import Privileges, reachable, run_with


@pytest.fixture(autouse=True)
def privileges(request: pytest.FixtureRequest) -> Privileges:
    """The privileges that a test runs with: see `tests.builders.privileges`."""
    requested = _requested(request)
    if requested != "root":
        run_with(requested, request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch"))
    return requested


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Like the fixture of pytest. If the daemon runs as another user, a folder that this user can access."""
    if _requested(request) == "root":
        yield tmp_path
        return
    with reachable(request.node.name) as folder:
        yield folder


def _requested(request: pytest.FixtureRequest) -> Privileges:
    callspec = getattr(request.node, "callspec", None)
    requested: Privileges = callspec.params.get("privileges", "root") if callspec else "root"
    return requested
