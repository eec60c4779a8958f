"""A backup holds the database as of one commit and is complete, whoever writes meanwhile.

An incomplete backup is never left behind, and a restored database continues as if it had never been away.
"""

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
from tests.builders.crawl import ArticleFile, edit_words
from tests.builders.daemon import assert_equals_scan, watching
from tests.builders.schemas import add_later_migration
from tests.builders.stories import TAIL, check_index, command_scan, derived_rows, families, paper

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


@lru_cache
def articles(number: int, tail: str = "") -> list[ArticleFile]:
    """Articles with copies of each other; the last one is a later crawl of the first page.

    Every third article has the tail and the same publisher.
    """
    rng = random.Random(31)
    bodies = families(rng, number)[:number]
    sample = [paper(n, f"{body} {tail if n % 3 == 0 else ''}", publisher=f"신문 {n % 3}") for n, body in enumerate(bodies)]
    edited_body = " ".join(edit_words(rng, bodies[0].split(), 0.05))
    return [*sample[:-1], paper(0, edited_body, publisher="신문 0", crawled_at="2026-03-03 00:30:00")]


def write(crawl: Path, sample: list[ArticleFile]) -> None:
    for n, article in enumerate(sample):
        article.write(crawl, f"{n:04}_{article.name}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, a crawl directory and its database."""
    write(tmp_path / "crawl", articles(12))
    assert command_scan(tmp_path).code == 0
    return tmp_path


def uuid_of(path: Path) -> str:
    with open_database(str(path)) as database:
        uuid = store.settings.get(database, "uuid")
    assert uuid
    return uuid


def part_files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(PART_PREFIX))


def files_beside(path: Path) -> list[str]:
    """Names of the files whose names begin with the name of this file."""
    return sorted(p.name for p in path.parent.glob(path.name + "?*"))


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        is_intact = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return is_intact and connection.execute("PRAGMA foreign_key_check").fetchall() == []


# While others write


@pytest.mark.system
def test_a_backup_beside_a_daemon_is_one_file_with_a_committed_state(crawl: Path, db: Path, tmp_path: Path) -> None:
    """The backup equals a scan of exactly the files that it knows."""
    sample = articles(40)
    write(crawl, sample[:10])
    names = [f"{n:04}_{article.name}" for n, article in enumerate(sample)]
    backups = []
    with watching(crawl, db, settle=0.0) as daemon:
        for n, article in enumerate(sample[10:]):
            article.write(crawl, names[10 + n], age=0)
            if n % 4 == 0:
                backups.append(tmp_path / f"{n}.backup")
                result = spawn(tmp_path, "--config", f"{db}.toml", "backup", backups[-1], "--format", "json")
                assert result.code == 0, result.err
        daemon.wait_until(lambda: daemon.recorded() == len(names))
        assert daemon.leave() == 0
    sizes = []
    for path in backups:
        assert files_beside(path) == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert is_sound(path)
        known_paths = [row["path"] for row in running.dump(path, "files")]
        crawl_copy = tmp_path / f"{path.name}.d" / "crawl"
        crawl_copy.mkdir(parents=True)
        for name in known_paths:
            shutil.copy2(crawl / name, crawl_copy / name)
        running.scan(crawl_copy, crawl_copy.with_name("clean.db"))
        assert without_directory(running.dump(path)) == without_directory(running.dump(crawl_copy.with_name("clean.db")))
        sizes.append(len(known_paths))
    assert len(set(sizes)) > 1, "the daemon wrote between them"
    assert_equals_scan(crawl, db)


