"""Health reports of a daemon: written atomically, overwritten in place on a full disk, and ignored when they are old."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.daemon import health_file
from dedup.daemon.health_file import Health
from tests.builders.health import REPORT


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "a.health")
    health_file.write_report(path, REPORT)
    assert health_file.read_report(path) == REPORT
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a.health"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"process": 1}', b"\xff", b'{"backlog": 3}'])
def test_an_invalid_report_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert health_file.read_report(str(tmp_path / "a")) is None
    assert health_file.read_report(str(tmp_path / "b")) is None


def test_a_reader_never_sees_half_a_report(tmp_path: Path) -> None:
    path = tmp_path / "a"
    health_file.write_report(str(path), REPORT)
    old_file = path.open("rb")
    health_file.write_report(str(path), Health(1, REPORT.at, REPORT.at, "stopping"))
    with old_file:
        assert old_file.read().rstrip().endswith(b"}")  # the open file is still the complete old report
    report = health_file.read_report(str(path))
    assert report is not None
    assert report.phase == "stopping"


_FULL = """
import resource, signal, sys
from dedup.daemon import health_file
from dedup.files.atomic import PART_PREFIX
from tests.builders.health import REPORT
import dataclasses
health_file.write_report(sys.argv[1], dataclasses.replace(REPORT, unwatched_examples=("x" * 5000,)))
real = health_file.os.open
def full(path, flags, *mode, **folder):
    if path.startswith(PART_PREFIX):
        raise OSError(28, "No space left on device")
    return real(path, flags, *mode, **folder)
health_file.os.open = full
health_file.write_report(sys.argv[1], dataclasses.replace(REPORT, phase="scanning"))
"""


def test_on_a_full_disk_the_report_is_overwritten_in_place(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    subprocess.run([sys.executable, "-c", _FULL, path], check=True, timeout=60)
    report = health_file.read_report(path)
    assert report is not None
    assert (report.phase, report.unwatched_examples) == ("scanning", REPORT.unwatched_examples)
    assert os.listdir(tmp_path) == ["a"]


def test_an_unwritable_report_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        health_file.write_report(str(tmp_path / "none" / "a"), REPORT)


def test_the_report_is_in_the_runtime_folder_of_systemd_or_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = str(tmp_path / "dedup.db")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert health_file.report_path(database) == database + ".health"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert health_file.report_path(database) == database + ".health"
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "user"))
    users = health_file.report_path(database)
    assert Path(users).parent == tmp_path / "user" / "dedup"
    assert users != health_file.report_path(str(tmp_path / "x" / "dedup.db"))  # two databases with one name
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'run'}:{tmp_path / 'run2'}")
    assert Path(health_file.report_path(database)).parent == tmp_path / "run"


def test_a_link_in_place_of_the_report_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "mine")
    health_file.write_report(str(tmp_path / "a"), REPORT)
    assert health_file.read_report(str(tmp_path / "a")) == REPORT
    assert (tmp_path / "mine").read_text() == "precious"
