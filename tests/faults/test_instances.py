"""Only one writer runs at a time. It stops in time, with no partial work and no process left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dedup.pipeline.extract import extract_files
from dedup.pipeline.scanner import Scan
from dedup.pipeline.workers import WorkerPool
from dedup.reports import status
from tests.builders import scans as running
from tests.builders.command import command, run, spawn
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, watching
from tests.builders.oracle import assert_holds, assert_sound, caught_up, recorded, walk
from tests.builders.privileges import as_service
from tests.builders.processes import alive, children, current_activity, patched_command, wait_until

pytestmark = pytest.mark.system

FILES = 24_000
"""Enough files for worker processes to start."""
IN_TIME = 10.0
"""Seconds within which a daemon has to stop."""


def _stop_in_time(daemon: Daemon, *numbers: signal.Signals) -> int:
    """Send the signals and wait for the end. Returns the exit code."""
    start = time.monotonic()
    for number in numbers:
        daemon.process.send_signal(number)
    code = daemon.wait(60)
    assert time.monotonic() - start <= IN_TIME, daemon.log.decode()
    return code


# A second instance


@as_service
@pytest.mark.parametrize(
    ("second", "through"),
    [("watch", "its path"), ("scan", "its path"), ("reindex", "its path"), ("scan", "a link to it"), ("scan", "a link to its folder")],
)
def test_a_second_instance_names_the_first_and_does_not_disturb_it(
    crawl: Path, db: Path, tmp_path: Path, second: str, through: str
) -> None:
    ArticleFile().write(crawl)
    (tmp_path / "link.db").symlink_to(db)
    (tmp_path / "linked").symlink_to(tmp_path)
    other = {"its path": db, "a link to it": tmp_path / "link.db", "a link to its folder": tmp_path / "linked" / db.name}[through]
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.problems() == [])
        result = spawn(tmp_path, "-d", other, second, *([] if second == "reindex" else [crawl]))
        assert (result.code, result.out) == (3, "")
        assert f"is being written by 'dedup watch' (process {daemon.process.pid}, since 20" in result.err
        assert len(result.err.splitlines()) == 1
        ArticleFile(aid="0000000002").write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert (report.process, report.scans, report.restarts, report.degraded) == (daemon.process.pid, 1, 0, ())
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_a_daemon_is_refused_while_a_scan_runs(crawl: Path, db: Path, tmp_path: Path) -> None:
    with running.session(crawl, db):
        result = spawn(tmp_path, "-d", db, "watch", crawl)
    assert result.code == 3
    assert f"is being written by 'dedup test' (process {os.getpid()}" in result.err


def test_a_daemon_does_not_show_the_report_of_its_predecessor(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.problems() == [])
        daemon.process.kill()
    slow = "import time; from dedup.pipeline import scanner; scanner.is_absent = lambda *_: time.sleep(1)"
    with watching(crawl, db, under=patched_command(slow), until="was killed") as daemon:
        daemon.wait_until(lambda: status.daemon_status(str(db)).health is not None, every=0.001)
        assert (daemon.report().process, daemon.report().phase) == (daemon.process.pid, "starting")


# Stopping during a large scan


@pytest.fixture(scope="module")
def large_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl directory with enough files for worker processes. Tests only read it."""
    crawl = tmp_path_factory.mktemp("many")
    for n in range(FILES):
        ArticleFile(body=(f"본문 {n} " * 12).strip(), aid=f"{n:010d}", title=f"기사 {n}").write(crawl / f"{n % 40:02d}", f"{n}.md", age=0)
    return crawl


_TWO_WORKERS = "workers = 2"


