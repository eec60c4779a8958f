"""Every crawl directory that the database knows is accounted for: listed, moved, retired, scanned in part."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.store import open_writable
from tests.builders.command import run, spawn
from tests.builders.crawl import ArticleFile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain")]


def configure(folder: Path, *directories: str) -> None:
    names = ", ".join(f'"{d}"' for d in directories)
    (folder / "config.toml").write_text(f"[crawl]\ndirectories = [{names}]\nsettle_seconds = 0.0\n", "utf-8")


def status(folder: Path) -> dict[str, Any]:
    output: dict[str, Any] = run(folder, "status", "-f", "json").json()
    return output


def listed(folder: Path) -> dict[str, tuple[str, bool, int, int]]:
    """Name → (state, absent, files, gone)."""
    rows = run(folder, "directories", "list", "-f", "json").json()
    assert rows == run(folder, "directories", "-f", "json").json() == status(folder)["directories"]
    return {Path(r["path"]).name: (r["status"], r["absent"], r["files"], r["gone"]) for r in rows}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two crawl directories, scanned: `one` with two days of three articles each, and `two` with an article."""
    for day in (2, 3):
        for n in range(3):
            ArticleFile(aid=f"{n:010d}", crawled_at=f"2026-03-0{day} 00:00:00", body=f"본문 {n}").write(
                tmp_path / "one" / f"2026-03-0{day}"
            )
    ArticleFile(aid="0000000009", oid="902").write(tmp_path / "two")
    configure(tmp_path, "one", "two")
    assert run(tmp_path, "scan").code == 0
    return tmp_path


def test_a_directory_that_is_no_longer_configured_is_reported(two: Path) -> None:
    assert listed(two) == {"one": ("configured", False, 6, 0), "two": ("configured", False, 1, 0)}
    configure(two, "two", "three")
    (two / "three").mkdir()
    assert listed(two)["one"] == ("not configured", False, 6, 0)
    assert listed(two)["three"] == ("configured", False, 0, 0)
    assert "one is not configured: 6 files still count as present" in run(two, "status").out
    assert "one is not configured, but 6 of its files still count as present" in run(two, "scan").err
    report = run(two, "doctor", "--quick", "-f", "json").json()
    (finding,) = (f for f in report["findings"] if f["check"] == "directories")
    assert finding["severity"] == "warning"
    assert "6" in finding["message"]
    assert all(f"dedup directories {word}" in finding["remedy"] for word in ("move", "retire"))


def test_a_renamed_directory_is_refused_until_it_is_moved_and_not_read_again(two: Path) -> None:
    before = run(two, "dump", "--logical").out
    (two / "one").rename(two / "archive")
    configure(two, "archive", "two")
    result = run(two, "scan")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert f"dedup directories move {two / 'one'} {two / 'archive'}" in result.err
    move = run(two, "directories", "move", "one", "archive", "-f", "json").json()
    assert (move["files"], move["sample_files"], move["present_files"]) == (6, 6, 6)
    assert listed(two) == {"archive": ("configured", False, 6, 0), "two": ("configured", False, 1, 0)}
    tally = run(two, "scan", "-f", "json").json()
    assert (tally["files"], tally["unchanged"]) == (7, 7)
    assert run(two, "dump", "--logical").out == before
    assert str(two / "archive") in run(two, "export", "keep").out
    assert str(two / "one") not in run(two, "export", "keep").out


def test_move_requires_the_files_at_the_new_path(two: Path) -> None:
    (two / "empty").mkdir()
    for new, problem in (("empty", "only 0 of 6 checked"), ("none", "there is no readable directory"), ("two", "already in the database")):
        result = run(two, "directories", "move", "one", new)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert problem in result.err
    for new in ("two/inner", "."):
        assert "overlap" in run(two, "directories", "move", "one", new).err
    unknown = run(two, "directories", "move", "nowhere", "empty")
    assert unknown.code == 2
    assert str(two / "one") in unknown.err
    assert listed(two)["one"][2] == 6
    assert run(two, "directories", "move", "one", "none", "--force").code == 0
    assert listed(two)["none"] == ("not configured", True, 6, 0)


def test_retire_keeps_the_history_of_a_missing_directory(two: Path) -> None:
    pages = status(two)["pages"]
    assert run(two, "directories", "retire", "one", "--yes").code == 2, "it is configured"
    (two / "one").rename(two / "elsewhere")
    configure(two, "two")
    result = run(two, "directories", "retire", "one")
    assert (result.code, "--yes" in result.err) == (2, True)
    assert run(two, "directories", "retire", "one", "--yes", "-f", "json").json()["gone"] == 6
    assert listed(two)["one"] == ("retired", True, 0, 6)
    assert (status(two)["pages"], status(two)["gone"]) == (pages, 6)
    assert "not configured" not in run(two, "scan").err
    assert str(two / "one") not in run(two, "export", "keep").out
    (two / "elsewhere").rename(two / "one")
    configure(two, "one", "two")
    tally = run(two, "scan", "-f", "json").json()
    assert (tally["unchanged"], tally["new"]) == (7, 0)
    assert listed(two)["one"] == ("configured", False, 6, 0)