def without_directory(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dump without the path of the crawl directory."""
    return [{key: value for key, value in row.items() if key != "directory"} for row in rows if row["table"] != "directories"]


@pytest.mark.system
def test_a_backup_ends_and_holds_its_first_moment_despite_commits_between_steps(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that restarted at each commit would never end."""
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 8)
    sample = articles(60, TAIL)
    write(crawl, sample)
    names = iter([os.fsencode(f"{n:04}_{article.name}") for n, article in enumerate(sample)])
    with running.session(crawl, db) as session:

        def scan_next() -> bool:
            name = next(names, None)
            if name is not None:
                Scan(session).check_paths(session.directories[0], [name])
            return name is not None

        for _ in range(5):
            scan_next()
        backups = 0
        while True:
            before, rows = running.dump(db), derived_rows(db)
            steps = 0

            def on_progress(step: str, pages_done: int, total: int) -> None:
                nonlocal steps
                steps += step == "copy"
                assert steps * 8 * 4096 < 2 * total + 8 * 4096, "it started over"
                if steps < 4:
                    scan_next()

            backup.write(str(db), str(db) + ".backup", progress=on_progress)
            assert steps > 4
            assert running.dump(Path(f"{db}.backup")) == before
            assert derived_rows(Path(f"{db}.backup")) == rows
            backups += 1
            if not scan_next():
                break
            assert running.dump(db) != before
    assert backups > 5


def test_an_earlier_backup_is_replaced_only_by_a_complete_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 4)
    db, target = folder / "dedup.db", folder / "kept.db"
    backup.write(str(db), str(target))
    first = running.dump(target)
    ArticleFile(body="뒤에 온 본문", aid="0000009999").write(folder / "crawl")
    assert command_scan(folder).code == 0
    steps: set[str] = set()

    def on_progress(step: str, _: int, __: int) -> None:
        steps.add(step)
        assert running.dump(target) == first

    backup.write(str(db), str(target), progress=on_progress)
    assert steps >= {"copy"}
    assert running.dump(target) == running.dump(db) != first


def test_the_output_of_backup_agrees_with_status(folder: Path) -> None:
    content = ArticleFile(aid="0000000777", claim="0" * 64).render()[:-200]
    (folder / "crawl" / "torn.md").write_text(content, "utf-8")
    assert command_scan(folder).code == 0
    output = run(folder, "backup", "kept.db", "--format", "json").json()
    status = run(folder, "status", "--format", "json").json()
    assert output.pop("seconds") >= 0
    assert output == {
        "backup": str(folder / "kept.db"),
        "bytes": (folder / "kept.db").stat().st_size,
        **{key: status[key] for key in ("pages", "files", "revisions")},
    }
    backup_status = run(folder, "--database", "kept.db", "status", "--format", "json").json()
    without_indexes = {"index_bytes": 0, "database_bytes": 0, "search": None}
    assert {**backup_status, **without_indexes} == {**status, **without_indexes}
    assert files_beside(folder / "kept.db") == [], "reading it creates no files"
    result = run(folder, "backup", "kept.db")
    assert result.code == 0
    assert f"{status['files']} files" in result.out


_WATCHED = """
import sys
from dedup.cli import main
from dedup.store import backup
backup.PAGES_PER_STEP, backup.CHECK_INSTRUCTIONS = 4, 1
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


@pytest.mark.system
@pytest.mark.parametrize("args", [["backup", "kept.db"], ["restore", "kept.db"], ["backup", "kept.db", "--quiet"]], ids=" ".join)
def test_a_terminal_shows_a_progress_bar(folder: Path, args: list[str]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    terminal, child_terminal = os.openpty()
    command = [sys.executable, "-c", _WATCHED, *args, "--format", "json"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=child_terminal, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(child_terminal)
        output = b""
        with suppress(OSError):  # reading a closed terminal raises
            while chunk := os.read(terminal, 65536):
                output += chunk
        out, _ = process.communicate(timeout=120)
    os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out)["revisions"]
    assert [word in output for word in (args[0].encode(), b"check")] == ["--quiet" not in args] * 2


def test_two_backups_at_once_are_both_complete(folder: Path) -> None:
    command = [sys.executable, "-m", "dedup", "backup", "kept.db"]
    both = [subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(p.communicate(timeout=120), p.returncode)[1] for p in both] == [0, 0]
    assert running.dump(folder / "kept.db") == running.dump(folder / "dedup.db")
    assert part_files(folder) == []


def test_a_backup_is_synced_to_disk_before_it_replaces_an_earlier_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(fd: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def record_replace(source: str, target: str, **folder_fds: int) -> None:
        calls.append("replace")
        replace(source, target, **folder_fds)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert calls == ["file", "replace", "folder"]
    calls.clear()
    backup.restore(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert calls == ["file", "folder", "replace", "folder"]


# Refusals


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Check that the block leaves these files unchanged to the byte and leaves no unfinished file."""
    before = [path.read_bytes() for path in paths]
    yield
    assert [path.read_bytes() for path in paths] == before
    assert [part_files(path.parent) for path in paths] == [[]] * len(paths)


