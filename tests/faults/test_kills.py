"""`kill -9` of daemons at many points while a crawler runs: nothing is lost or recorded twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dedup.store.lock import crashed_holder
from tests.builders.command import run
from tests.builders.crawler import article
from tests.builders.daemon import Daemon, assert_equals_scan, watching
from tests.builders.oracle import assert_holds, assert_sound, caught_up
from tests.builders.privileges import as_both
from tests.builders.processes import patched_command, wait_until

pytestmark = pytest.mark.system

OPERATIONS = 35
"""Operations of the crawler during the life of one daemon."""
MAX_SECONDS = 0.4
"""A daemon is killed at most this long after its start, or after it began to watch."""
RECORD_ALL_EVERY = 10
"""After this many daemons, one records everything while the crawler rests."""

_DIE_AT = """
import os, signal, threading, time
from dedup.daemon import health_file
from dedup.index import hashtable
from dedup.matching.matcher import Matcher
from dedup.store import WritableDatabase, sightings
left = {calls}
def die(): os.kill(os.getpid(), signal.SIGKILL)
def dies(owner, name, *, before=False, which=lambda *_: True):
    call = getattr(owner, name)
    def called(*args, **kw):
        global left
        left -= which(*args)
        if before and left <= 0 and which(*args): die()
        made = call(*args, **kw)
        if left <= 0 and which(*args): die()
        return made
    setattr(owner, name, called)
"""
_CHECKPOINTS = """
opened = WritableDatabase.__init__
def copying(self, *args):
    opened(self, *args)
    self.connection.execute("PRAGMA wal_autocheckpoint = 1")
WritableDatabase.__init__ = copying
commit = WritableDatabase._commit
def soon(self):
    global left
    left -= 1
    if left <= 0: threading.Thread(target=lambda: (time.sleep({delay}), die()), daemon=True).start()
    commit(self)
