"""A backup is the database as of one commit, whole, whoever writes meanwhile; one that is not is never left behind; and what is
restored goes on as if nothing had been."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from dedup import errors, store
from dedup.files.atomic import PART_PREFIX
from dedup.pipeline.scanner import Scan
from dedup.store import backup, open_database, open_writable
from dedup.text import times
from tests.builders import scans as running
from tests.builders.command import CommandResult, run, spawn
from tests.builders.crawl import ArticleFile, edited
from tests.builders.daemon import equals_a_scan, watching
from tests.builders.schemas import later
from tests.builders.stories import TAIL, check_index, command_scan, derived, families, paper

pytestmark = pytest.mark.usefixtures("machine_code")


@lru_cache
def articles(number: int, tail: str = "") -> list[ArticleFile]:
    """Articles of which some are copies of each other and the last one is the first one's page, crawled again. Every third has the
    tail, by one publisher."""
    rng = random.Random(31)
    bodies = families(rng, number)[:number]
    found = [paper(n, f"{body} {tail if n % 3 == 0 else ''}", publisher=f"신문 {n % 3}") for n, body in enumerate(bodies)]
    again = " ".join(edited(rng, bodies[0].split(), 0.05))
    return [*found[:-1], paper(0, again, publisher="신문 0", crawled_at="2026-03-03 00:30:00")]


def write(crawl: Path, some: list[ArticleFile]) -> None:
    for n, made in enumerate(some):
        made.write(crawl, f"{n:04}_{made.name}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, a crawl directory and its database."""
    write(tmp_path / "crawl", articles(12))
    assert command_scan(tmp_path).code == 0
    return tmp_path


def uuid_of(path: Path) -> str:
    with open_database(str(path)) as database:
        found = store.settings.get(database, "uuid")
    assert found
    return found


def left_behind(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(PART_PREFIX))


def beside(path: Path) -> list[str]:
    """What lies beside a file under its name."""
    return sorted(p.name for p in path.parent.glob(path.name + "?*"))


def sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return whole and connection.execute("PRAGMA foreign_key_check").fetchall() == []


# While others write


def test_a_backup_beside_a_daemon_is_one_whole_file_of_a_committed_state(crawl: Path, db: Path, tmp_path: Path) -> None:
    """Whatever files it knows, it says of them what a scan of just these says."""
    some = articles(40)
    write(crawl, some[:10])
    names = [f"{n:04}_{made.name}" for n, made in enumerate(some)]
    backups = []
    with watching(crawl, db, settle=0.0) as daemon:
        for n, made in enumerate(some[10:]):
            made.write(crawl, names[10 + n], age=0)
            if n % 4 == 0:
                backups.append(tmp_path / f"{n}.backup")
                done = spawn(tmp_path, "--config", f"{db}.toml", "backup", backups[-1], "--format", "json")
                assert done.code == 0, done.err
        daemon.wait_until(lambda: daemon.recorded() == len(names))
        assert daemon.leave() == 0
    sizes = []
    for path in backups:
        assert beside(path) == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert sound(path)
        known = [row["path"] for row in running.dump(path, "files")]
        only = tmp_path / f"{path.name}.d" / "crawl"
        only.mkdir(parents=True)
        for name in known:
            shutil.copy2(crawl / name, only / name)
        running.scan(only, only.with_name("clean.db"))
        assert without_directory(running.dump(path)) == without_directory(running.dump(only.with_name("clean.db")))
        sizes.append(len(known))
    assert len(set(sizes)) > 1, "the daemon wrote between them"
    equals_a_scan(crawl, db)


