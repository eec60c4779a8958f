"""Files beside the database are private to the user, whatever the umask and whatever other users put in their place."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dedup.daemon import health_file
from dedup.daemon.health_file import Health
from dedup.errors import DatabaseUnreadableError
from dedup.files import secure
from dedup.index.hashtable import HashTable
from dedup.similarity import jit
from dedup.store import open_database, open_writable
from dedup.store.lock import Lock, current_holder
from tests.builders import scans as running
from tests.builders.command import CommandResult, command, run
from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import watching
from tests.builders.private_files import KINDS, mode_of, plant, unharmed

pytestmark = pytest.mark.slow

UUID, RECIPE = b"u" * 16, b"r" * 16


@pytest.fixture
def umask_0() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def write_articles(crawl: Path, number: int) -> None:
    rng = random.Random(number)
    for i in range(number):
        ArticleFile(body=" ".join(words(rng, 60)), aid=f"{i:04}").write(crawl)


def test_only_the_owner_can_read_the_files_beside_the_database(
    crawl: Path, db: Path, umask_0: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The daemon runs, so that every file exists: log, lock, health report and both indexes."""
    write_articles(crawl, 3)
    os.chmod(tmp_path, 0o700)
    for variable in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    with watching(crawl, db, env={"XDG_STATE_HOME": "/dev/null"}) as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 3 and Path(f"{db}.passages").exists() and Path(f"{db}.health").exists())
        modes = {path.name.removeprefix(db.name): mode_of(path) for path in tmp_path.iterdir() if path.name.startswith(db.name + "-")}
        modes |= {path.name.removeprefix(db.name): mode_of(path) for path in tmp_path.iterdir() if path.name.startswith(db.name + ".")}
        modes.pop(".toml")
        assert {"-wal", "-shm", ".lock", ".index", ".passages", ".health"} <= modes.keys()
        assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
        assert mode_of(db) == 0o600


