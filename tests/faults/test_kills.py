"""kill -9 at any moment of a running daemon, again and again, while a crawler goes on: nothing is lost, nothing is there twice."""

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
from tests.builders.crawler import made
from tests.builders.daemon import Daemon, equals_a_scan, watching
from tests.builders.oracle import assert_holds, assert_sound, caught_up
from tests.builders.privileges import as_both
from tests.builders.processes import patched, until

pytestmark = pytest.mark.system

THINGS = 35
"""What the crawler does while a daemon runs and dies."""
LONGEST = 0.4
"""Seconds after which a daemon is killed, at most: from its start, or from when it watches."""
STANDS = 10
"""One of so many daemons is let take in everything that stands, while the crawler rests."""

_DYING = """
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
def half(fd, told):
    global left
    left -= 1
    if left <= 0: os.write(fd, told[: len(told) // 2]); die()
    write(fd, told)
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
"""Where a daemon kills itself, and the lines that make it."""


class Laying:
    """The crawler, and how much it has done so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.done = 0
        self._asked = 0
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.done = int(line)

    def go_on(self) -> None:
        """Do so many things more, beside what goes on here."""
        assert self._process.stdin is not None
        self._asked += THINGS
        self._process.stdin.write(f"{THINGS}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Do no more than was asked."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()

    def rested(self) -> None:
        """Wait until it has done what it was asked to: nothing moves any more."""
        until(lambda: self.done == self._asked)


@contextmanager
def laying(crawl: Path, seed: int, *, whole: bool) -> Iterator[Laying]:
    """A crawler that runs beside what is tried. `whole`: it only adds."""
    command = [sys.executable, "-m", "tests.builders.crawler", str(crawl), str(seed), *(["whole"] if whole else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        crawler = Laying(process)
        try:
            yield crawler
        finally:
            crawler.end()


def _bodies(db: Path) -> set[str]:
    """All that are stored."""
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        found = {body for (body,) in connection.execute("SELECT body FROM revisions")}
    connection.close()
    return found


def _killed(crawl: Path, db: Path, rng: random.Random, point: str | None, most_calls: int) -> tuple[Daemon, bool]:
    """A daemon that was killed at a point (one of the first `most_calls` times that it got there), or else at some moment; and whether it
    got there."""
    under: tuple[str, ...] = ()
    if point:
        calls, delay = rng.randint(1, most_calls), rng.uniform(0, 0.004)
        under = patched((_DYING + POINTS[point]).replace("{calls}", str(calls)).replace("{delay}", str(delay)))
    with watching(crawl, db, settle=0.1, under=under, until=None) as daemon:
        if point is None and rng.random() < 0.6:
            daemon.wait_for_log("INFO watching")
        over = time.monotonic() + (20 if point else rng.uniform(0, LONGEST))
        while daemon.process.poll() is None and time.monotonic() < over:
            time.sleep(0.002)
        by_itself = daemon.process.poll() is not None
        if not by_itself:
            daemon.process.kill()
        assert daemon.wait() == -signal.SIGKILL, daemon.log.decode()
    return daemon, by_itself


def _tells_of(daemon: Daemon, predecessor: str) -> None:
    """Once it holds the database, a start says who was killed before it."""
    if b"\n" in daemon.log:
        assert f"{predecessor} was killed" in daemon.log.decode()


def _survive(crawl: Path, db: Path, kills: int, seed: int, *, whole: bool) -> Counter[str]:
    """Returns how often a daemon died at each point."""
    rng = random.Random(seed)
    stood: set[str] = set()
    died: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with laying(crawl, seed, whole=whole) as crawler:
        for n in range(kills):
            crawler.go_on()
            point = min(POINTS, key=lambda p: (died[p], tried[p])) if n % 2 else None  # not all come every time
            tried[point or ""] += 1
            before = crashed_holder(str(db))
            if point == "as an index is made again":
                for end in (".index", ".passages"):
                    Path(f"{db}{end}").unlink(missing_ok=True)
            most_calls = 1 if tried[point or ""] > 1 + died[point or ""] else 4  # a daemon that records all at once gets there once
            daemon, by_itself = _killed(crawl, db, rng, point, most_calls)
            if point and by_itself:
                died[point] += 1
            if before is not None:
                _tells_of(daemon, before.description)
            after = crashed_holder(str(db))
            if daemon.log:
                assert after is not None
                assert after.process_id == daemon.process.pid
                told = run(db.parent, "-d", db, "status")
                assert f"the last, {after.description}, was killed" in told.out, told
            if after is not None:
                assert_sound(db)
                assert stood <= _bodies(db)
            if n % STANDS == STANDS - 1:
                stood |= _all_that_stands(crawl, db, crawler)
        crawler.rested()
        completed = {made(seed, n).body for n in range(crawler.done)}
    last = crashed_holder(str(db))
    assert last is not None
    with watching(crawl, db, settle=0.1) as daemon:
        assert f"{last.description} was killed" in daemon.log.decode()
        daemon.wait_until(lambda: caught_up(crawl, db), every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, completed)
    assert stood <= _bodies(db)
    assert crashed_holder(str(db)) is None
    return died


def _all_that_stands(crawl: Path, db: Path, crawler: Laying) -> set[str]:
    """What a daemon that is let has taken in, before it is killed too."""
    crawler.rested()
    with watching(crawl, db, settle=0.1) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db), every=0.1)
        daemon.process.kill()
        daemon.wait()
    return _bodies(db)


@pytest.fixture
def seed() -> int:
    """Another one each time; told where the test fails."""
    drawn = int.from_bytes(os.urandom(4))
    sys.stdout.write(f"seed {drawn}\n")
    return drawn


@as_both
def test_a_daemon_killed_a_few_times_ends_as_a_scan_would(crawl: Path, db: Path, seed: int) -> None:
    _survive(crawl, db, 6, seed, whole=True)
    equals_a_scan(crawl, db)


@pytest.mark.timeout(900)
def test_a_daemon_killed_fifty_times_while_pages_come_ends_as_a_scan_would(crawl: Path, db: Path, seed: int) -> None:
    died = _survive(crawl, db, 50, seed, whole=True)
    assert set(died) == set(POINTS)
    equals_a_scan(crawl, db)


@pytest.mark.timeout(900)
def test_a_daemon_killed_fifty_times_while_files_come_and_go_loses_nothing_that_stood(crawl: Path, db: Path, seed: int) -> None:
    died = _survive(crawl, db, 50, seed, whole=False)
    assert set(died) == set(POINTS)