WritableDatabase._commit = soon
"""
_HALF_A_REPORT = """
write = health_file._write_all
def half(fd, data):
    global left
    left -= 1
    if left <= 0: os.write(fd, data[: len(data) // 2]); die()
    write(fd, data)
health_file._write_all = half
"""
POINTS = {
    "within a transaction": "dies(sightings, 'insert')",
    "before COMMIT": "dies(WritableDatabase, '_commit', before=True)",
    "after COMMIT": "dies(WritableDatabase, '_commit')",
    "before the indexes": "dies(Matcher, 'index_committed', before=True)",
    "within an index": "dies(hashtable.HashTable, 'insert')",
    "before an index counts": "dies(hashtable.HashTable, 'commit', before=True)",
    "between the indexes": "dies(hashtable.HashTable, 'commit')",
    "as an index is made again": "hashtable._ROWS_PER_CHUNK = 1; dies(hashtable.HashTable, 'commit', before=True)",
    "half a report": _HALF_A_REPORT,
    "before a report counts": "dies(health_file, '_write_all')",
    "as the log is copied back": _CHECKPOINTS,
}
"""Point at which a daemon kills itself → code that does it."""


class Crawler:
    """A crawler process and the number of operations it has completed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.completed = 0
        self._requested = 0
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.completed = int(line)

    def request_more(self) -> None:
        """Start more operations without waiting for them."""
        assert self._process.stdin is not None
        self._requested += OPERATIONS
        self._process.stdin.write(f"{OPERATIONS}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Wait for the requested operations and end the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()

    def wait_until_idle(self) -> None:
        """Wait until all requested operations are completed."""
        wait_until(lambda: self.completed == self._requested)


@contextmanager
def running_crawler(crawl: Path, seed: int, *, whole: bool) -> Iterator[Crawler]:
    """A crawler in another process. `whole`: it only adds files."""
    command = [sys.executable, "-m", "tests.builders.crawler", str(crawl), str(seed), *(["whole"] if whole else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        crawler = Crawler(process)
        try:
            yield crawler
        finally:
            crawler.end()


def _bodies(db: Path) -> set[str]:
    """All stored bodies."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        bodies = {body for (body,) in connection.execute("SELECT body FROM revisions")}
    connection.close()
    return bodies


def _run_and_kill(crawl: Path, db: Path, rng: random.Random, point: str | None, most_calls: int) -> tuple[Daemon, bool]:
    """Run a daemon and kill it at `point` (one of the first `most_calls` times it gets there) or at a random moment. Returns it and
    whether it died by itself."""
    under: tuple[str, ...] = ()
    if point:
        calls, delay = rng.randint(1, most_calls), rng.uniform(0, 0.004)
        under = patched_command((_DIE_AT + POINTS[point]).replace("{calls}", str(calls)).replace("{delay}", str(delay)))
    with watching(crawl, db, settle=0.1, under=under, until=None) as daemon:
        if point is None and rng.random() < 0.6:
            daemon.wait_for_log("INFO watching")
        deadline = time.monotonic() + (20 if point else rng.uniform(0, MAX_SECONDS))
        while daemon.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        reached = daemon.process.poll() is not None
        if not reached:
            daemon.process.kill()
        assert daemon.wait() == -signal.SIGKILL, daemon.log.decode()
    return daemon, reached


def _assert_names_predecessor(daemon: Daemon, predecessor: str) -> None:
    """Once it holds the database, a daemon logs which process was killed before."""
    if b"\n" in daemon.log:
        assert f"{predecessor} was killed" in daemon.log.decode()


def _kill_daemons_and_check(crawl: Path, db: Path, kills: int, seed: int, *, whole: bool) -> Counter[str]:
    """Kill daemons while a crawler runs, then compare with the oracle. Returns the number of deaths at each point."""
    rng = random.Random(seed)
    recorded_before: set[str] = set()
    deaths: Counter[str] = Counter()
    attempts: Counter[str] = Counter()
    with running_crawler(crawl, seed, whole=whole) as crawler:
        for n in range(kills):
            crawler.request_more()
            point = min(POINTS, key=lambda p: (deaths[p], attempts[p])) if n % 2 else None  # not every run reaches its point
            attempts[point or ""] += 1
            before = crashed_holder(str(db))
            if point == "as an index is made again":
                for end in (".index", ".passages"):
                    Path(f"{db}{end}").unlink(missing_ok=True)
            most_calls = 1 if attempts[point or ""] > 1 + deaths[point or ""] else 4  # a daemon may get there only once
            daemon, reached = _run_and_kill(crawl, db, rng, point, most_calls)
            if point and reached:
                deaths[point] += 1
            if before is not None:
                _assert_names_predecessor(daemon, before.description)
            after = crashed_holder(str(db))
            if daemon.log:
                assert after is not None
                assert after.process_id == daemon.process.pid
                result = run(db.parent, "-d", db, "status")
                assert f"the last, {after.description}, was killed" in result.out, result
            if after is not None:
                assert_sound(db)
                assert recorded_before <= _bodies(db)
            if n % RECORD_ALL_EVERY == RECORD_ALL_EVERY - 1:
                recorded_before |= _record_all(crawl, db, crawler)
        crawler.wait_until_idle()
        completed = {article(seed, n).body for n in range(crawler.completed)}
    last = crashed_holder(str(db))
    assert last is not None
    with watching(crawl, db, settle=0.1) as daemon:
        assert f"{last.description} was killed" in daemon.log.decode()
        daemon.wait_until(lambda: caught_up(crawl, db), every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, completed)
    assert recorded_before <= _bodies(db)
    assert crashed_holder(str(db)) is None
    return deaths


def _record_all(crawl: Path, db: Path, crawler: Crawler) -> set[str]:
    """Let a daemon record everything, then kill it. Returns the stored bodies."""
    crawler.wait_until_idle()
    with watching(crawl, db, settle=0.1) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db), every=0.1)
        daemon.process.kill()
        daemon.wait()
    return _bodies(db)


@pytest.fixture
def seed() -> int:
    """A random seed, printed if the test fails."""
    value = int.from_bytes(os.urandom(4))
    sys.stdout.write(f"seed {value}\n")
    return value


@as_both
def test_a_daemon_killed_a_few_times_ends_in_the_database_of_a_scan(crawl: Path, db: Path, seed: int) -> None:
    _kill_daemons_and_check(crawl, db, 6, seed, whole=True)
    assert_equals_scan(crawl, db)


@pytest.mark.timeout(900)
def test_a_daemon_killed_fifty_times_while_pages_arrive_ends_in_the_database_of_a_scan(crawl: Path, db: Path, seed: int) -> None:
    deaths = _kill_daemons_and_check(crawl, db, 50, seed, whole=True)
    assert set(deaths) == set(POINTS)
    assert_equals_scan(crawl, db)


@pytest.mark.timeout(900)
def test_a_daemon_killed_fifty_times_while_files_come_and_go_loses_nothing(crawl: Path, db: Path, seed: int) -> None:
    deaths = _kill_daemons_and_check(crawl, db, 50, seed, whole=False)
    assert set(deaths) == set(POINTS)
