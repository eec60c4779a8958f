"""Streams that are closed or cannot be written, a umask that takes everything, a locale of ASCII: the work is done, and the exit code is
that of the work."""

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

COMMANDS = ("scan", "status", "doctor --quick", "duplicates", "reindex", "backup kept.db", "dump --logical", "report")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    ArticleFile(body="기사 본문이 길게 이어진다. " * 10).write(tmp_path / "crawl")
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of sh in which $D is the program."""
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


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_stream_that_is_closed_leads_nowhere(folder: Path, closed: str) -> None:
    for words in COMMANDS:
        done = shell(folder, f"$D {words} {closed}")
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (folder / "kept.db").exists()


def test_nothing_that_is_said_gets_into_a_file(folder: Path) -> None:
    """The first file that is opened would have the number of a stream that is closed."""
    assert shell(folder, "$D -v scan >&- 2>&-").returncode == 0
    assert run(folder, "doctor").code == 0


@pytest.mark.parametrize("words", COMMANDS)
def test_an_output_that_is_full_is_said_once_the_work_is_done(folder: Path, words: str) -> None:
    assert run(folder, "-q", "scan").code == 0
    done = shell(folder, f"$D {words} > /dev/full")
    assert done.returncode == 3
    assert done.stderr == "dedup: No space left on device: 'standard output'\n"
    assert words != "backup kept.db" or (folder / "kept.db").exists()


def test_findings_keep_their_exit_code_where_nobody_reads_on(folder: Path) -> None:
    done = shell(folder, "{ $D doctor --quick -d none.db; echo $? >&2; } | true")
    assert done.stderr == "1\n"


def test_a_daemon_whose_log_cannot_be_written_works(folder: Path) -> None:
    with watching(folder / "crawl", folder / "dedup.db") as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 1)
    assert shell(folder, "timeout -s TERM 5 $D watch 2>/dev/full").returncode in (0, 124)


@pytest.mark.parametrize("umask", ["777", "277"])
def test_a_umask_does_not_keep_the_owner_from_the_files(folder: Path, umask: str) -> None:
    assert shell(folder, f"umask {umask}; $D scan && $D sample s && $D report -o r && $D backup b.db && $D status").returncode == 0
    for path in folder.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & wanted == wanted or "crawl" in path.parts, path


ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_arguments_are_utf8_in_a_locale_of_ascii(folder: Path) -> None:
    (folder / "crawl").rename(folder / "기사")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["기사"]\nsettle_seconds = 0.0\n', "utf-8")
    for line in ("$D scan", "$D search 본문이", "$D history 기사/*.md", "$D duplicates", "$D status", "$D report --publisher 한빛일보"):
        asked = [shell(folder, line, **environment) for environment in ({}, ASCII)]
        assert [a.returncode for a in asked] == [0, 0], asked
        assert asked[0].stdout == asked[1].stdout or line == "$D scan"
    assert "1 hit" in shell(folder, "$D search 본문이", **ASCII).stdout or "제목" in shell(folder, "$D search 본문이", **ASCII).stdout


# What the disk refuses


def test_a_quota_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "disk I/O error" of it; a small file that is tried gets the reason."""
    written = os.write

    def refused(fd: int, data: bytes) -> int:
        if len(data) == disk_errors._MIN_FREE_BYTES:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return written(fd, data)

    assert disk_errors.find_write_problem(str(tmp_path / "a.db")) == ""
    monkeypatch.setattr(os, "write", refused)
    assert f"the disk quota of user {os.geteuid()} on the file system mounted on " in disk_errors.find_write_problem(str(tmp_path / "a.db"))


def test_temporary_files_are_kept_beside_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    with open_writable(str(tmp_path / "a.db"), "test") as database:
        assert database.connection.execute("PRAGMA temp_store_directory").fetchone() == (str(tmp_path),)
    assert disk_errors.find_temporary_folder(str(tmp_path / "a.db")) == str(tmp_path)
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path.parent))
    assert disk_errors.find_temporary_folder(str(tmp_path / "a.db")) == str(tmp_path.parent)


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "database or disk is full" of it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "temporary"))
    asked = os.statvfs

    def full(folder: str) -> object:
        found = asked(folder)
        return found if folder != str(tmp_path / "temporary") else os.statvfs_result((*found[:3], 0, 0, *found[5:]))

    monkeypatch.setattr(os, "statvfs", full)
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    told = disk_errors.explain_error(error, str(tmp_path / "a.db"))
    assert "has 0 bytes left" in told
    assert f"SQLite keeps temporary files in {tmp_path / 'temporary'}" in told