def check_refused(folder: Path, *args: str | bytes | Path, code: int = 2, message: str = "") -> CommandResult:
    result = run(folder, *args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("dedup: ")
    assert result.err.count("\n") == 1
    assert message in result.err
    return result


def other_database(folder: Path) -> Path:
    path = folder / "other" / "dedup.db"
    path.parent.mkdir()
    ArticleFile(aid="0000000888").write(path.parent / "crawl")
    assert command_scan(path.parent).code == 0
    return path


@pytest.mark.parametrize("content", [b"", b"another file\n" * 200], ids=["empty", "a text"])
def test_a_file_that_is_not_a_database_is_not_replaced(folder: Path, content: bytes) -> None:
    path = folder / "thesis.txt"
    path.write_bytes(content)
    with unchanged(path):
        check_refused(folder, "backup", path, message="not a backup")
        check_refused(folder, "backup", path, "--force", message="not a backup")


def test_a_database_of_another_program_is_not_replaced(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "photos.db")) as connection:
        connection.executescript("CREATE TABLE settings (key, value); INSERT INTO settings VALUES ('uuid', 'x');")
    with unchanged(folder / "photos.db"):
        check_refused(folder, "backup", "photos.db", "--force", message="database of dedup")


def test_a_backup_of_another_database_is_replaced_only_by_force(folder: Path) -> None:
    target = folder / "kept.db"
    assert run(other_database(folder).parent, "backup", target).code == 0
    with unchanged(target):
        check_refused(folder, "backup", target, message="--force")
    assert run(folder, "backup", target, "--force").code == 0
    assert uuid_of(target) == uuid_of(folder / "dedup.db")


@pytest.mark.parametrize("how", ["itself", "symbolic link", "hard link", "through a folder's link"])
def test_a_database_is_never_its_own_backup(folder: Path, how: str) -> None:
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
        check_refused(folder, "backup", path, "--force", message="it is the database or one of")
        check_refused(folder, "restore", path, code=3, message="the database itself")


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock", ".health", ".index", ".passages", ".compiled"])
def test_no_backup_takes_the_path_of_a_file_of_the_database(folder: Path, end: str) -> None:
    path = folder / f"dedup.db{end}"
    if path.exists():
        path.unlink()
    check_refused(folder, "backup", path, "--force", message="it is the database or one of")
    assert not path.exists() or b"SQLite" not in path.read_bytes()


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_no_backup_is_written_beside_a_log_that_sqlite_would_apply_to_it(folder: Path, end: str) -> None:
    (folder / f"kept.db{end}").write_bytes(b"x" * 5000)
    check_refused(folder, "backup", "kept.db", message=f"kept.db{end}")
    assert not (folder / "kept.db").exists()


def test_no_backup_replaces_a_database_that_is_in_use(folder: Path) -> None:
    """A copied folder has a database with the same UUID."""
    copy = folder / "copy.db"
    shutil.copyfile(folder / "dedup.db", copy)
    with open_writable(str(copy), "watch"):
        check_refused(folder, "backup", copy, "--force", message="'dedup watch'")
    assert run(folder, "backup", copy).code == 0


def test_a_file_that_appears_at_the_target_during_the_copy_is_kept(folder: Path) -> None:
    path = folder / "kept.db"

    def create_file(*_: object) -> None:
        path.write_text("a thesis")

    with pytest.raises(errors.BackupRefusedError):
        backup.write(str(folder / "dedup.db"), str(path), progress=create_file)
    assert path.read_text() == "a thesis"
    assert part_files(folder) == []


def test_no_backup_is_written_into_a_crawl_directory(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "crawl")
    for path in ("crawl/kept.db", "link/kept.db"):
        check_refused(folder, "backup", path, message="crawl directory")
    assert not list((folder / "crawl").glob("*.db*"))


