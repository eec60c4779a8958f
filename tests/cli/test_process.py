"""Closed or full streams, a restrictive umask, an ASCII locale: commands do their work and exit with its code."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from dedup.files import disk_errors
from dedup.store import open_writable
from tests.builders.command import command, run
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching

pytestmark = pytest.mark.slow

COMMANDS = ("scan", "status", "doctor --quick", "duplicates", "reindex", "backup kept.db", "dump --logical", "report")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    ArticleFile(body="기사 본문이 길게 이어진다. " * 10).write(tmp_path / "crawl")
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which $D is the program."""
    program = " ".join(map(str, command()))
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=os.environ | {"D": program} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.system
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_commands_work_with_closed_streams(folder: Path, closed: str) -> None:
    for words in COMMANDS:
        process = shell(folder, f"$D {words} {closed}")
        assert (process.returncode, process.stderr) == (0, ""), words
    assert (folder / "kept.db").exists()


def test_output_to_a_closed_stream_is_not_written_to_a_file(folder: Path) -> None:
    """Without protection the first opened file would get the descriptor of a closed stream."""
    assert shell(folder, "$D -v scan >&- 2>&-").returncode == 0
    assert run(folder, "doctor").code == 0


@pytest.mark.system
@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_output_device_is_reported_after_the_work_is_done(folder: Path, words: str) -> None:
    assert run(folder, "-q", "scan").code == 0
    process = shell(folder, f"$D {words} > /dev/full")
    assert process.returncode == 3
    assert process.stderr == "dedup: No space left on device: 'standard output'\n"
    assert words != "backup kept.db" or (folder / "kept.db").exists()


def test_a_closed_pipe_does_not_change_the_exit_code(folder: Path) -> None:
    process = shell(folder, "{ $D doctor --quick -d none.db; echo $? >&2; } | true")
    assert process.stderr == "1\n"


@pytest.mark.system
def test_a_daemon_works_when_its_log_cannot_be_written(folder: Path) -> None:
    with watching(folder / "crawl", folder / "dedup.db") as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 1)
    assert shell(folder, "timeout -s TERM 5 $D watch 2>/dev/full").returncode in (0, 124)


@pytest.mark.system
@pytest.mark.parametrize("umask", ["777", "277"])
def test_the_owner_can_access_created_files_under_any_umask(folder: Path, umask: str) -> None:
    assert shell(folder, f"umask {umask}; $D scan && $D sample s && $D report -o r && $D backup b.db && $D status").returncode == 0
    for path in folder.rglob("*"):
        owner_mode = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & owner_mode == owner_mode or "crawl" in path.parts, path


ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.system
def test_arguments_are_utf8_in_an_ascii_locale(folder: Path) -> None:
    (folder / "crawl").rename(folder / "기사")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["기사"]\nsettle_seconds = 0.0\n', "utf-8")
    for line in ("$D scan", "$D search 본문이", "$D history 기사/*.md", "$D duplicates", "$D status", "$D report --publisher 한빛일보"):
        processes = [shell(folder, line, **environment) for environment in ({}, ASCII)]
        assert [a.returncode for a in processes] == [0, 0], processes
        assert processes[0].stdout == processes[1].stdout or line == "$D scan"
    assert "1 hit" in shell(folder, "$D search 본문이", **ASCII).stdout or "제목" in shell(folder, "$D search 본문이", **ASCII).stdout


# Disk errors


def test_an_exceeded_quota_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite only reports "disk I/O error"; writing a small file shows the reason."""
    write = os.write

    def fail_on_probe(fd: int, data: bytes) -> int:
        if len(data) == disk_errors._MIN_FREE_BYTES:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(fd, data)

    assert disk_errors.find_write_problem(str(tmp_path / "a.db")) == ""
    monkeypatch.setattr(os, "write", fail_on_probe)
    assert f"the disk quota of user {os.geteuid()} on the file system mounted on " in disk_errors.find_write_problem(str(tmp_path / "a.db"))


def test_temporary_files_are_in_the_folder_of_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    with open_writable(str(tmp_path / "a.db"), "test") as database:
        assert database.connection.execute("PRAGMA temp_store_directory").fetchone() == (str(tmp_path),)
    assert disk_errors.find_temporary_folder(str(tmp_path / "a.db")) == str(tmp_path)
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path.parent))
    assert disk_errors.find_temporary_folder(str(tmp_path / "a.db")) == str(tmp_path.parent)


def test_a_full_temporary_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite only reports "database or disk is full"."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "temporary"))
    statvfs = os.statvfs

    def full(folder: str) -> object:
        space = statvfs(folder)
        return space if folder != str(tmp_path / "temporary") else os.statvfs_result((*space[:3], 0, 0, *space[5:]))

    monkeypatch.setattr(os, "statvfs", full)
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    message = disk_errors.explain_error(error, str(tmp_path / "a.db"))
    assert "has 0 bytes left" in message
    assert f"SQLite keeps temporary files in {tmp_path / 'temporary'}" in message
