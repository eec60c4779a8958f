"""No output replaces what must stay: databases and what belongs to them, crawl directories, the configuration, files of another kind."""

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
    """A configuration, a crawl directory with an article, and a database that knows it."""
    (tmp_path / "crawl" / "inner").mkdir(parents=True)
    ArticleFile().write(tmp_path / "crawl", "a.md")
    configured(tmp_path, "ok.atom")
    assert run(tmp_path, "scan").code == 0
    return tmp_path


def configured(folder: Path, channel: str | Path) -> None:
    (folder / "config.toml").write_text(CONFIGURATION.format(channel), "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, but for what SQLite and the lock keep while somebody looks."""
    left_out = (*SQLITE_SUFFIXES, ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(left_out)}


# Spellings of one place

Spelling = Callable[[Path], Path]


def relative(path: Path) -> Path:
    return path.parent / "crawl" / ".." / path.name if path.parent.name != "crawl" else path.parent / "inner" / ".." / path.name


def linked(path: Path) -> Path:
    (path.parent.parent / "linked").symlink_to(path)
    return path.parent.parent / "linked"


def hard_linked(path: Path) -> Path:
    os.link(path, path.parent.parent / "hard")
    return path.parent.parent / "hard"


def beneath_a_link(path: Path) -> Path:
    (path.parent.parent / "folder").symlink_to(path.parent)
    return path.parent.parent / "folder" / path.name


SPELLINGS: list[Spelling] = [lambda path: path, relative, linked, beneath_a_link]
PLACES = ["dedup.db", *(f"dedup.db{end}" for end in DATABASE_SUFFIXES), "crawl/a.md", "crawl/new.atom", "crawl/inner/new", "config.toml"]


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A folder of its own within another one, for links outside of it."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("spelling", SPELLINGS, ids=["plain", "relative", "link", "folder's link"])
@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_refused_whichever_way_it_is_spelt(moved: Path, place: str, spelling: Spelling) -> None:
    (moved / "crawl" / "inner").mkdir(parents=True)
    (moved / "config.toml").touch()
    protected = ProtectedFiles(str(moved / "dedup.db"), (str(moved / "crawl"),), str(moved / "config.toml"))
    assert protected.find_problem(str(spelling(moved / place))) is not None
    assert protected.find_problem(str(moved / "crawl.atom")) is None
    assert protected.find_problem(str(moved / "dedup.dbx")) is None


@pytest.mark.parametrize("place", ["dedup.db", "dedup.db.index", "config.toml"])
def test_a_hard_link_is_the_same_file(moved: Path, place: str) -> None:
    (moved / place).touch()
    protected = ProtectedFiles(str(moved / "dedup.db"), (), str(moved / "config.toml"))
    assert protected.find_problem(str(hard_linked(moved / place))) is not None


def test_the_root_of_the_file_system_may_be_a_crawl_directory(tmp_path: Path) -> None:
    assert ProtectedFiles("", ("/",)).find_problem(str(tmp_path / "a")) is not None


def test_files_of_any_database_are_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "photos")) as other:
        other.execute("CREATE TABLE photos (id)")
    protected = ProtectedFiles(str(tmp_path / "dedup.db"))
    for end in ("", *DATABASE_SUFFIXES):
        assert protected.find_problem(str(tmp_path / f"photos{end}")) is not None
        assert protected.find_problem(str(tmp_path / f"nothing{end}")) is None
    assert protected.find_problem(str(tmp_path / "photos"), database_allowed=True) is None


# Channels


@pytest.mark.parametrize("place", ["dedup.db", "./crawl/../dedup.db-wal", "dedup.db.search", "crawl/a.md", "crawl/new.atom", "config.toml"])
def test_a_channel_that_would_write_there_is_an_error_of_the_configuration(folder: Path, place: str) -> None:
    configured(folder, place)
    before = contents(folder)
    for command in (("config",), ("alerts", "test", "feed"), ("scan",)):
        ran = run(folder, *command)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("dedup: config.toml: channels.feed.path: ")
        assert ran.err.count("\n") == 1
    assert contents(folder) == before


def test_a_channel_is_checked_against_what_the_command_line_says(folder: Path) -> None:
    (folder / "other").mkdir()
    configured(folder, "other/a.atom")
    assert run(folder, "config").code == 0
    assert run(folder, "scan", "other").code == 2
    configured(folder, "other.db")
    assert run(folder, "-d", "other.db", "config").code == 2