def test_a_folder_a_pipe_or_a_missing_folder_is_refused_as_target(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    check_refused(folder, "backup", ".", message="a folder")
    check_refused(folder, "backup", "", message="a folder")
    check_refused(folder, "backup", "pipe", message="not a regular file")
    check_refused(folder, "backup", "/dev/null", message="not a regular file")
    check_refused(folder, "backup", "loop", message="not a regular file")
    check_refused(folder, "backup", "none/kept.db", code=3, message="No such file or directory")
    check_refused(folder, "backup", "dedup.db/kept.db", code=2, message="Not a directory")
    check_refused(folder, "backup", "k" * 300, code=2, message="too long")


def test_a_backup_through_a_link_replaces_the_target_of_the_link(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "latest.db").symlink_to(folder / "disk" / "kept.db")
    for _ in range(2):
        assert run(folder, "backup", "latest.db").code == 0
    assert (folder / "latest.db").is_symlink()
    assert os.listdir(folder / "disk") == ["kept.db"]


@pytest.mark.parametrize("kind", ["missing", "empty", "no database", "another's", "newer"])
def test_a_file_that_is_not_a_database_is_not_backed_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "dedup.db"
    if kind == "newer":
        with open_writable(str(path), "test"):
            pass
        mark_as_newer(path)
    if kind == "empty":
        path.touch()
    elif kind == "no database":
        path.write_bytes(b"not a database" * 500)
    elif kind == "another's":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE photos (id)")
    check_refused(tmp_path, "--database", path, "backup", "kept.db", code=3)
    assert not (tmp_path / "kept.db").exists()


def test_control_characters_in_file_names_are_escaped(folder: Path) -> None:
    for name, escaped in ((b"\x1b[31m\xff.db", "\\x1b[31m\\xff.db"), ("\u202ekept.db".encode(), "\\u202ekept.db")):
        path = os.path.join(os.fsencode(folder), name)
        result = run(folder, "backup", path)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"{folder}/{escaped}: ")
        output = run(folder, "backup", path, "--format", "json")
        assert output.json()["backup"] == f"{folder}/{escaped}"
        assert run(folder, "restore", path).out.startswith(f"{folder}/dedup.db: ")
        with open(path, "wb") as file:
            file.truncate()
        assert escaped in check_refused(folder, "backup", path).err
        assert escaped in check_refused(folder, "restore", path, code=3).err


def mark_as_newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('dedup', '9999_later', 'x')")


# Failures


def damage(path: Path, since: int = 4096) -> None:
    """Overwrite every other page except the first with random bytes."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for at in range(since, size, 8192):
            file.seek(at)
            file.write(random.Random(at).randbytes(4096))


def test_no_copy_of_a_damaged_database_replaces_a_good_one(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    damage(folder / "dedup.db")
    with unchanged(folder / "kept.db"):
        check_refused(folder, "backup", "kept.db", code=3)


def overwrite_pages(part: Path) -> None:
    damage(part)


def delete_rows(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("DELETE FROM faults")
        connection.execute("DELETE FROM settings WHERE key = 'last_scan'")


def break_reference(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("UPDATE revisions SET page_id = 99999 WHERE id = 1")


def replace_uuid(part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("UPDATE settings SET value = 'another' WHERE key = 'uuid'")


def alter_url(part: Path) -> None:
    """One URL is different in the table and in the index of the table."""
    content = bytearray(part.read_bytes())
    address = articles(12)[0].address.encode()
    assert content.count(address) > 1
    content[content.index(address)] ^= 1
    part.write_bytes(content)


def truncate(part: Path) -> None:
    with part.open("r+b") as file:
        file.truncate(part.stat().st_size // 2)


@pytest.mark.parametrize(
    "corrupt", [overwrite_pages, delete_rows, break_reference, replace_uuid, alter_url, truncate], ids=lambda f: f.__name__
)
def test_a_copy_that_the_disk_corrupts_is_detected(folder: Path, monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[Path], None]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    sync = backup._sync_to_disk

    def sync_and_corrupt(fd: int) -> None:
        sync(fd)
        (part,) = part_files(folder)
        corrupt(folder / part)

    monkeypatch.setattr(backup, "_sync_to_disk", sync_and_corrupt)
    with unchanged(folder / "kept.db", folder / "dedup.db"):
        check_refused(folder, "backup", "kept.db", code=3, message="failed its check")
        check_refused(folder, "restore", "kept.db", code=3, message="The database")
    assert [name for name in files_beside(folder / "dedup.db") if "damaged" in name] == []


def test_too_little_free_space_is_reported_before_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    real_space = os.statvfs(folder)
    little_space = os.statvfs_result((real_space.f_bsize, real_space.f_frsize, real_space.f_blocks, 10**9, 20, *list(real_space)[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda _: little_space)
    with unchanged(folder / "kept.db", folder / "dedup.db"):
        check_refused(folder, "backup", "kept.db", code=3, message="MB are free")
        check_refused(folder, "restore", "kept.db", code=3, message="MB are free")


_LIMITED = """
import resource, sys
from dedup.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


