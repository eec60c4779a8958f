"""A foreign file at the database's path is never waited for or changed, and every command reports it in one line."""

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

pytestmark = pytest.mark.slow

READERS = (
    ("status",), ("history", "https://a.example/1"), ("duplicates",), ("changes",), ("report",), ("export", "articles"),
    ("alerts", "list"), ("boilerplate", "list"), ("dump", "--logical", "-f", "json"), ("search", "word"), ("backup", "kept.db"),
    ("prune", "--dry-run"),
)  # fmt: skip
WRITERS = (("scan",), ("reindex",), ("alerts", "send"), ("prune", "--vacuum"), ("doctor", "--repair"), ("restore", "other.db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A crawl directory with an article, and a valid database with another name."""
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    ArticleFile(body="본문이 한 문단으로 길게 이어진다. " * 10).write(tmp_path / "crawl")
    assert run(tmp_path, "-d", "other.db", "scan").code == 0
    return tmp_path


# What may be there


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id)")
        connection.execute("PRAGMA user_version=77")


def foreign_database_in_wal_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE photos (id)")


def foreign_database_of_a_killed_process(path: Path) -> None:
    """All its content is in its log."""
    temporary = path.with_name("made")
    with closing(sqlite3.connect(temporary)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE photos (id)")
        for end in ("", "-wal"):
            shutil.copy(f"{temporary}{end}", f"{path}{end}")
    temporary.unlink()


def foreign_application_id(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id=252006673")


def foreign_user_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=3")


def foreign_migrations(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT, applied_at TEXT)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES ('photos', '0001_first', 'x')")
        connection.execute("CREATE TABLE settings (key TEXT, value TEXT)")
        connection.commit()


def a_search_index(path: Path) -> None:
    shutil.copy(path.with_name("other.db.search"), path)


def text(path: Path) -> None:
    path.write_text("another user's notes\n" * 50)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as socket_:
        socket_.bind(str(path))


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
    foreign_database, foreign_database_in_wal_mode, foreign_database_of_a_killed_process, foreign_application_id,
    foreign_user_version, foreign_migrations, a_search_index,
]  # fmt: skip
OTHERS = [text, a_pipe, a_socket, a_folder, a_device, a_link_to_nowhere, a_link_to_itself, a_link_to_a_pipe]


def state(path: Path) -> tuple[object, ...]:
    """The file at a path and the files beside it. The `-shm` file is left out, because SQLite creates it to read a log."""
    status = path.lstat()
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    log = Path(f"{path}-wal")
    names = {p.name for p in path.parent.iterdir()} - {f"{path.name}-shm"}
    return status.st_ino, status.st_mode, status.st_size, content, log.read_bytes() if log.exists() else b"", names


def is_refused(result: CommandResult, code: int = 3) -> bool:
    return (result.code, result.out, result.err.count("\n"), "places.db" in result.err) == (code, "", 1, True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("create", [*DATABASES, *OTHERS], ids=lambda create: str(create.__name__))
def test_every_command_refuses_a_foreign_file_and_does_not_change_it(folder: Path, create: Callable[[Path], None]) -> None:
    path = folder / "places.db"
    create(path)
    before = state(path)
    for command in (*READERS, *WRITERS):
        if command[0] == "restore" and create is text:  # `restore` replaces a text file, and destroys nothing
            continue
        result = run(folder, "-d", path, *command)
        if command == ("doctor", "--repair") and (create in (a_link_to_nowhere, a_link_to_itself) or result.code == 1):
            continue
        assert is_refused(result), (command, result)
        assert state(path) == before, command
    result = run(folder, "-d", path, "doctor", "--quick")
    assert result.code == 1
    assert "database" in result.out
    assert state(path) == before


@pytest.mark.parametrize("end", [".index", ".passages", ".search"])
def test_a_file_of_another_database_is_not_opened(folder: Path, end: str) -> None:
    path = folder / f"other.db{end}"
    before = path.read_bytes()
    assert run(folder, "-d", path, "scan").code == 3
    assert path.read_bytes() == before


def test_an_unreadable_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "other.db"
    path.chmod(0)
    original = os.open

    def deny(name: str, *args: object, **kw: object) -> int:
        if os.fspath(name) == str(path):
            raise PermissionError(13, "Permission denied", name)
        return original(name, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", deny)
    monkeypatch.setattr(descriptors, "_descriptors", {})  # earlier commands in this process had it open
    for command in (*READERS[:3], *WRITERS[:2]):
        result = run(folder, "-d", path, *command)
        assert (result.code, result.err.count("\n")) == (3, 1)
        assert "Permission denied (its permissions are 000)" in result.err


# What belongs to dedup


def is_marked(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA application_id").fetchone()[0])


def test_new_and_empty_files_become_marked_databases(tmp_path: Path) -> None:
    for name in ("new.db", "empty.db"):
        path = tmp_path / name
        if name == "empty.db":
            path.touch()
        with open_writable(str(path), "test"):
            pass
        with open_writable(str(path), "test"):
            pass
        assert is_marked(path) == APPLICATION_ID


@pytest.mark.system
@pytest.mark.parametrize("logged", [False, True])
def test_a_database_of_an_earlier_version_is_adopted(folder: Path, logged: bool) -> None:
    """`logged`: the process was killed, and a new mark would be in the log only."""
    path = folder / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id=0")
    require_dedup_database(str(path))
    with open_database(str(path)) as database:
        assert store.statistics.count(database, "files") == 1
    assert is_marked(path) == 0
    if logged:
        with closing(sqlite3.connect(path)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM files").fetchone()
            assert run(folder, "-d", path, "scan").code == 0
    assert run(folder, "-d", path, "scan").code == 0
    assert is_marked(path) == APPLICATION_ID


def test_a_database_without_tables_is_accepted(tmp_path: Path) -> None:
    """The process was killed before it created any."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    require_dedup_database(str(tmp_path / "a.db"))
    with open_writable(str(tmp_path / "a.db"), "test") as database:
        assert store.statistics.count(database, "files") == 0


def test_a_foreign_file_in_place_of_the_lock_is_not_overwritten(tmp_path: Path) -> None:
    for content in (b"notes\n", b"'dedup scan'" + bytes(4096), b"\n" * 5000):
        (tmp_path / "a.db.lock").write_bytes(content)
        with pytest.raises(DatabaseUnreadableError, match="is another program's file"), open_writable(str(tmp_path / "a.db"), "test"):
            pass
        assert (tmp_path / "a.db.lock").read_bytes() == content