def _wait_until_stuck(db: Path) -> None:
    """Wait until the daemon has made no progress for a while."""
    since, activity = time.monotonic(), ""
    while time.monotonic() - since < 1.5:
        current = current_activity(db)
        if current != activity:
            since, activity = time.monotonic(), current
        time.sleep(0.01)
    assert activity.startswith("reading "), activity


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["asked", "asked while workers hang", "killed"])
def test_a_large_scan_stops_in_time_and_the_next_start_completes_it(large_crawl: Path, db: Path, how: str) -> None:
    with watching(large_crawl, db, "-q", until=None, more=_TWO_WORKERS) as daemon:
        daemon.wait_until(lambda: len(children(daemon.process.pid)) == 2, 300)
        readers = children(daemon.process.pid)
        if how == "killed":
            daemon.process.kill()
            daemon.wait(60)
        else:
            if "hang" in how:
                for reader in readers:
                    os.kill(reader, signal.SIGSTOP)
                _wait_until_stuck(db)
            assert _stop_in_time(daemon, signal.SIGTERM) == 0
            assert current_activity(db) == ""
        wait_until(lambda: not any(map(alive, readers)))
    files = recorded(db)
    assert 10_000 < len(files) < FILES
    assert files.items() <= walk(large_crawl).items()
    assert_sound(db)
    with watching(large_crawl, db, until=None, more=_TWO_WORKERS) as daemon:
        daemon.wait_for_log("watching", 300)
        assert ("was killed while re" in daemon.log.decode()) == (how == "killed")
        assert daemon.leave() == 0
    assert_holds(large_crawl, db)


# Stopping while the database is locked or being written

_WAIT_WITHIN_A_TRANSACTION = """
import os, sys, time
from dedup.store import readings
insert = readings.insert
def slowly(transaction, rows):
    insert(transaction, rows)
    print("within a transaction", file=sys.stderr, flush=True)
    while not os.path.exists(transaction.path + ".go"):
        time.sleep(0.01)
readings.insert = slowly
"""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((signal.SIGTERM,), 0),
        ((signal.SIGINT, signal.SIGINT), 130),
        ((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), 130),
        ((signal.SIGHUP,), 0),
    ],
)
def test_a_transaction_is_completed_before_the_daemon_stops(crawl: Path, db: Path, numbers: tuple[signal.Signals, ...], code: int) -> None:
    ArticleFile().write(crawl)
    with watching(crawl, db, under=patched_command(_WAIT_WITHIN_A_TRANSACTION), until="within a transaction") as daemon:
        for number in numbers:
            daemon.process.send_signal(number)
        Path(f"{db}.go").touch()
        assert _stop_in_time(daemon) == code
        assert b"Traceback" not in daemon.log
    assert_holds(crawl, db)