def test_scanning_a_folder_of_a_directory_is_a_partial_scan(two: Path) -> None:
    ArticleFile(aid="0000000007", body="neu").write(two / "one" / "2026-03-02")
    ArticleFile(aid="0000000008", body="auch neu").write(two / "one" / "2026-03-03")
    next((two / "one" / "2026-03-02").glob("901_0000000001*")).unlink()
    next((two / "one" / "2026-03-03").glob("901_0000000001*")).unlink()
    tally = run(two, "scan", "one/2026-03-02", "-f", "json").json()
    assert (tally["files"], tally["new"], tally["unchanged"], tally["gone"]) == (3, 1, 2, 1)
    assert listed(two)["one"] == ("configured", False, 6, 1)
    assert status(two)["last_scan"]["folders"] == [str(two / "one" / "2026-03-02")]
    os.symlink(two / "one", two / "link")
    assert run(two, "scan", "link/2026-03-03", "-f", "json").json()["gone"] == 1
    assert run(two, "scan", "link", "-f", "json").json()["unchanged"] == 6, "a link to the directory is the same directory"
    assert set(listed(two)) == {"one", "two"}
    for path in (two / "one" / "2026-03-03").iterdir():
        path.unlink()
    (two / "one" / "2026-03-03").rmdir()
    assert run(two, "scan", "one/2026-03-03", "-f", "json").json()["gone"] == 3, "the folder was deleted"
    missing = run(two, "scan", "one/2026-03-99")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_a_first_partial_scan_belongs_to_the_configured_directory(tmp_path: Path) -> None:
    ArticleFile().write(tmp_path / "crawl" / "a")
    ArticleFile(aid="0000000002").write(tmp_path / "crawl" / "b")
    configure(tmp_path, "crawl")
    assert run(tmp_path, "scan", "crawl/a", "-f", "json").json()["new"] == 1
    assert run(tmp_path, "scan", "-f", "json").json()["new"] == 1
    assert listed(tmp_path) == {"crawl": ("configured", False, 2, 0)}


def test_a_partial_scan_of_an_absent_directory_marks_nothing_as_gone(two: Path) -> None:
    (two / "one").rename(two / "away")
    result = run(two, "scan", "one/2026-03-02")
    assert result.code == 3
    assert listed(two)["one"] == ("configured", True, 6, 0)


def test_overlapping_directories_are_refused_with_a_remedy(two: Path) -> None:
    inside = run(two, "scan", ".")
    assert (inside.code, inside.err.count("\n")) == (2, 1)
    assert "The database" in inside.err
    (two / "dedup.db").rename(two.parent / "moved.db")
    outer = run(two, "-d", two.parent / "moved.db", "scan", ".")
    assert (outer.code, outer.err.count("\n")) == (2, 1)
    assert "dedup directories retire" in outer.err
    (two.parent / "moved.db").rename(two / "dedup.db")
    configure(two, "one/2026-03-02", "two")
    inner = run(two, "scan")
    assert (inner.code, inner.err.count("\n")) == (2, 1)
    assert f"dedup directories retire {two / 'one'}" in inner.err
    assert run(two, "directories", "retire", "one", "--yes").code == 0
    assert run(two, "scan", "-f", "json").json()["files"] == 4
    (two / "two" / "inner").mkdir()
    watch = spawn(two, "watch", "two/inner")
    assert (watch.code, watch.err.count("\n")) == (2, 1)
    assert status(two)["pages"] == 4


def test_move_and_retire_are_refused_while_a_writer_runs(two: Path) -> None:
    configure(two, "two")
    with open_writable(str(two / "dedup.db"), "watch"):
        for args in (("move", "one", "three", "--force"), ("retire", "one", "--yes")):
            result = run(two, "directories", *args)
            assert result.code == 3
            assert "watch" in result.err
    assert listed(two)["one"] == ("not configured", False, 6, 0)


def test_files_of_a_directory_that_is_not_configured_are_unchanged(two: Path) -> None:
    configure(two, "two")
    ArticleFile(aid="0000000005", oid="903").write(two / "one" / "late")
    replace(ArticleFile(aid="0000000009", oid="902"), body="neuer").write(two / "two")
    assert run(two, "scan", "-f", "json").json()["files"] == 1
    assert listed(two)["one"] == ("not configured", False, 6, 0)
    assert run(two, "export", "keep").out.count(str(two / "one")) == 3, "the files of the last crawl"
