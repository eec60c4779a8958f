"""Limits of inotify: the smaller of the kernel's limit and the user namespace's limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dedup.files import inotify_limits
from dedup.files.inotify_limits import InotifyLimits


def _files(folder: Path, *contents: str | None) -> list[str]:
    paths = []
    for n, content in enumerate(contents):
        path = folder / str(n)
        if content is not None:
            path.write_text(content)
        paths.append(str(path))
    return paths


@pytest.mark.parametrize(
    ("contents", "expected", "source"),
    [
        (["8192\n", "20\n"], 20, 1),
        (["20\n", "8192\n"], 20, 0),
        (["0\n", "8192\n"], 0, 0),
        ([None, "7\n"], 7, 1),
        (["7\n", None], 7, 0),
        (["nonsense\n", "7\n"], 7, 1),
        (["", "2147483647\n"], 2147483647, 1),
    ],
)
def test_the_smaller_limit_counts_and_is_named(tmp_path: Path, contents: list[str | None], expected: int, source: int) -> None:
    paths = _files(tmp_path, *contents)
    assert inotify_limits.read_limits(paths, paths) == InotifyLimits(expected, expected, paths[source], paths[source])


def test_watches_and_instances_have_their_own_limits(tmp_path: Path) -> None:
    (tmp_path / "watches").mkdir()
    (tmp_path / "instances").mkdir()
    watches, instances = _files(tmp_path / "watches", "500", "400"), _files(tmp_path / "instances", "3", "4")
    assert inotify_limits.read_limits(watches, instances) == InotifyLimits(400, 3, watches[1], instances[0])


def test_unreadable_limits_are_unknown(tmp_path: Path) -> None:
    assert inotify_limits.read_limits(_files(tmp_path, None, "?"), []) == InotifyLimits(None, None)


def test_this_machine_has_limits() -> None:
    limits = inotify_limits.read_limits()
    assert limits.max_watches is not None
    assert limits.max_watches >= 0
    assert limits.watches_source in inotify_limits.WATCH_LIMIT_PATHS
    assert limits.max_instances is not None
    assert limits.instances_source in inotify_limits.INSTANCE_LIMIT_PATHS


@pytest.mark.system
def test_the_limit_of_a_user_namespace_is_seen() -> None:
    """The limit belongs to the namespace: the kernel's own limit stays as it was."""
    program = "from dedup.files import inotify_limits; found = inotify_limits.read_limits(); print(found.max_watches, found.watches_source)"
    inner = 'echo 20 > /proc/sys/user/max_inotify_watches && exec "$0" -c "$1"'
    result = subprocess.run(["unshare", "-Ur", "sh", "-c", inner, sys.executable, program], capture_output=True, text=True, check=True)
    assert result.stdout == "20 /proc/sys/user/max_inotify_watches\n"
    assert inotify_limits.read_limits().max_watches != 20