@pytest.mark.system
def test_a_full_disk_leaves_everything_unchanged(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    for args in (["backup", "kept.db"], ["backup", "new.db"], ["restore", "kept.db"]):
        with unchanged(folder / "kept.db", folder / "dedup.db"):
            result = subprocess.run(
                [sys.executable, "-c", _LIMITED, *args], cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
        assert (result.returncode, result.stdout) == (3, "")
        assert args[1] in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (folder / "new.db").exists()


_PAUSED = """
import sys
from dedup.cli import main
from dedup.store import backup
copy = backup._copy_database
def copy_with_pause(source, part, fd, progress):
    def wait(*_):
        print("copying", flush=True)
        sys.stdin.readline()
    return copy(source, part, fd, wait)
backup._copy_database = copy_with_pause
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


@contextmanager
def paused_command(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A command that is paused in the middle of copying."""
    command = [sys.executable, "-c", _PAUSED, *args]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "copying\n"
        yield process
        process.kill()


@pytest.mark.parametrize("args", [["backup", "kept.db"], ["restore", "kept.db"]], ids=lambda a: a[0])
def test_an_interrupt_exits_with_130_and_changes_nothing(folder: Path, args: list[str]) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    with unchanged(folder / "kept.db", folder / "dedup.db"), paused_command(folder, *args) as process:
        assert len(part_files(folder)) == 1
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "is unchanged" in error
        assert "Traceback" not in error


def test_an_interrupt_during_the_check_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls back during the check, and an exception cannot pass through it."""
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    monkeypatch.setattr(backup, "CHECK_INSTRUCTIONS", 1)

    def interrupt_check(step: str, _: int, __: int) -> None:
        if step == "check":
            raise KeyboardInterrupt

    with unchanged(folder / "kept.db"), pytest.raises(KeyboardInterrupt):
        backup.write(str(folder / "dedup.db"), str(folder / "kept.db"), progress=interrupt_check)


def test_files_of_killed_backups_are_removed_and_files_in_use_are_kept(folder: Path) -> None:
    with paused_command(folder, "backup", "first.db") as alive, paused_command(folder, "backup", "second.db") as killed:
        killed.kill()
        killed.wait()
        assert len(part_files(folder)) == 2
        assert run(folder, "backup", "third.db").code == 0
        assert len(part_files(folder)) == 1
        alive.communicate("\n" * 100, timeout=60)
        assert alive.returncode == 0
    assert part_files(folder) == []
    assert running.dump(folder / "first.db") == running.dump(folder / "third.db")
    assert not (folder / "second.db").exists()


def test_a_part_that_another_backup_removes_before_the_lock_is_created_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []
    flock = fcntl.flock

    def remove_first(fd: int, operation: int) -> None:
        locked.append(fd)
        if len(locked) == 1:
            (part,) = part_files(folder)
            os.unlink(folder / part)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    backup.write(str(folder / "dedup.db"), str(folder / "kept.db"))
    assert len(locked) == 2
    assert is_sound(folder / "kept.db")
    assert part_files(folder) == []


# Restoring


@pytest.mark.system
def test_a_database_restored_after_damage_catches_up(crawl: Path, db: Path, tmp_path: Path) -> None:
    """The backup is taken beside a daemon, which then works on and is killed, so its log remains. Then the database is damaged."""
    sample = articles(30)
    write(crawl, sample[:15])
    backup_path = tmp_path / "kept.db"
    with watching(crawl, db, settle=0.0) as daemon:
        assert spawn(tmp_path, "--config", f"{db}.toml", "backup", backup_path).code == 0
        write(crawl, sample[15:])
        daemon.wait_until(lambda: daemon.recorded() == 30)
        check_refused(
            tmp_path, "--config", f"{db}.toml", "restore", backup_path, code=3, message=f"'dedup watch' (process {daemon.process.pid}"
        )
        daemon.process.kill()
    assert Path(f"{db}-wal").stat().st_size > 0
    damage(db)
    before = {end: Path(f"{db}{end}").read_bytes() for end in ("", "-wal")}
    output = run(tmp_path, "--config", f"{db}.toml", "restore", backup_path, "--format", "json").json()
    assert output.pop("seconds") >= 0
    previous = Path(output["previous_files"][0])
    assert output == {
        "database": str(db),
        "backup": str(backup_path),
        "bytes": db.stat().st_size,
        "pages": 15,
        "files": 15,
        "revisions": 15,
        "previous_files": [f"{previous}{end}" for end in ("", "-wal", "-shm")],
    }
    assert previous.name.startswith("dedup.db.damaged-20")
    assert {end: Path(f"{previous}{end}").read_bytes() for end in before} == before
    assert running.dump(db) == running.dump(backup_path)
    with watching(crawl, db, settle=0.0) as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 30)
        assert daemon.leave() == 0
    assert_equals_scan(crawl, db)
    with running.session(crawl, db) as session:
        session.matcher.open_candidate_index()
        check_index(session, [])
    assert is_sound(db)


def test_a_restored_database_finds_the_same_copies_as_one_without_a_restore(crawl: Path, db: Path) -> None:
    """The indexes belong to the replaced database, and are rebuilt."""
    sample = articles(40, TAIL)
    write(crawl, sample[:12])
    running.scan(crawl, db)
    backup.write(str(db), str(db) + ".backup")
    write(crawl, sample[:30])
    running.scan(crawl, db)
    edited_bodies = [edit_words(random.Random(n), article.body.split(), 0.3) for n, article in enumerate(sample[12:30])]
    backup.restore(str(db), str(db) + ".backup")
    for n, body in enumerate(edited_bodies, 12):
        paper(n, " ".join(body), publisher=f"신문 {n % 3}").write(crawl, f"{n:04}_{sample[n].name}")
    write(crawl, sample[:12])
    running.scan(crawl, db)
    clean = db.with_name("clean.db")
    for last in (12, 40):
        with running.session(crawl, clean) as session:
            Scan(session).check_paths(
                session.directories[0], [name for name in map(os.fsencode, sorted(os.listdir(crawl))) if int(name[:4]) < last]
            )
    assert running.dump(db) == running.dump(clean)
    assert derived_rows(db) == derived_rows(clean)


def test_restore_creates_a_missing_database(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    dump = running.dump(folder / "dedup.db")
    (folder / "elsewhere").mkdir()
    output = run(folder, "--database", "elsewhere/new.db", "restore", "kept.db", "--format", "json").json()
    assert output["previous_files"] == []
    assert running.dump(folder / "elsewhere" / "new.db") == dump
    assert stat.S_IMODE((folder / "elsewhere" / "new.db").stat().st_mode) == 0o600
    check_refused(folder, "--database", "none/new.db", "restore", "kept.db", code=3)


def test_a_restored_database_keeps_owner_and_permissions(folder: Path) -> None:
    assert run(folder, "backup", "kept.db").code == 0
    db = folder / "dedup.db"
    db.chmod(0o640)
    owner = (4321, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(db, *owner)
    assert run(folder, "restore", "kept.db").code == 0
    now = db.stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) == (0o640, *owner)


def test_a_database_behind_a_link_is_restored_at_its_real_path(folder: Path) -> None:
    (folder / "disk").mkdir()
    assert run(folder, "backup", "kept.db").code == 0
    (folder / "dedup.db").rename(folder / "disk" / "real.db")
    (folder / "dedup.db").symlink_to(folder / "disk" / "real.db")
    assert run(folder, "restore", "kept.db").code == 0
    assert (folder / "dedup.db").is_symlink()
    assert len([name for name in os.listdir(folder / "disk") if "damaged" in name]) == 1
    with open_writable(str(folder / "disk" / "real.db"), "scan"):
        check_refused(folder, "restore", "kept.db", code=3, message="'dedup scan'")
    with open_writable(str(folder / "dedup.db"), "scan"):
        check_refused(folder, "restore", "kept.db", code=3, message="'dedup scan'")


_READ = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM files").fetchone()
print("open", flush=True)
sys.stdin.readline()
connection.close()
"""


def test_a_database_that_a_program_has_open_is_not_replaced(folder: Path) -> None:
    """On exit, that program's SQLite would delete the log by name: the log of another database by then."""
    assert run(folder, "backup", "kept.db").code == 0
    command = [sys.executable, "-c", _READ, "dedup.db"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with unchanged(folder / "dedup.db"):
            check_refused(folder, "restore", "kept.db", code=3, message="open in another program")
        process.communicate(b"\n")
    assert run(folder, "restore", "kept.db").code == 0


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "no database", "another's", "damaged", "cut", "newer"])
def test_an_invalid_backup_is_not_restored(folder: Path, kind: str) -> None:
    backup_path = folder / "kept.db"
    if kind == "folder":
        backup_path.mkdir()
    elif kind == "empty":
        backup_path.touch()
    elif kind == "no database":
        backup_path.write_bytes(b"not a database" * 500)
    elif kind == "another's":
        with closing(sqlite3.connect(backup_path)) as connection:
            connection.execute("CREATE TABLE photos (id)")
    elif kind != "missing":
        assert run(folder, "backup", backup_path).code == 0
    if kind == "damaged":
        damage(backup_path, 8192)
    elif kind == "cut":
        truncate(backup_path)
    elif kind == "newer":
        mark_as_newer(backup_path)
    before = files_beside(folder / "dedup.db")
    with unchanged(folder / "dedup.db"):
        check_refused(folder, "restore", backup_path, code=3, message="kept.db")
    assert files_beside(folder / "dedup.db") == before


def test_a_database_of_an_older_version_can_be_backed_up_restored_and_migrated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backups are made before upgrades."""
    old = tmp_path / "old.db"
    with open_writable(str(old), "test"):
        pass
    add_later_migration(monkeypatch, "ALTER TABLE pages ADD COLUMN more TEXT")
    assert run(folder, "--database", old, "backup", "kept.db").code == 0
    assert run(folder, "restore", "kept.db").code == 0
    assert command_scan(folder).code == 0
    running.scan(folder / "crawl", folder / "clean.db")
    assert running.dump(folder / "dedup.db") == running.dump(folder / "clean.db")


def no_links(_: str, __: str) -> None:
    raise OSError(1, "Operation not permitted")


@pytest.mark.system
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("moment", ["replace", "rename"])
def test_a_failed_restore_leaves_the_database_and_its_log_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    before = files_beside(folder / "dedup.db")
    original = getattr(os, moment)

    def fail(source: str, target: str, **folders: int) -> None:
        if moment == "replace" or source.endswith("-shm"):
            raise OSError(5, "Input/output error")
        original(source, target, **folders)

    monkeypatch.setattr(os, moment, fail)
    with unchanged(folder / "dedup.db", log):
        check_refused(folder, "restore", "kept.db", code=3, message="Input/output error")
    assert files_beside(folder / "dedup.db") == before


@pytest.mark.parametrize("moment", ["link", "rename", "replace"])
def test_an_interrupted_restore_is_undone_or_complete(folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The interrupt arrives right after a file was renamed."""
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    before = files_beside(folder / "dedup.db")
    contents = (folder / "dedup.db").read_bytes(), log.read_bytes()
    original = getattr(os, moment)
    interrupts = 1

    def interrupt(source: str, target: str, **folders: int) -> None:
        nonlocal interrupts
        original(source, target, **folders)
        interrupts -= 1
        if interrupts == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupt)
    assert run(folder, "restore", "kept.db").code == 130
    monkeypatch.undo()
    if moment == "replace":
        (previous,) = folder.glob("dedup.db.damaged-*Z")
        assert (previous.read_bytes(), previous.with_name(f"{previous.name}-wal").read_bytes()) == contents
        assert read_marker(folder / "dedup.db") is None
    else:
        assert ((folder / "dedup.db").read_bytes(), log.read_bytes()) == contents
        assert files_beside(folder / "dedup.db") == before
        assert read_marker(folder / "dedup.db") == "in the log"
    assert part_files(folder) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_two_restores_in_one_second_keep_both_previous_databases(folder: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)

    monkeypatch.setattr(times, "now", lambda: "2026-03-05T09:10:05+00:00")
    assert run(folder, "backup", "kept.db").code == 0
    contents = [(folder / "dedup.db").read_bytes()]
    for _ in range(2):
        assert run(folder, "restore", "kept.db").code == 0
        contents.append((folder / "dedup.db").read_bytes())
    names = ["dedup.db.damaged-20260305T091005Z", "dedup.db.damaged-20260305T091005Z-2"]
    assert [(folder / name).read_bytes() for name in names] == contents[:2]
    assert is_sound(folder / "dedup.db")


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
    """A writer is killed after a commit; the commit is in the log."""
    result = subprocess.run([sys.executable, "-c", _DYING, folder / "crawl", folder / "dedup.db"], check=False, timeout=120)
    assert result.returncode == -signal.SIGKILL
    log = folder / "dedup.db-wal"
    assert log.stat().st_size > 0
    return log


