"""Output never replaces protected files: databases and their indexes, crawl directories, the configuration, files of another kind."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dedup.alerts.channels import resolve_path
from dedup.config import ChannelConfig, load
from dedup.errors import ChannelError
from dedup.files.atomic import DATABASE_SUFFIXES, SQLITE_SUFFIXES
from dedup.files.protected import ProtectedFiles
from dedup.reports.export import FORMATS
from dedup.reports.period import REPORT_FORMATS
from tests.builders.command import CommandResult, SampleCrawl, run
from tests.builders.crawl import ArticleFile

pytestmark = pytest.mark.slow

CONFIGURATION = """
[crawl]
directories = ["crawl"]
settle_seconds = 0.0
[[alerts]]
name = "all"
on = ["change"]
to = ["feed"]
[channels.feed]
kind = "atom"
path = "{}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, a crawl directory with an article, and its database."""
    (tmp_path / "crawl" / "inner").mkdir(parents=True)
    ArticleFile().write(tmp_path / "crawl", "a.md")
    configure(tmp_path, "ok.atom")
    assert run(tmp_path, "scan").code == 0
    return tmp_path


def configure(folder: Path, channel: str | Path) -> None:
    (folder / "config.toml").write_text(CONFIGURATION.format(channel), "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file except those that SQLite and the lock create for readers."""
    left_out = (*SQLITE_SUFFIXES, ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(left_out)}


# Spellings of one path

Spelling = Callable[[Path], Path]


def relative(path: Path) -> Path:
    return path.parent / "crawl" / ".." / path.name if path.parent.name != "crawl" else path.parent / "inner" / ".." / path.name


def symlinked(path: Path) -> Path:
    (path.parent.parent / "linked").symlink_to(path)
    return path.parent.parent / "linked"


def hard_linked(path: Path) -> Path:
    os.link(path, path.parent.parent / "hard")
    return path.parent.parent / "hard"


def in_symlinked_folder(path: Path) -> Path:
    (path.parent.parent / "folder").symlink_to(path.parent)
    return path.parent.parent / "folder" / path.name


SPELLINGS: list[Spelling] = [lambda path: path, relative, symlinked, in_symlinked_folder]
PLACES = ["dedup.db", *(f"dedup.db{end}" for end in DATABASE_SUFFIXES), "crawl/a.md", "crawl/new.atom", "crawl/inner/new", "config.toml"]


@pytest.fixture
def inner_folder(tmp_path: Path) -> Path:
    """A nested folder, so that links can be outside of it."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("spelling", SPELLINGS, ids=["plain", "relative", "link", "folder's link"])
@pytest.mark.parametrize("place", PLACES)
def test_a_protected_path_is_refused_in_any_spelling(inner_folder: Path, place: str, spelling: Spelling) -> None:
    (inner_folder / "crawl" / "inner").mkdir(parents=True)
    (inner_folder / "config.toml").touch()
    protected = ProtectedFiles(str(inner_folder / "dedup.db"), (str(inner_folder / "crawl"),), str(inner_folder / "config.toml"))
    assert protected.find_problem(str(spelling(inner_folder / place))) is not None
    assert protected.find_problem(str(inner_folder / "crawl.atom")) is None
    assert protected.find_problem(str(inner_folder / "dedup.dbx")) is None


@pytest.mark.parametrize("place", ["dedup.db", "dedup.db.index", "config.toml"])
def test_a_hard_link_to_a_protected_file_is_refused(inner_folder: Path, place: str) -> None:
    (inner_folder / place).touch()
    protected = ProtectedFiles(str(inner_folder / "dedup.db"), (), str(inner_folder / "config.toml"))
    assert protected.find_problem(str(hard_linked(inner_folder / place))) is not None


def test_the_root_of_the_file_system_may_be_a_crawl_directory(tmp_path: Path) -> None:
    assert ProtectedFiles("", ("/",)).find_problem(str(tmp_path / "a")) is not None


def test_files_of_any_sqlite_database_are_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "photos")) as other:
        other.execute("CREATE TABLE photos (id)")
    protected = ProtectedFiles(str(tmp_path / "dedup.db"))
    for end in ("", *DATABASE_SUFFIXES):
        assert protected.find_problem(str(tmp_path / f"photos{end}")) is not None
        assert protected.find_problem(str(tmp_path / f"nothing{end}")) is None
    assert protected.find_problem(str(tmp_path / "photos"), database_allowed=True) is None


# Channels


@pytest.mark.parametrize("place", ["dedup.db", "./crawl/../dedup.db-wal", "dedup.db.search", "crawl/a.md", "crawl/new.atom", "config.toml"])
def test_a_channel_with_a_protected_path_is_a_configuration_error(folder: Path, place: str) -> None:
    configure(folder, place)
    before = contents(folder)
    for command in (("config",), ("alerts", "test", "feed"), ("scan",)):
        result = run(folder, *command)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("dedup: config.toml: channels.feed.path: ")
        assert result.err.count("\n") == 1
    assert contents(folder) == before


def test_a_channel_is_checked_against_paths_of_the_command_line(folder: Path) -> None:
    (folder / "other").mkdir()
    configure(folder, "other/a.atom")
    assert run(folder, "config").code == 0
    assert run(folder, "scan", "other").code == 2
    configure(folder, "other.db")
    assert run(folder, "-d", "other.db", "config").code == 2


def test_a_channel_does_not_follow_a_link_created_later(folder: Path) -> None:
    before = contents(folder)
    for target in ("dedup.db", "crawl/a.md", "config.toml"):
        settings = load(str(folder / "config.toml")).settings
        (folder / "ok.atom").symlink_to(target)
        with pytest.raises(ChannelError, match="cannot write"):
            resolve_path("feed", settings.channels["feed"], settings.protected_paths(file=folder / "config.toml"))
        assert run(folder, "alerts", "test", "feed").code in (2, 3)
        (folder / "ok.atom").unlink()
        assert contents(folder) == before


def test_a_crawl_directory_known_only_to_the_database_is_protected(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIGURATION.format("crawl/new.atom").replace('["crawl"]', "[]"), "utf-8")
    before = contents(folder)
    assert run(folder, "config").code == 0
    result = run(folder, "alerts", "test", "feed")
    assert (result.code, "crawl directory" in result.err) == (3, True)
    for command in (("report", "-o"), ("export", "articles", "-o"), ("backup",)):
        result = run(folder, *command, "crawl/new")
        assert (result.code, "crawl directory" in result.err) == (2, True)
    assert contents(folder) == before


def test_a_channel_writes_to_the_target_of_a_configured_link(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "a.atom").symlink_to("served/a.atom")
    channel = ChannelConfig(kind="atom", path=str(tmp_path / "a.atom"))
    assert resolve_path("feed", channel, ProtectedFiles(str(tmp_path / "dedup.db"))).path == str(tmp_path / "served" / "a.atom")


# Reports and exports

WRITERS = [("report",), ("export", "articles"), ("export", "keep")]


def is_refused(result: CommandResult) -> bool:
    return (result.code, result.out, result.err.count("\n"), " is not written: " in result.err) == (2, "", 1, True)


@pytest.mark.parametrize("place", ["dedup.db", "dedup.db.index", "dedup.db-wal", "crawl/a.md", "crawl/new", "config.toml"])
@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_output_to_a_protected_path_is_refused_even_with_force(folder: Path, command: tuple[str, ...], place: str) -> None:
    before = contents(folder)
    for force in ((), ("--force",)):
        assert is_refused(run(folder, *command, "-o", place, *force))
    assert contents(folder) == before


@pytest.mark.parametrize(
    "content",
    [b"# my notes\n", b"[section]\nkey = 1\n", b"\x89PNG\r\n\x1a\n", b'{"a": 1}\n', b"a,b,c\n1,2,3\n", b"<html>", b"PAR1xPAR1"],
)
@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_a_file_of_another_kind_is_replaced_only_with_force(
    sampled: SampleCrawl, tmp_path: Path, command: tuple[str, ...], content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    result = sampled(*command, "-o", path)
    assert is_refused(result)
    assert "--force" in result.err
    assert path.read_bytes() == content
    assert sampled(*command, "-o", path, "--force").code == 0
    assert path.read_bytes() == sampled(*command).out.encode()


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_a_report_replaces_an_earlier_report(sampled: SampleCrawl, tmp_path: Path, form: str) -> None:
    for options in ((), ("--publisher", "Hanbit"), ("--since", "2030-01-01")):
        assert sampled("report", "-f", form, *options, "-o", tmp_path / "file").code == 0
    assert sampled("report", "-f", "html", "-o", tmp_path / "file").code == 0


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("table", ["articles", "matches", "clusters", "changes", "keep", "drop"])
def test_an_export_replaces_an_earlier_export(sampled: SampleCrawl, tmp_path: Path, form: str, table: str) -> None:
    for _ in range(2):
        assert sampled("export", table, "-f", form, "-o", tmp_path / "file").code == 0
    if table not in ("keep", "drop"):
        for _ in range(2):
            assert sampled("export", table, "-f", form, "--since", "2030-01-01", "-o", tmp_path / "file").code == 0


def test_another_programs_database_is_not_replaced_even_with_force(sampled: SampleCrawl, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "photos")) as other:
        other.execute("CREATE TABLE photos (id)")
    before = (tmp_path / "photos").read_bytes()
    for command in (*((*w, "-o") for w in WRITERS), ("backup",)):
        assert sampled(*command, tmp_path / "photos", "--force").code == 2
    assert (tmp_path / "photos").read_bytes() == before


# Commands that create files


def test_init_refuses_to_write_within_the_crawl_directory(tmp_path: Path) -> None:
    (tmp_path / "crawl" / "inner").mkdir(parents=True)
    for folder, directory in ((tmp_path / "crawl", "."), (tmp_path / "crawl" / "inner", "..")):
        assert is_refused(run(folder, "init", directory))
        assert not (folder / "config.toml").exists()


def test_sample_refuses_to_write_within_a_crawl_directory(folder: Path) -> None:
    before = contents(folder)
    assert is_refused(run(folder, "sample", "crawl/inner"))
    assert contents(folder) == before