def without_directory(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dump but for the path of the crawl directory."""
    return [{key: value for key, value in row.items() if key != "directory"} for row in rows if row["table"] != "directories"]


def test_it_ends_and_is_of_its_first_moment_though_batches_are_committed_between_any_two_steps(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun anew at each commit it would never end."""
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 8)
    some = articles(60, TAIL)
    write(crawl, some)
    names = iter([os.fsencode(f"{n:04}_{made.name}") for n, made in enumerate(some)])
    with running.session(crawl, db) as session:

        def take() -> bool:
            name = next(names, None)
            if name is not None:
                Scan(session).check_paths(session.directories[0], [name])
            return name is not None

        for _ in range(5):
            take()
        backups = 0
        while True:
            before, rows = running.dump(db), derived(db)
            steps = 0

            def heard(what: str, done: int, total: int) -> None:
                nonlocal steps
                steps += what == "copy"
                assert steps * 8 * 4096 < 2 * total + 8 * 4096, "it began anew"
                if steps < 4:
                    take()

            backup.write(str(db), str(db) + ".backup", progress=heard)
            assert steps > 4
            assert running.dump(Path(f"{db}.backup")) == before
            assert derived(Path(f"{db}.backup")) == rows
            backups += 1
            if not take():
                break
            assert running.dump(db) != before
    assert backups > 5


def test_an_earlier_backup_stands_until_the_new_one_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 4)
    db, kept = folder / "dedup.db", folder / "kept.db"
    backup.write(str(db), str(kept))
    first = running.dump(kept)
    ArticleFile(body="뒤에 온 본문", aid="0000009999").write(folder / "crawl")
    assert command_scan(folder).code == 0
    heard: set[str] = set()

    def look(what: str, _: int, __: int) -> None:
        heard.add(what)
        assert running.dump(kept) == first

    backup.write(str(db), str(kept), progress=look)
    assert heard >= {"copy"}
    assert running.dump(kept) == running.dump(db) != first


def test_what_it_says_is_what_status_says(folder: Path) -> None:
    torn = ArticleFile(aid="0000000777", claim="0" * 64).render()[:-200]
    (folder / "crawl" / "torn.md").write_text(torn, "utf-8")
    assert command_scan(folder).code == 0
    told = run(folder, "backup", "kept.db", "--format", "json").json()
    counted = run(folder, "status", "--format", "json").json()
    assert told.pop("seconds") >= 0
    assert told == {
        "backup": str(folder / "kept.db"),
        "bytes": (folder / "kept.db").stat().st_size,
        **{key: counted[key] for key in ("pages", "files", "revisions")},
        "verified": True,
    }
    same = run(folder, "--database", "kept.db", "status", "--format", "json").json()
    beside_it = {"index_bytes": 0, "database_bytes": 0, "search": None}
    assert {**same, **beside_it} == {**counted, **beside_it}
    assert beside(folder / "kept.db") == [], "to read it nothing has to be made beside it"
    done = run(folder, "backup", "kept.db")
    assert done.code == 0
    assert f"{counted['files']} files" in done.out