# Restoring by hand


def read_marker(path: Path) -> str | None:
    with open_database(str(path)) as database:
        return store.settings.get(database, "left")


def test_a_backup_copied_over_a_database_with_a_log_is_not_opened(folder: Path) -> None:
    """SQLite would apply the log to the backup."""
    assert run(folder, "backup", "kept.db").code == 0
    log = leave_a_log(folder)
    assert read_marker(folder / "dedup.db") == "in the log"
    shutil.copyfile(folder / "kept.db", folder / "dedup.db")
    with unchanged(folder / "dedup.db", log):
        for args in (["scan"], ["status"], ["reindex"], ["backup", "new.db"], ["duplicates"]):
            check_refused(folder, *args, code=3, message=str(log))
    log.unlink()
    (folder / "dedup.db-shm").unlink()
    assert run(folder, "scan").code == 0
    assert read_marker(folder / "dedup.db") is None
    assert running.dump(folder / "dedup.db") == running.dump(folder / "kept.db")


@pytest.mark.parametrize("how", ["restore", "by hand", "by hand, made a WAL database"])
def test_a_restored_database_uses_its_own_log_after_a_write(folder: Path, how: str) -> None:
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
    assert read_marker(folder / "dedup.db") == "in the log"
    assert run(folder, "scan").code == 0
    assert read_marker(folder / "dedup.db") == "in the log"


# A real disk


@pytest.mark.system
def test_a_full_disk_is_reported_and_nothing_remains_on_it(folder: Path) -> None:
    """The free space that was reported at the start is gone later, as with quotas or another writer."""
    disk = folder / "disk"
    disk.mkdir()
    size = (folder / "dedup.db").stat().st_size
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 * size - 4096}", "tmpfs", str(disk)], check=True)
    try:
        assert run(folder, "backup", "disk/kept.db").code == 0
        with unchanged(disk / "kept.db"):
            check_refused(folder, "backup", "disk/kept.db", code=3, message="MB are free")
            with pytest.MonkeyPatch.context() as patch:
                plenty = os.statvfs("/")
                patch.setattr(os, "statvfs", lambda _: plenty)
                check_refused(folder, "backup", "disk/kept.db", code=3, message="full")
        assert os.listdir(disk) == ["kept.db"]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the database stays open until this process ends
