"""Files beside the database: this user's own, whatever the umask, and whatever others put in their place."""

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

UUID, RECIPE = b"u" * 16, b"r" * 16


@pytest.fixture
def umask_0() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def articles(crawl: Path, number: int) -> None:
    rng = random.Random(number)
    for i in range(number):
        ArticleFile(body=" ".join(words(rng, 60)), aid=f"{i:04}").write(crawl)


def test_everything_beside_the_database_is_its_owners_alone_whatever_the_umask(
    crawl: Path, db: Path, umask_0: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While the daemon runs, so that all there ever is, is there: log, lock, report, both indexes."""
    articles(crawl, 3)
    os.chmod(tmp_path, 0o700)
    for variable in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    with watching(crawl, db, env={"XDG_STATE_HOME": "/dev/null"}) as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 3 and Path(f"{db}.passages").exists() and Path(f"{db}.health").exists())
        found = {path.name.removeprefix(db.name): mode_of(path) for path in tmp_path.iterdir() if path.name.startswith(db.name + "-")}
        found |= {path.name.removeprefix(db.name): mode_of(path) for path in tmp_path.iterdir() if path.name.startswith(db.name + ".")}
        found.pop(".toml")
        assert {"-wal", "-shm", ".lock", ".index", ".passages", ".health"} <= found.keys()
        assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
        assert mode_of(db) == 0o600


def test_compiled_code_is_kept_where_nobody_else_may_write(tmp_path: Path, umask_0: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    os.chmod(tmp_path, 0o700)
    chosen = Path(jit._find_cache_folder())
    assert chosen == tmp_path / "state/dedup/compiled"
    assert {mode_of(p) for p in (chosen, chosen.parent, chosen.parent.parent)} == {0o700}


def others_may_write(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def a_parent_that_others_may_write_to(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o777)


def a_link(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    (folder.parent.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent.parent / "elsewhere")


def somebody_elses(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    os.chown(folder, 12345, 12345)


@pytest.mark.parametrize("planted", [others_may_write, a_parent_that_others_may_write_to, a_link, somebody_elses])
def test_compiled_code_that_others_could_have_planted_is_never_run(
    planted: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What numba keeps is run when it is loaded."""
    if planted is somebody_elses and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    planted(tmp_path / "state/dedup/compiled")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(jit._JitState, "fallback_folder", None)
    chosen = Path(jit._find_cache_folder())
    assert tmp_path not in chosen.parents
    assert mode_of(chosen) == 0o700
    chosen.rmdir()


# What is put in their place


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_is_something_else_is_not_touched(db: Path, kind: str) -> None:
    target = plant(Path(f"{db}.lock"), kind)
    with pytest.raises(DatabaseUnreadableError, match=r"\.lock cannot be created"):
        Lock(str(db), "scan")
    assert current_holder(str(db)) is None
    assert unharmed(target, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".index", ".passages"])
def test_an_index_that_is_something_else_is_replaced_and_its_target_untouched(crawl: Path, db: Path, kind: str, suffix: str) -> None:
    articles(crawl, 2)
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
    """A table that is whole would be mapped and written to."""
    HashTable.create(str(tmp_path / "other"), UUID, RECIPE).commit(b"t" * 16, 0)
    assert HashTable.load(str(tmp_path / "other")) is not None
    if kind == "link":
        os.symlink(tmp_path / "other", f"{db}.index")
    else:
        os.link(tmp_path / "other", f"{db}.index")
    assert HashTable.load(f"{db}.index") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_that_is_something_else_is_not_written_through(tmp_path: Path, kind: str) -> None:
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
def test_sqlites_files_that_are_something_else_are_refused(crawl: Path, db: Path, kind: str, suffix: str) -> None:
    """SQLite itself would follow."""
    articles(crawl, 1)
    running.scan(crawl, db)
    Path(str(db) + suffix).unlink(missing_ok=True)
    target = plant(Path(str(db) + suffix), kind)
    with pytest.raises(DatabaseUnreadableError, match="is a link or not a regular file"), open_writable(str(db), "scan"):
        pass
    with pytest.raises(DatabaseUnreadableError, match="is a link or not a regular file"), open_database(str(db)):
        pass
    assert unharmed(target, kind)


def test_a_database_that_is_a_link_of_the_operators_is_opened(crawl: Path, db: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    db.symlink_to(tmp_path / "disk/real.db")
    articles(crawl, 1)
    assert running.scan(crawl, db).new == 1
    assert mode_of(tmp_path / "disk/real.db") == 0o600


# Where others may write


def scanned(folder: Path, *options: str) -> CommandResult:
    return run(folder, "-d", "in/deeper/dedup.db", "scan", folder / "crawl", *options)


@pytest.fixture
def folder(crawl: Path, tmp_path: Path) -> Path:
    (tmp_path / "in/deeper").mkdir(parents=True)
    (tmp_path / "config.toml").write_text("[crawl]\nsettle_seconds = 0.0\n")
    articles(crawl, 1)
    return tmp_path


@pytest.mark.parametrize("place", ["in/deeper", "in", "in/deeper/dedup.db"])
def test_a_database_that_others_may_replace_is_told_of_once_a_run(folder: Path, place: str) -> None:
    assert "every user can write" not in scanned(folder).err
    (folder / place).chmod(0o777)
    told = scanned(folder)
    assert told.code == 0
    assert told.err.splitlines() == [
        f"every user can write to {folder / place} and so replace the database; remove that permission (chmod o-w)"
    ]
    assert scanned(folder, "--quiet").err == ""
    with watching(folder / "crawl", folder / "in/deeper/dedup.db") as daemon:
        assert daemon.leave() == 0
    assert daemon.log.decode().count(f"WARNING every user can write to {folder / place} ") == 1


def test_a_sticky_folder_is_safe(folder: Path) -> None:
    (folder / "in/deeper").chmod(0o1777)
    assert secure.find_world_writable(str(folder / "in/deeper/dedup.db")) is None
    assert scanned(folder).err == ""


def test_a_file_is_cut_short_only_once_it_is_known_to_be_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("before")
    os.close(secure.open_private(str(own), os.O_WRONLY | os.O_TRUNC))
    assert own.read_text() == ""
    target = plant(tmp_path / "other", "hard link")
    with pytest.raises(OSError, match="a link or not a regular file"):
        secure.open_private(str(tmp_path / "other"), os.O_WRONLY | os.O_TRUNC)
    assert unharmed(target, "hard link")


def test_a_reader_does_not_wait_for_a_planted_fifo(folder: Path) -> None:
    """Whoever asks how things stand opens the lock and the report."""
    scanned(folder)
    lock = folder / "in/deeper/dedup.db.lock"
    lock.unlink()
    os.mkfifo(lock)
    done = subprocess.run(command("-d", folder / "in/deeper/dedup.db", "status"), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
