"""`dedup.scan` does what the command does, and leaves the process that calls it as it was."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import dedup
from dedup.config import CrawlConfig, DatabaseConfig
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.library import lay_out_sample, run_program

pytestmark = pytest.mark.slow

ARTICLE = ArticleFile(body="The council voted to keep all six branch libraries open. " * 4)


def dump(folder: Path) -> str:
    result = run(folder, "dump", "--logical")
    assert result.code == 0
    return result.out


def test_a_scan_makes_the_database_of_the_command(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    config = lay_out_sample(mine)
    result = dedup.scan(config)
    by_library = dump(mine)
    assert run(mine, "status", "--format", "json").json()["last_scan"]["files"] == result.files
    (mine / "dedup.db").rename(other)
    for path in mine.glob("dedup.db*"):
        path.unlink()
    printed = run(mine, "scan", "--format", "json").json()
    assert result.to_dict() | {"seconds": 0} == printed | {"seconds": 0}
    assert dump(mine) == by_library


def test_directories_and_database_replace_those_of_the_settings(crawl: Path, db: Path) -> None:
    ARTICLE.write(crawl)
    result = dedup.scan(directories=[crawl], database=db)
    assert (result.new, result.absent) == (1, ())
    with dedup.open_database(db) as database:
        assert database.history(ARTICLE.address).timeline[0].path == str(crawl / ARTICLE.name)


def test_a_folder_of_a_configured_directory_is_scanned_as_part_of_it(crawl: Path, db: Path) -> None:
    ARTICLE.write(crawl / "inner")
    config = db.with_name("config.toml")
    config.write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    assert dedup.scan(config, directories=[crawl / "inner"]).new == 1
    assert dedup.scan(config).unchanged == 1


def test_an_absent_directory_is_in_the_result(crawl: Path, db: Path) -> None:
    ARTICLE.write(crawl)
    dedup.scan(directories=[crawl], database=db)
    crawl.rename(crawl.with_name("elsewhere"))
    result = dedup.scan(directories=[crawl], database=db)
    assert (result.absent, result.gone) == ((str(crawl),), 0)
    assert result.to_dict()["absent"] == [str(crawl)]


def test_a_scan_can_be_stopped(crawl: Path, db: Path) -> None:
    ARTICLE.write(crawl)
    stop = threading.Event()
    stop.set()
    assert dedup.scan(directories=[crawl], database=db, stop=stop).new == 0
    assert dedup.scan(directories=[crawl], database=db).new == 1


def test_only_the_main_thread_can_prepare_the_process(crawl: Path, db: Path) -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            dedup.scan(directories=[crawl], database=db, prepare_process=True)
        except dedup.errors.ParameterError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert not db.exists()


_STATE = """
import gc, json, os, resource, signal, sys, warnings
import dedup

def state():
    mask = os.umask(0)
    os.umask(mask)
    return [
        [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        gc.get_threshold(), sys.getrecursionlimit(), [str(f) for f in warnings.filters if "watchdog" in str(f)], mask,
        resource.getrlimit(resource.RLIMIT_NOFILE),
    ]

signal.signal(signal.SIGIO, signal.SIG_DFL)  # tests ignore it, and that is inherited
before = state()
arguments = dict(directories=["crawl"], database="dedup.db", prepare_process={prepare})
new = dedup.scan(**arguments).new
with dedup.watch(**arguments | {{"database": "watched.db"}}) as batches:
    new += len(next(batches).new)
print(json.dumps([new, [a == b for a, b in zip(before, state())], signal.getsignal(signal.SIGIO) == signal.SIG_IGN]))
"""


@pytest.mark.system
@pytest.mark.parametrize(("prepare", "unchanged"), [(False, [True] * 6), (True, [False, False, False, False, True])])
def test_the_process_is_changed_only_on_request_and_nothing_is_printed(tmp_path: Path, prepare: bool, unchanged: list[bool]) -> None:
    """The limit of open files may be at its maximum already."""
    ARTICLE.write(tmp_path / "crawl")
    new, same, ignores_lease_breaks = run_program(_STATE.format(prepare=prepare), tmp_path)
    assert (new, same[: len(unchanged)], ignores_lease_breaks) == (2, unchanged, prepare)


_LEASE = """
import fcntl, json, os, signal, subprocess, sys
from dedup.files import leases

path = sys.argv[0] = "article.md"
open(path, "w").close()
real, seen = fcntl.fcntl, []

def with_writer(fd, command, argument=0):
    result = real(fd, command, argument)
    if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):  # a writer comes during the probe: the kernel sends the signal
        opened = subprocess.run([sys.executable, "-c", f"import os; os.open({path!r}, os.O_WRONLY | os.O_NONBLOCK)"], capture_output=True)
        seen.append(b"BlockingIOError" in opened.stderr)
    return result

fcntl.fcntl = with_writer
signal.signal(signal.SIGIO, signal.SIG_DFL)
state, _ = leases.probe_lease(os.open(path, os.O_RDONLY))
print(json.dumps([state, seen]))
"""


def test_a_writer_that_opens_a_file_during_the_probe_does_not_end_a_process_without_handlers(tmp_path: Path) -> None:
    state, seen = run_program(_LEASE, tmp_path)
    if not seen:
        pytest.skip(f"this file system grants no leases ({state})")
    assert (state, seen) == ("free", [True])


_LOCKS = """
import fcntl, json, os, struct, sys

def is_locked(path, first, count):
    record = struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, first, count, 0)
    return struct.unpack("@hhqqi4x", fcntl.fcntl(os.open(path, os.O_RDWR), fcntl.F_GETLK, record))[0] != fcntl.F_UNLCK

print(json.dumps([is_locked("dedup.db", 0x4000_0002, 510), is_locked("dedup.db-shm", 123, 5)]))
"""
"""Bytes that SQLite locks while a connection has a database open, and while it reads from one moment's state."""


def test_a_scan_leaves_a_database_readable_that_is_open_in_the_same_process(tmp_path: Path) -> None:
    """Closing any descriptor of a file would drop the locks of SQLite, and another program could change what is being read."""
    ARTICLE.write(tmp_path / "crawl")
    crawl = CrawlConfig(directories=(str(tmp_path / "crawl"),), settle_seconds=0.0)
    settings = dedup.Settings(crawl=crawl, database=DatabaseConfig(path=str(tmp_path / "dedup.db")))
    dedup.scan(settings)
    with dedup.open_database(tmp_path / "dedup.db") as database:
        assert run_program(_LOCKS, tmp_path) == [True, True]
        ArticleFile(aid="2", body="A storm closed the coastal road on Friday. " * 4).write(tmp_path / "crawl")
        assert dedup.scan(settings).new == 1
        with dedup.watch(settings), pytest.raises(dedup.DatabaseBusyError):
            dedup.scan(settings)
        assert run_program(_LOCKS, tmp_path) == [True, True]
        with pytest.raises(dedup.UnknownPageError):
            database.history("901_2")
    assert [name for name in os.listdir("/proc/self/fd") if _target(name).startswith(f"{tmp_path}/dedup.db-")] == []


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