_WATCHED = """
import sys
from dedup.cli import main
from dedup.store import backup
backup.PAGES_PER_STEP, backup.CHECK_INSTRUCTIONS = 4, 1
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("args", [["backup", "kept.db"], ["restore", "kept.db"], ["backup", "kept.db", "--quiet"]], ids=" ".join)
def test_on_a_terminal_a_bar_tells_how_far_it_is(folder: Path, args: list[str]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    terminal, theirs = os.openpty()
    command = [sys.executable, "-c", _WATCHED, *args, "--format", "json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how a terminal ends
            while read := os.read(terminal, 65536):
                shown += read
        out, _ = process.communicate(timeout=120)
    os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out)["verified"]
    assert [what in shown for what in (args[0].encode(), b"check")] == ["--quiet" not in args] * 2


def test_two_backups_at_once_are_both_whole(folder: Path) -> None:
    command = [sys.executable, "-m", "dedup", "backup", "kept.db"]
    both = [subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(p.communicate(timeout=120), p.returncode)[1] for p in both] == [0, 0]
    assert running.dump(folder / "kept.db") == running.dump(folder / "dedup.db")
    assert left_behind(folder) == []


def test_it_is_on_the_disk_before_it_takes_the_place_of_an_earlier_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def replaced(one: str, other: str, **folders: int) -> None:
        happened.append("replace")
        replace(one, other, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert happened == ["file", "replace", "folder"]
    happened.clear()
    backup.restore(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert happened == ["file", "folder", "replace", "folder"]


# What is refused


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """These files are the same to the byte after the block, and nothing unfinished lies about."""
    before = [path.read_bytes() for path in paths]
    yield
    assert [path.read_bytes() for path in paths] == before
    assert [left_behind(path.parent) for path in paths] == [[]] * len(paths)


def refused(folder: Path, *args: str | bytes | Path, code: int = 2, told: str = "") -> CommandResult:
    done = run(folder, *args)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("dedup: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    return done


def other_database(folder: Path) -> Path:
    path = folder / "other" / "dedup.db"
    path.parent.mkdir()
    ArticleFile(aid="0000000888").write(path.parent / "crawl")
    assert command_scan(path.parent).code == 0
    return path


@pytest.mark.parametrize("content", [b"", b"somebody's file\n" * 200], ids=["empty", "a text"])
def test_a_file_that_is_no_database_is_left_alone(folder: Path, content: bytes) -> None:
    path = folder / "thesis.txt"
    path.write_bytes(content)
    with unchanged(path):
        refused(folder, "backup", path, told="not a backup")
        refused(folder, "backup", path, "--force", told="not a backup")


def test_somebody_elses_database_is_left_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "photos.db")) as connection:
        connection.executescript("CREATE TABLE settings (key, value); INSERT INTO settings VALUES ('uuid', 'x');")
    with unchanged(folder / "photos.db"):
        refused(folder, "backup", "photos.db", "--force", told="database of dedup")


def test_a_backup_of_another_database_is_replaced_only_by_force(folder: Path) -> None:
    kept = folder / "kept.db"
    assert run(other_database(folder).parent, "backup", kept).code == 0
    with unchanged(kept):
        refused(folder, "backup", kept, told="--force")
    assert run(folder, "backup", kept, "--force").code == 0
    assert uuid_of(kept) == uuid_of(folder / "dedup.db")


@pytest.mark.parametrize("how", ["itself", "symbolic link", "hard link", "through a folder's link"])
def test_the_database_is_never_its_own_backup(folder: Path, how: str) -> None:
    db = path = folder / "dedup.db"
    if how == "symbolic link":
        path = folder / "link.db"
        path.symlink_to(db)
    elif how == "hard link":
        path = folder / "link.db"
        path.hardlink_to(db)
    elif how == "through a folder's link":
        (folder / "here").symlink_to(folder)
        path = folder / "here" / "dedup.db"
    with unchanged(db):
        refused(folder, "backup", path, "--force", told="it is the database or one of")
        refused(folder, "restore", path, code=3, told="the database itself")


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock", ".health", ".index", ".passages", ".compiled"])
def test_no_backup_is_put_where_the_database_keeps_its_own(folder: Path, end: str) -> None:
    path = folder / f"dedup.db{end}"
    if path.exists():
        path.unlink()
    refused(folder, "backup", path, "--force", told="it is the database or one of")
    assert not path.exists() or b"SQLite" not in path.read_bytes()


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_no_backup_is_put_beside_a_log_that_would_be_taken_for_its_own(folder: Path, end: str) -> None:
    (folder / f"kept.db{end}").write_bytes(b"x" * 5000)
    refused(folder, "backup", "kept.db", told=f"kept.db{end}")
    assert not (folder / "kept.db").exists()


def test_no_backup_takes_the_place_of_a_database_that_is_in_use(folder: Path) -> None:
    """With its folder copied, a database has the same uuid."""
    copy = folder / "copy.db"
    shutil.copyfile(folder / "dedup.db", copy)
    with open_writable(str(copy), "watch"):
        refused(folder, "backup", copy, "--force", told="'dedup watch'")
    assert run(folder, "backup", copy).code == 0


def test_what_comes_to_stand_there_while_it_copies_is_left_alone_too(folder: Path) -> None:
    path = folder / "kept.db"

    def come(*_: object) -> None:
        path.write_text("a thesis")

    with pytest.raises(errors.BackupRefusedError):
        backup.write(str(folder / "dedup.db"), str(path), progress=come)
    assert path.read_text() == "a thesis"
    assert left_behind(folder) == []


def test_nothing_is_ever_written_into_a_crawl_directory(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "crawl")
    for path in ("crawl/kept.db", "link/kept.db"):
        refused(folder, "backup", path, told="crawl directory")
    assert not list((folder / "crawl").glob("*.db*"))


def test_neither_a_folder_nor_a_pipe_nor_a_place_that_is_not_there_becomes_a_backup(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    refused(folder, "backup", ".", told="a folder")
    refused(folder, "backup", "", told="a folder")
    refused(folder, "backup", "pipe", told="not a regular file")
    refused(folder, "backup", "/dev/null", told="not a regular file")
    refused(folder, "backup", "loop", told="not a regular file")
    refused(folder, "backup", "none/kept.db", code=3, told="No such file or directory")
    refused(folder, "backup", "dedup.db/kept.db", code=2, told="Not a directory")
    refused(folder, "backup", "k" * 300, code=2, told="too long")


def test_a_link_stands_for_what_it_leads_to(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "latest.db").symlink_to(folder / "disk" / "kept.db")
    for _ in range(2):
        assert run(folder, "backup", "latest.db").code == 0
    assert (folder / "latest.db").is_symlink()
    assert os.listdir(folder / "disk") == ["kept.db"]


@pytest.mark.parametrize("what", ["missing", "empty", "no database", "another's", "newer"])
def test_what_is_no_database_is_not_backed_up(tmp_path: Path, what: str) -> None:
    path = tmp_path / "dedup.db"
    if what == "newer":
        with open_writable(str(path), "test"):
            pass
        newer(path)
    if what == "empty":
        path.touch()
    elif what == "no database":
        path.write_bytes(b"not a database" * 500)
    elif what == "another's":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE photos (id)")
    refused(tmp_path, "--database", path, "backup", "kept.db", code=3)
    assert not (tmp_path / "kept.db").exists()


def test_file_names_are_told_without_what_a_terminal_would_obey(folder: Path) -> None:
    for name, shown in ((b"\x1b[31m\xff.db", "\\x1b[31m\\xff.db"), ("\u202ekept.db".encode(), "\\u202ekept.db")):
        path = os.path.join(os.fsencode(folder), name)
        done = run(folder, "backup", path)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"{folder}/{shown}: ")
        told = run(folder, "backup", path, "--format", "json")
        assert told.json()["backup"] == f"{folder}/{shown}"
        assert run(folder, "restore", path).out.startswith(f"{folder}/dedup.db: ")
        with open(path, "wb") as file:
            file.truncate()
        assert shown in refused(folder, "backup", path).err
        assert shown in refused(folder, "restore", path, code=3).err


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('dedup', '9999_later', 'x')")


# What goes wrong


def damage(path: Path, since: int = 4096) -> None:
    """Scribble over every other page but the first."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for at in range(since, size, 8192):
            file.seek(at)
            file.write(random.Random(at).randbytes(4096))