def test_a_link_that_is_put_there_later_leads_nowhere(folder: Path) -> None:
    before = contents(folder)
    for target in ("dedup.db", "crawl/a.md", "config.toml"):
        settings = load(str(folder / "config.toml")).settings
        (folder / "ok.atom").symlink_to(target)
        with pytest.raises(ChannelError, match="cannot write"):
            resolve_path("feed", settings.channels["feed"], settings.protected_paths(file=folder / "config.toml"))
        assert run(folder, "alerts", "test", "feed").code in (2, 3)
        (folder / "ok.atom").unlink()
        assert contents(folder) == before


def test_a_crawl_directory_that_only_the_database_knows_is_none_to_write_to(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIGURATION.format("crawl/new.atom").replace('["crawl"]', "[]"), "utf-8")
    before = contents(folder)
    assert run(folder, "config").code == 0
    ran = run(folder, "alerts", "test", "feed")
    assert (ran.code, "crawl directory" in ran.err) == (3, True)
    for command in (("report", "-o"), ("export", "articles", "-o"), ("backup",)):
        ran = run(folder, *command, "crawl/new")
        assert (ran.code, "crawl directory" in ran.err) == (2, True)
    assert contents(folder) == before


def test_a_channel_whose_path_is_a_link_writes_what_that_leads_to(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "a.atom").symlink_to("served/a.atom")
    channel = ChannelConfig(kind="atom", path=str(tmp_path / "a.atom"))
    assert resolve_path("feed", channel, ProtectedFiles(str(tmp_path / "dedup.db"))).path == str(tmp_path / "served" / "a.atom")


# Reports and exports

WRITERS = [("report",), ("export", "articles"), ("export", "keep")]


def refused(ran: CommandResult) -> bool:
    return (ran.code, ran.out, ran.err.count("\n"), " is not written: " in ran.err) == (2, "", 1, True)


@pytest.mark.parametrize("place", ["dedup.db", "dedup.db.index", "dedup.db-wal", "crawl/a.md", "crawl/new", "config.toml"])
@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_no_output_goes_to_a_protected_place_even_by_force(folder: Path, command: tuple[str, ...], place: str) -> None:
    before = contents(folder)
    for force in ((), ("--force",)):
        assert refused(run(folder, *command, "-o", place, *force))
    assert contents(folder) == before


@pytest.mark.parametrize(
    "held",
    [b"# my notes\n", b"[section]\nkey = 1\n", b"\x89PNG\r\n\x1a\n", b'{"a": 1}\n', b"a,b,c\n1,2,3\n", b"<html>", b"PAR1xPAR1"],
)
@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_a_file_of_another_kind_is_replaced_by_force_alone(
    sampled: SampleCrawl, tmp_path: Path, command: tuple[str, ...], held: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(held)
    ran = sampled(*command, "-o", path)
    assert refused(ran)
    assert "--force" in ran.err
    assert path.read_bytes() == held
    assert sampled(*command, "-o", path, "--force").code == 0
    assert path.read_bytes() == sampled(*command).out.encode()


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_a_report_takes_the_place_of_an_earlier_one(sampled: SampleCrawl, tmp_path: Path, form: str) -> None:
    for more in ((), ("--publisher", "Hanbit"), ("--since", "2030-01-01")):
        assert sampled("report", "-f", form, *more, "-o", tmp_path / "file").code == 0
    assert sampled("report", "-f", "html", "-o", tmp_path / "file").code == 0


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("table", ["articles", "matches", "clusters", "changes", "keep", "drop"])
def test_an_export_takes_the_place_of_an_earlier_one(sampled: SampleCrawl, tmp_path: Path, form: str, table: str) -> None:
    for _ in range(2):
        assert sampled("export", table, "-f", form, "-o", tmp_path / "file").code == 0
    if table not in ("keep", "drop"):
        for _ in range(2):
            assert sampled("export", table, "-f", form, "--since", "2030-01-01", "-o", tmp_path / "file").code == 0


def test_another_programs_database_is_replaced_by_no_force(sampled: SampleCrawl, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "photos")) as other:
        other.execute("CREATE TABLE photos (id)")
    before = (tmp_path / "photos").read_bytes()
    for command in (*((*w, "-o") for w in WRITERS), ("backup",)):
        assert sampled(*command, tmp_path / "photos", "--force").code == 2
    assert (tmp_path / "photos").read_bytes() == before


# What is laid out


def test_no_configuration_is_made_within_the_crawl_directory(tmp_path: Path) -> None:
    (tmp_path / "crawl" / "inner").mkdir(parents=True)
    for folder, directory in ((tmp_path / "crawl", "."), (tmp_path / "crawl" / "inner", "..")):
        assert refused(run(folder, "init", directory))
        assert not (folder / "config.toml").exists()


def test_no_sample_is_laid_out_within_a_crawl_directory(folder: Path) -> None:
    before = contents(folder)
    assert refused(run(folder, "sample", "crawl/inner"))
    assert contents(folder) == before