def test_a_transaction_that_does_not_end_is_aborted_and_repeated_by_the_next_start(crawl: Path, db: Path) -> None:
    path = ArticleFile().write(crawl)
    with watching(crawl, db, under=patched_command(_WAIT_WITHIN_A_TRANSACTION), until="within a transaction") as daemon:
        assert _stop_in_time(daemon, signal.SIGTERM) == -signal.SIGALRM
    assert_sound(db)
    assert recorded(db) == {}
    with watching(crawl, db, until=f"was killed while recording 1 files, starting with {path}") as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_daemon_stops_in_time_while_another_program_locks_the_database(crawl: Path, db: Path, number: signal.Signals) -> None:
    with watching(crawl, db) as daemon:
        connection = sqlite3.connect(db, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        ArticleFile().write(crawl, age=0)
        daemon.wait_until(lambda: current_activity(db).startswith("recording "), every=0.005)
        assert _stop_in_time(daemon, number) == (130 if number == signal.SIGINT else 0)
        assert b"The next start finds it again." in daemon.log
        connection.close()
    assert recorded(db) == {}
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@as_service
def test_a_degraded_daemon_stops_in_time_and_the_next_one_catches_up(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        connection = sqlite3.connect(db, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        ArticleFile().write(crawl, age=0)
        daemon.wait_until(lambda: daemon.degraded("database"))
        assert daemon.recorded() == 0
        assert _stop_in_time(daemon, signal.SIGTERM) == 0
        connection.close()
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert (daemon.problems(), daemon.leave()) == ([], 0)
    assert_holds(crawl, db)


def test_a_daemon_continues_when_another_program_unlocks_the_database(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        connection = sqlite3.connect(db, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        ArticleFile().write(crawl, age=0)
        daemon.wait_until(lambda: daemon.degraded("database"))
        connection.close()
        daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: daemon.problems() == [])
        assert daemon.leave() == 0
    assert_holds(crawl, db)


_REBUILD_SLOWLY = """
import sys, time
from dedup.index import hashtable
hashtable._ROWS_PER_CHUNK = 1
commit = hashtable.HashTable.commit
def slowly(self, token, last_text):
    commit(self, token, last_text)
    print("making an index", file=sys.stderr, flush=True)
    time.sleep(1)
hashtable.HashTable.commit = slowly
"""


def test_a_daemon_stops_in_time_while_an_index_is_rebuilt(crawl: Path, db: Path) -> None:
    for n in range(30):
        ArticleFile(body=f"본문 {n} 이 길게 이어진다. " * 20, aid=f"{n:010d}").write(crawl)
    running.scan(crawl, db)
    for extension in (".index", ".passages"):
        Path(f"{db}{extension}").unlink()
    with watching(crawl, db, under=patched_command(_REBUILD_SLOWLY), until="making an index") as daemon:
        assert _stop_in_time(daemon, signal.SIGTERM) == 0
        assert b"ERROR" not in daemon.log
    assert_holds(crawl, db)
    ArticleFile(body="본문 7 이 길게 이어진다. " * 20, aid="0000000099", oid="902").write(crawl)
    assert running.scan(crawl, db).matches["exact"] == 1


def test_a_stop_request_ends_the_handling_of_waiting_files(crawl: Path, db: Path) -> None:
    paths = [ArticleFile(aid=f"{n:010d}").write(crawl) for n in range(20)]
    stop = threading.Event()
    yielded = 0

    def names() -> Iterator[bytes]:
        nonlocal yielded
        for yielded, path in enumerate(paths, 1):
            if yielded == 6:
                stop.set()
            yield os.fsencode(path.name)

    with running.session(crawl, db, settle=60) as session:
        scan = Scan(session, stop)
        scan.check_paths(session.directories[0], names())
        assert (yielded, scan.count_waiting()) == (6, 5)
        for path in paths:
            path.unlink()
        scan.queue_settled()
        assert scan.count_waiting() == 5  # the deletions were not noticed
        stop.clear()
        scan.queue_settled()
        assert scan.count_waiting() == 0


def test_a_stop_request_ends_the_recording_of_batches(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.pipeline.workers.MIN_FILES_FOR_PROCESSES", 0)
    monkeypatch.setattr(WorkerPool, "_extract_in_process", lambda self, batch: extract_files(batch, self._options))  # in its threads
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 4)
    for n in range(20):
        ArticleFile(aid=f"{n:010d}").write(crawl)
    stop = threading.Event()
    with running.session(crawl, db, workers=2) as session:
        scan = Scan(session, stop, progress=lambda tally: stop.set() if tally.new else None)
        scan.run()
        assert scan.backlog() == (0, None)
    assert len(recorded(db)) == 4
    running.scan(crawl, db)
    assert_holds(crawl, db)


def test_a_silent_client_of_the_metrics_does_not_delay_a_stop(crawl: Path, db: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with watching(crawl, db, more=f'[metrics]\nlisten = "127.0.0.1:{port}"') as daemon, socket.create_connection(("127.0.0.1", port)):
        assert _stop_in_time(daemon, signal.SIGTERM) == 0


# A terminal


def test_closing_the_terminal_stops_the_daemon(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    output = b""
    with subprocess.Popen(command("-d", db, "watch", crawl), stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal) as process:
        os.close(slave)
        while b"watching" not in output:
            output += os.read(master, 65536)
        os.close(master)
        assert process.wait(60) == 0
    assert current_activity(db) == ""
    assert run(crawl.parent, "-d", db, "status", "-f", "json").json()["killed_writer"] is None
    running.scan(crawl, db)
    assert_holds(crawl, db)


def test_a_daemon_under_nohup_ignores_a_hangup(crawl: Path, db: Path) -> None:
    with watching(crawl, db, under=("nohup",)) as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        ArticleFile().write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