def test_no_copy_of_a_damaged_database_replaces_a_good_one(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    damage(folder / "dedup.db")
    with unchanged(folder / "kept.db"):
        refused(folder, "backup", "kept.db", code=3)


def flip(part: Path) -> None:
    damage(part)


def lose_a_row(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("DELETE FROM faults")
        connection.execute("DELETE FROM settings WHERE key = 'last_scan'")


def lose_a_page(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("UPDATE revisions SET page_id = 99999 WHERE id = 1")


def lose_its_name(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("UPDATE settings SET value = 'another' WHERE key = 'uuid'")


def disagree(part: Path) -> None:
    """An address is another one in its table than in the index of that."""
    content = bytearray(part.read_bytes())
    address = articles(12)[0].address.encode()
    assert content.count(address) > 1
    content[content.index(address)] ^= 1
    part.write_bytes(content)


def cut(part: Path) -> None:
    with part.open("r+b") as file:
        file.truncate(part.stat().st_size // 2)


@pytest.mark.parametrize("happens", [flip, lose_a_row, lose_a_page, lose_its_name, disagree, cut], ids=lambda f: f.__name__)
def test_a_copy_that_the_disk_spoilt_is_found_out(folder: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], None]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    settle = backup._sync_to_disk

    def spoil(fd: int) -> None:
        settle(fd)
        (part,) = left_behind(folder)
        happens(folder / part)

    monkeypatch.setattr(backup, "_sync_to_disk", spoil)
    with unchanged(folder / "kept.db", folder / "dedup.db"):
        refused(folder, "backup", "kept.db", code=3, told="failed its check")
        refused(folder, "restore", "kept.db", code=3, told="The database")
    assert [name for name in beside(folder / "dedup.db") if "damaged" in name] == []


def test_too_little_room_is_told_before_a_byte_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    there = os.statvfs(folder)
    few = os.statvfs_result((there.f_bsize, there.f_frsize, there.f_blocks, 10**9, 20, *list(there)[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda _: few)
    with unchanged(folder / "kept.db", folder / "dedup.db"):
        refused(folder, "backup", "kept.db", code=3, told="MB are free")
        refused(folder, "restore", "kept.db", code=3, told="MB are free")


_LIMITED = """
import resource, sys
from dedup.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


def test_a_disk_that_takes_no_more_leaves_everything_as_it_was(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    for args in (["backup", "kept.db"], ["backup", "new.db"], ["restore", "kept.db"]):
        with unchanged(folder / "kept.db", folder / "dedup.db"):
            done = subprocess.run(
                [sys.executable, "-c", _LIMITED, *args], cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
        assert (done.returncode, done.stdout) == (3, "")
        assert args[1] in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (folder / "new.db").exists()


_PAUSED = """
import sys
from dedup.cli import main
from dedup.store import backup
copy = backup._copy_database
def paused(source, part, fd, progress):
    def heard(*told):
        print("copying", flush=True)
        sys.stdin.readline()
    return copy(source, part, fd, heard)
backup._copy_database = paused
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


@contextmanager
def paused(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A command in the midst of copying; it goes on when it is told."""
    command = [sys.executable, "-c", _PAUSED, *args]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "copying\n"
        yield process
        process.kill()


@pytest.mark.parametrize("args", [["backup", "kept.db"], ["restore", "kept.db"]], ids=lambda a: a[0])
def test_interrupted_it_leaves_with_130_and_everything_as_it_was(folder: Path, args: list[str]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    with unchanged(folder / "kept.db", folder / "dedup.db"), paused(folder, *args) as process:
        assert len(left_behind(folder)) == 1
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "is unchanged" in told
        assert "Traceback" not in told


def test_interrupted_while_it_checks_it_leaves_everything_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls back within the check, where an exception cannot pass."""
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    monkeypatch.setattr(backup, "CHECK_INSTRUCTIONS", 1)

    def heard(what: str, _: int, __: int) -> None:
        if what == "check":
            raise KeyboardInterrupt

    with unchanged(folder / "kept.db"), pytest.raises(KeyboardInterrupt):
        backup.write(str(folder / "dedup.db"), str(folder / "kept.db"), progress=heard)


def test_what_a_killed_one_left_is_cleared_away_and_what_is_in_use_is_not(folder: Path) -> None:
    with paused(folder, "backup", "first.db") as alive, paused(folder, "backup", "second.db") as killed:
        killed.kill()
        killed.wait()
        assert len(left_behind(folder)) == 2
        assert run(folder, "backup", "third.db").code == 0
        assert len(left_behind(folder)) == 1
        alive.communicate("\n" * 100, timeout=60)
        assert alive.returncode == 0
    assert left_behind(folder) == []
    assert running.dump(folder / "first.db") == running.dump(folder / "third.db")
    assert not (folder / "second.db").exists()


def test_what_another_one_clears_away_before_it_is_locked_is_begun_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    flock = fcntl.flock

    def cleared(fd: int, how: int) -> None:
        made.append(fd)
        if len(made) == 1:
            (left,) = left_behind(folder)
            os.unlink(folder / left)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", cleared)
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert len(made) == 2
    assert sound(folder / "kept.db")
    assert left_behind(folder) == []


# Restoring


def test_what_is_restored_after_damage_goes_on_as_if_nothing_had_been(crawl: Path, db: Path, tmp_path: Path) -> None:
    """Taken beside the daemon, which goes on and is killed, so that its log is left; then the database is damaged."""
    some = articles(30)
    write(crawl, some[:15])
    kept = tmp_path / "kept.db"
    with watching(crawl, db, settle=0.0) as daemon:
        assert spawn(tmp_path, "--config", f"{db}.toml", "backup", kept).code == 0
        write(crawl, some[15:])
        daemon.wait_until(lambda: daemon.recorded() == 30)
        refused(tmp_path, "--config", f"{db}.toml", "restore", kept, code=3, told=f"'dedup watch' (process {daemon.process.pid}")
        daemon.process.kill()
    assert Path(f"{db}-wal").stat().st_size > 0
    damage(db)
    before = {end: Path(f"{db}{end}").read_bytes() for end in ("", "-wal")}
    told = run(tmp_path, "--config", f"{db}.toml", "restore", kept, "--format", "json").json()
    assert told.pop("seconds") >= 0
    aside = Path(told["previous_files"][0])
    assert told == {
        "database": str(db),
        "backup": str(kept),
        "bytes": db.stat().st_size,
        "pages": 15,
        "files": 15,
        "revisions": 15,
        "verified": True,
        "previous_files": [f"{aside}{end}" for end in ("", "-wal", "-shm")],
    }
    assert aside.name.startswith("dedup.db.damaged-20")
    assert {end: Path(f"{aside}{end}").read_bytes() for end in before} == before
    assert running.dump(db) == running.dump(kept)
    with watching(crawl, db, settle=0.0) as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 30)
        assert daemon.leave() == 0
    equals_a_scan(crawl, db)
    with running.session(crawl, db) as session:
        session.matcher.open_candidate_index()
        check_index(session, [])
    assert sound(db)


def test_a_restored_database_finds_the_copies_that_one_that_was_never_gone_finds(crawl: Path, db: Path) -> None:
    """Its indexes were those of what stood there before, and are made anew."""
    some = articles(40, TAIL)
    write(crawl, some[:12])
    running.scan(crawl, db)
    backup.write(str(db), str(db) + ".backup")
    write(crawl, some[:30])
    running.scan(crawl, db)
    other = [edited(random.Random(n), made.body.split(), 0.3) for n, made in enumerate(some[12:30])]
    backup.restore(str(db), str(db) + ".backup")
    for n, body in enumerate(other, 12):
        paper(n, " ".join(body), publisher=f"신문 {n % 3}").write(crawl, f"{n:04}_{some[n].name}")
    write(crawl, some[:12])
    running.scan(crawl, db)
    clean = db.with_name("clean.db")
    for last in (12, 40):
        with running.session(crawl, clean) as session:
            Scan(session).check_paths(
                session.directories[0], [name for name in map(os.fsencode, sorted(os.listdir(crawl))) if int(name[:4]) < last]
            )
    assert running.dump(db) == running.dump(clean)
    assert derived(db) == derived(clean)


def test_without_a_database_one_is_made_of_the_backup(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    dumped = running.dump(folder / "dedup.db")
    (folder / "elsewhere").mkdir()
    told = run(folder, "--database", "elsewhere/new.db", "restore", "kept.db", "--format", "json").json()
    assert told["previous_files"] == []
    assert running.dump(folder / "elsewhere" / "new.db") == dumped
    assert stat.S_IMODE((folder / "elsewhere" / "new.db").stat().st_mode) == 0o600
    refused(folder, "--database", "none/new.db", "restore", "kept.db", code=3)


def test_owner_and_permissions_are_those_of_what_stood_there(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    db = folder / "dedup.db"
    db.chmod(0o640)
    owner = (4321, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(db, *owner)
    assert run(folder, "restore", "kept.db").code == 0
    now = db.stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) == (0o640, *owner)


def test_a_database_behind_a_link_is_restored_where_it_lies(folder: Path) -> None:
    (folder / "disk").mkdir()
    assert run(folder, "backup", "kept.db").code == 0
    (folder / "dedup.db").rename(folder / "disk" / "real.db")
    (folder / "dedup.db").symlink_to(folder / "disk" / "real.db")
    assert run(folder, "restore", "kept.db").code == 0
    assert (folder / "dedup.db").is_symlink()
    assert len([name for name in os.listdir(folder / "disk") if "damaged" in name]) == 1
    with open_writable(str(folder / "disk" / "real.db"), "scan"):
        refused(folder, "restore", "kept.db", code=3, told="'dedup scan'")
    with open_writable(str(folder / "dedup.db"), "scan"):
        refused(folder, "restore", "kept.db", code=3, told="'dedup scan'")


_READ = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM files").fetchone()
print("open", flush=True)
sys.stdin.readline()
connection.close()
"""


def test_a_database_that_any_program_has_open_is_not_replaced(folder: Path) -> None:
    """When it leaves, SQLite removes the log by its name: another database's by then."""
    assert run(folder, "backup", "kept.db").code == 0
    command = [sys.executable, "-c", _READ, "dedup.db"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with unchanged(folder / "dedup.db"):
            refused(folder, "restore", "kept.db", code=3, told="open in another program")
        process.communicate(b"\n")
    assert run(folder, "restore", "kept.db").code == 0


@pytest.mark.parametrize("what", ["missing", "folder", "empty", "no database", "another's", "damaged", "cut", "newer"])
def test_what_is_no_whole_backup_is_not_restored(folder: Path, what: str) -> None:
    kept = folder / "kept.db"
    if what == "folder":
        kept.mkdir()
    elif what == "empty":
        kept.touch()
    elif what == "no database":
        kept.write_bytes(b"not a database" * 500)
    elif what == "another's":
        with closing(sqlite3.connect(kept)) as connection:
            connection.execute("CREATE TABLE photos (id)")
    elif what != "missing":
        assert run(folder, "backup", kept).code == 0
    if what == "damaged":
        damage(kept, 8192)
    elif what == "cut":
        cut(kept)
    elif what == "newer":
        newer(kept)
    before = beside(folder / "dedup.db")
    with unchanged(folder / "dedup.db"):
        refused(folder, "restore", kept, code=3, told="kept.db")
    assert beside(folder / "dedup.db") == before


def test_a_backup_of_an_older_version_is_taken_restored_and_brought_up_to_date(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an upgrade is when one is wanted."""
    old = tmp_path / "old.db"
    with open_writable(str(old), "test"):
        pass
    later(monkeypatch, "ALTER TABLE pages ADD COLUMN more TEXT")
    assert run(folder, "--database", old, "backup", "kept.db").code == 0
    assert run(folder, "restore", "kept.db").code == 0
    assert command_scan(folder).code == 0
    running.scan(folder / "crawl", folder / "clean.db")
    assert running.dump(folder / "dedup.db") == running.dump(folder / "clean.db")


def no_links(_: str, __: str) -> None:
    raise OSError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("moment", ["replace", "rename"])
def test_a_restore_that_fails_on_the_way_leaves_the_database_and_its_log_where_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    before = beside(folder / "dedup.db")
    whole = getattr(os, moment)

    def fail(one: str, other: str, **folders: int) -> None:
        if moment == "replace" or one.endswith("-shm"):
            raise OSError(5, "Input/output error")
        whole(one, other, **folders)

    monkeypatch.setattr(os, moment, fail)
    with unchanged(folder / "dedup.db", log):
        refused(folder, "restore", "kept.db", code=3, told="Input/output error")
    assert beside(folder / "dedup.db") == before


@pytest.mark.parametrize("moment", ["link", "rename", "replace"])
def test_a_restore_that_is_interrupted_between_two_names_ends_as_it_was_or_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The interrupt comes right after the name was given."""
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    before = beside(folder / "dedup.db")
    stood = (folder / "dedup.db").read_bytes(), log.read_bytes()
    whole = getattr(os, moment)
    interrupts = 1

    def interrupted(one: str, other: str, **folders: int) -> None:
        nonlocal interrupts
        whole(one, other, **folders)
        interrupts -= 1
        if interrupts == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupted)
    assert run(folder, "restore", "kept.db").code == 130
    monkeypatch.undo()
    if moment == "replace":
        (aside,) = folder.glob("dedup.db.damaged-*Z")
        assert (aside.read_bytes(), aside.with_name(f"{aside.name}-wal").read_bytes()) == stood
        assert left(folder / "dedup.db") is None
    else:
        assert ((folder / "dedup.db").read_bytes(), log.read_bytes()) == stood
        assert beside(folder / "dedup.db") == before
        assert left(folder / "dedup.db") == "in the log"
    assert left_behind(folder) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_restored_twice_at_once_nothing_that_was_put_aside_is_lost(folder: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)

    monkeypatch.setattr(times, "now", lambda: "2026-03-05T09:10:05+00:00")
    assert run(folder, "backup", "kept.db").code == 0
    stood = [(folder / "dedup.db").read_bytes()]
    for _ in range(2):
        assert run(folder, "restore", "kept.db").code == 0
        stood.append((folder / "dedup.db").read_bytes())
    names = ["dedup.db.damaged-20260305T091005Z", "dedup.db.damaged-20260305T091005Z-2"]
    assert [(folder / name).read_bytes() for name in names] == stood[:2]
    assert sound(folder / "dedup.db")


_DYING = """
import os, signal, sys
from pathlib import Path
from dedup.pipeline import record
from tests.builders import scans as running
from dedup.store import settings
with running.session(Path(sys.argv[1]), Path(sys.argv[2])) as session:
    with session.database.transaction() as transaction:
        settings.put(transaction, "left", "in the log")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_a_log(folder: Path) -> Path:
    """A writer that is killed after a commit: what it wrote stands in the log."""
    done = subprocess.run([sys.executable, "-c", _DYING, folder / "crawl", folder / "dedup.db"], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    log = folder / "dedup.db-wal"
    assert log.stat().st_size > 0
    return log


# Restoring by hand


def left(path: Path) -> str | None:
    with open_database(str(path)) as database:
        return store.settings.get(database, "left")


def test_a_backup_copied_over_a_database_whose_log_was_left_is_not_opened(folder: Path) -> None:
    """SQLite would play the log into it."""
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    assert left(folder / "dedup.db") == "in the log"
    shutil.copyfile(folder / "kept.db", folder / "dedup.db")
    with unchanged(folder / "dedup.db", log):
        for args in (["scan"], ["status"], ["reindex"], ["backup", "new.db"], ["duplicates"]):
            refused(folder, *args, code=3, told=str(log))
    log.unlink()
    (folder / "dedup.db-shm").unlink()
    assert run(folder, "scan").code == 0
    assert left(folder / "dedup.db") is None
    assert running.dump(folder / "dedup.db") == running.dump(folder / "kept.db")


@pytest.mark.parametrize("how", ["restore", "by hand", "by hand, made a WAL database"])
def test_a_log_of_its_own_is_taken_up_once_a_restored_database_has_been_written_to(folder: Path, how: str) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    if how == "restore":
        assert run(folder, "restore", "kept.db").code == 0
    else:
        for path in folder.glob("dedup.db*"):
            path.unlink()
        shutil.copyfile(folder / "kept.db", folder / "dedup.db")
    if how == "by hand, made a WAL database":
        with closing(sqlite3.connect(folder / "dedup.db")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    leave_a_log(folder)
    assert left(folder / "dedup.db") == "in the log"
    assert run(folder, "scan").code == 0
    assert left(folder / "dedup.db") == "in the log"


# A real disk


@pytest.mark.system
def test_a_disk_that_is_full_is_told_and_nothing_stays_on_it(folder: Path) -> None:
    """Full beside what was asked for, as by quotas or another writer: the room that was there when it began is not."""
    disk = folder / "disk"
    disk.mkdir()
    size = (folder / "dedup.db").stat().st_size
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 * size - 4096}", "tmpfs", str(disk)], check=True)
    try:
        assert run(folder, "backup", "disk/kept.db").code == 0
        with unchanged(disk / "kept.db"):
            refused(folder, "backup", "disk/kept.db", code=3, told="MB are free")
            with pytest.MonkeyPatch.context() as patch:
                plenty = os.statvfs("/")
                patch.setattr(os, "statvfs", lambda _: plenty)
                refused(folder, "backup", "disk/kept.db", code=3, told="full")
        assert os.listdir(disk) == ["kept.db"]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a database stays open until this process ends
