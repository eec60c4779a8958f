"""What is at the database's path and is no database of dedup is neither waited for nor changed, and every command says so in one line."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dedup import store
from dedup.errors import DatabaseUnreadableError
from dedup.store import descriptors, open_database, open_writable
from dedup.store.ownership import APPLICATION_ID, require_dedup_database
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile

READERS = (
    ("status",), ("history", "https://a.example/1"), ("duplicates",), ("changes",), ("report",), ("export", "articles"),
    ("alerts", "list"), ("boilerplate", "list"), ("dump", "--logical", "-f", "json"), ("search", "word"), ("backup", "kept.db"),
    ("prune", "--dry-run"),
)  # fmt: skip
WRITERS = (("scan",), ("reindex",), ("alerts", "send"), ("prune", "--vacuum"), ("doctor", "--repair"), ("restore", "other.db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A crawl directory with an article, and a whole database of another name."""
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    ArticleFile(body="본문이 한 문단으로 길게 이어진다. " * 10).write(tmp_path / "crawl")
    assert run(tmp_path, "-d", "other.db", "scan").code == 0
    return tmp_path


# What may be there


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE photos (id)")
        other.execute("PRAGMA user_version=77")


def another_programs_in_wal_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE photos (id)")


def another_programs_that_was_killed(path: Path) -> None:
    """All that it wrote is in its log."""
    made = path.with_name("made")
    with closing(sqlite3.connect(made)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("CREATE TABLE photos (id)")
        for end in ("", "-wal"):
            shutil.copy(f"{made}{end}", f"{path}{end}")
    made.unlink()


def another_programs_by_its_mark(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id=252006673")


def another_programs_by_its_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version=3")


def another_programs_with_migrations(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT, applied_at TEXT)")
        other.execute("INSERT INTO _sqlite_migrations VALUES ('photos', '0001_first', 'x')")
        other.execute("CREATE TABLE settings (key TEXT, value TEXT)")
        other.commit()


def a_search_index(path: Path) -> None:
    shutil.copy(path.with_name("other.db.search"), path)


def text(path: Path) -> None:
    path.write_text("somebody's notes\n" * 50)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_folder(path: Path) -> None:
    path.mkdir()


def a_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("no/where")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


DATABASES = [
    another_programs, another_programs_in_wal_mode, another_programs_that_was_killed, another_programs_by_its_mark,
    another_programs_by_its_version, another_programs_with_migrations, a_search_index,
]  # fmt: skip
OTHERS = [text, a_pipe, a_socket, a_folder, a_device, a_link_to_nowhere, a_link_to_itself, a_link_to_a_pipe]


def state(path: Path) -> tuple[object, ...]:
    """What is at a path, and which files lie beside it; neither the files that SQLite makes to look at a log are ours nor changes."""
    found = path.lstat()
    held = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    log = Path(f"{path}-wal")
    beside = {p.name for p in path.parent.iterdir()} - {f"{path.name}-shm"}
    return found.st_ino, found.st_mode, found.st_size, held, log.read_bytes() if log.exists() else b"", beside


def refused(ran: CommandResult, code: int = 3) -> bool:
    return (ran.code, ran.out, ran.err.count("\n"), "places.db" in ran.err) == (code, "", 1, True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("put", [*DATABASES, *OTHERS], ids=lambda put: str(put.__name__))
def test_it_is_refused_by_every_command_and_stays_as_it_is(folder: Path, put: Callable[[Path], None]) -> None:
    path = folder / "places.db"
    put(path)
    before = state(path)
    for command in (*READERS, *WRITERS):
        if command[0] == "restore" and put is text:  # it destroys nothing there
            continue
        ran = run(folder, "-d", path, *command)
        if command == ("doctor", "--repair") and (put in (a_link_to_nowhere, a_link_to_itself) or ran.code == 1):
            continue
        assert refused(ran), (command, ran)
        assert state(path) == before, command
    ran = run(folder, "-d", path, "doctor", "--quick")
    assert ran.code == 1
    assert "database" in ran.out
    assert state(path) == before


@pytest.mark.parametrize("end", [".index", ".passages", ".search"])
def test_a_file_beside_another_database_is_not_taken_for_one(folder: Path, end: str) -> None:
    path = folder / f"other.db{end}"
    before = path.read_bytes()
    assert run(folder, "-d", path, "scan").code == 3
    assert path.read_bytes() == before


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "other.db"
    path.chmod(0)
    opened = os.open

    def denied(name: str, *args: object, **kw: object) -> int:
        if os.fspath(name) == str(path):
            raise PermissionError(13, "Permission denied", name)
        return opened(name, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)
    monkeypatch.setattr(descriptors, "_descriptors", {})  # commands before ran in this process and had it open
    for command in (*READERS[:3], *WRITERS[:2]):
        ran = run(folder, "-d", path, *command)
        assert (ran.code, ran.err.count("\n")) == (3, 1)
        assert "Permission denied (its permissions are 000)" in ran.err


# What is ours


def marked(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA application_id").fetchone()[0])


def test_a_new_database_is_marked_and_an_empty_file_becomes_one(tmp_path: Path) -> None:
    for name in ("new.db", "empty.db"):
        path = tmp_path / name
        if name == "empty.db":
            path.touch()
        with open_writable(str(path), "test"):
            pass
        with open_writable(str(path), "test"):
            pass
        assert marked(path) == APPLICATION_ID


@pytest.mark.parametrize("logged", [False, True])
def test_a_database_of_an_earlier_version_is_adopted(folder: Path, logged: bool) -> None:
    """`logged`: its process was killed, and its mark would be in the log alone."""
    path = folder / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id=0")
    require_dedup_database(str(path))
    with open_database(str(path)) as database:
        assert store.statistics.count(database, "files") == 1
    assert marked(path) == 0
    if logged:
        with closing(sqlite3.connect(path)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM files").fetchone()
            assert run(folder, "-d", path, "scan").code == 0
    assert run(folder, "-d", path, "scan").code == 0
    assert marked(path) == APPLICATION_ID


def test_a_database_without_tables_is_fine(tmp_path: Path) -> None:
    """Its process was killed before it had made any."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    require_dedup_database(str(tmp_path / "a.db"))
    with open_writable(str(tmp_path / "a.db"), "test") as database:
        assert store.statistics.count(database, "files") == 0


def test_a_lock_that_is_a_file_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    for held in (b"notes\n", b"'dedup scan'" + bytes(4096), b"\n" * 5000):
        (tmp_path / "a.db.lock").write_bytes(held)
        with pytest.raises(DatabaseUnreadableError, match="is another program's file"), open_writable(str(tmp_path / "a.db"), "test"):
            pass
        assert (tmp_path / "a.db.lock").read_bytes() == held