def test_the_cache_of_compiled_code_is_private(tmp_path: Path, umask_0: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    os.chmod(tmp_path, 0o700)
    folder = Path(jit._find_cache_folder())
    assert folder == tmp_path / "state/dedup/compiled"
    assert {mode_of(p) for p in (folder, folder.parent, folder.parent.parent)} == {0o700}


def make_writable_for_others(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def make_parent_writable_for_others(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o777)


def replace_with_link(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    (folder.parent.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent.parent / "elsewhere")


def give_to_another_user(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    os.chown(folder, 12345, 12345)


@pytest.mark.parametrize("prepare", [make_writable_for_others, make_parent_writable_for_others, replace_with_link, give_to_another_user])
def test_compiled_code_that_others_can_replace_is_never_run(
    prepare: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba runs cached code on load."""
    if prepare is give_to_another_user and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    prepare(tmp_path / "state/dedup/compiled")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(jit._JitState, "fallback_folder", None)
    folder = Path(jit._find_cache_folder())
    assert tmp_path not in folder.parents
    assert mode_of(folder) == 0o700
    folder.rmdir()


# Planted files


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_file_in_place_of_the_lock_is_not_changed(db: Path, kind: str) -> None:
    target = plant(Path(f"{db}.lock"), kind)
    with pytest.raises(DatabaseUnreadableError, match=r"\.lock cannot be created"):
        Lock(str(db), "scan")
    assert current_holder(str(db)) is None
    assert unharmed(target, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".index", ".passages"])
def test_a_planted_file_in_place_of_an_index_is_replaced_and_its_target_kept(crawl: Path, db: Path, kind: str, suffix: str) -> None:
    write_articles(crawl, 2)
    place = Path(str(db) + suffix)
    target = plant(place, kind)
    assert running.scan(crawl, db).new == 2
    assert unharmed(target, kind)
    if kind != "folder":
        assert place.is_file()
        assert not place.is_symlink()
        assert mode_of(place) == 0o600


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_an_index_of_another_database_is_not_written_through_a_link(db: Path, tmp_path: Path, kind: str) -> None:
    """A valid table would be mapped and written to."""
    HashTable.create(str(tmp_path / "other"), UUID, RECIPE).commit(b"t" * 16, 0)
    assert HashTable.load(str(tmp_path / "other")) is not None
    if kind == "link":
        os.symlink(tmp_path / "other", f"{db}.index")
    else:
        os.link(tmp_path / "other", f"{db}.index")
    assert HashTable.load(f"{db}.index") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_health_report_is_not_written_through_a_planted_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report"
    target = plant(path, kind)
    report = Health(1, "2026-03-02T00:00:00+00:00", "2026-03-02T00:00:00+00:00", "watching")
    try:
        health_file.write_report(str(path), report)
    except OSError:
        assert health_file.read_report(str(path)) is None
    else:
        assert health_file.read_report(str(path)) == report
        assert mode_of(path) == 0o600
    assert unharmed(target, kind)


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "folder"])
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_planted_files_in_place_of_sqlites_files_are_refused(crawl: Path, db: Path, kind: str, suffix: str) -> None:
    """SQLite itself follows links."""
    write_articles(crawl, 1)
    running.scan(crawl, db)
    Path(str(db) + suffix).unlink(missing_ok=True)
    target = plant(Path(str(db) + suffix), kind)
    with pytest.raises(DatabaseUnreadableError, match="is a link or not a regular file"), open_writable(str(db), "scan"):
        pass
    with pytest.raises(DatabaseUnreadableError, match="is a link or not a regular file"), open_database(str(db)):
        pass
    assert unharmed(target, kind)


def test_a_database_behind_a_link_of_the_user_is_opened(crawl: Path, db: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    db.symlink_to(tmp_path / "disk/real.db")
    write_articles(crawl, 1)
    assert running.scan(crawl, db).new == 1
    assert mode_of(tmp_path / "disk/real.db") == 0o600


# Writable folders


def scan(folder: Path, *options: str) -> CommandResult:
    return run(folder, "-d", "in/deeper/dedup.db", "scan", folder / "crawl", *options)


@pytest.fixture
def folder(crawl: Path, tmp_path: Path) -> Path:
    (tmp_path / "in/deeper").mkdir(parents=True)
    (tmp_path / "config.toml").write_text("[crawl]\nsettle_seconds = 0.0\n")
    write_articles(crawl, 1)
    return tmp_path


@pytest.mark.parametrize("place", ["in/deeper", "in", "in/deeper/dedup.db"])
def test_a_database_that_others_can_replace_is_reported_once_a_run(folder: Path, place: str) -> None:
    assert "every user can write" not in scan(folder).err
    (folder / place).chmod(0o777)
    result = scan(folder)
    assert result.code == 0
    assert result.err.splitlines() == [
        f"every user can write to {folder / place} and so replace the database; remove that permission (chmod o-w)"
    ]
    assert scan(folder, "--quiet").err == ""
    with watching(folder / "crawl", folder / "in/deeper/dedup.db") as daemon:
        assert daemon.leave() == 0
    assert daemon.log.decode().count(f"WARNING every user can write to {folder / place} ") == 1


def test_a_sticky_folder_is_not_reported(folder: Path) -> None:
    (folder / "in/deeper").chmod(0o1777)
    assert secure.find_world_writable(str(folder / "in/deeper/dedup.db")) is None
    assert scan(folder).err == ""


def test_a_file_is_truncated_only_after_its_owner_is_checked(tmp_path: Path) -> None:
    private = tmp_path / "own"
    private.write_text("before")
    os.close(secure.open_private(str(private), os.O_WRONLY | os.O_TRUNC))
    assert private.read_text() == ""
    target = plant(tmp_path / "other", "hard link")
    with pytest.raises(OSError, match="a link or not a regular file"):
        secure.open_private(str(tmp_path / "other"), os.O_WRONLY | os.O_TRUNC)
    assert unharmed(target, "hard link")


def test_a_reader_does_not_wait_for_a_planted_fifo(folder: Path) -> None:
    """`status` opens the lock and the health report."""
    scan(folder)
    lock = folder / "in/deeper/dedup.db.lock"
    lock.unlink()
    os.mkfifo(lock)
    result = subprocess.run(command("-d", folder / "in/deeper/dedup.db", "status"), capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
