"""Failures of watchdog: threads that raise, lose their descriptor or block. The observer is rebuilt, one scan follows, nothing leaks."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, watching
from tests.builders.inotify_limits import set_limit, with_limit
from tests.builders.oracle import assert_holds, caught_up
from tests.builders.privileges import as_service
from tests.builders.processes import patched_command

pytestmark = pytest.mark.system

REPETITIONS = 20
IN_TIME = 10.0
"""Seconds within which a daemon has to stop."""

_CHECK_OFTEN = """
from dedup.daemon import loop
loop.TICK_SECONDS = 0.1
"""
"""Checks the observer more often than once a second."""

_RAISE = """
from watchdog.observers import {module}
owner, unbroken = {module}.{owner}, {module}.{owner}.{function}
def broken(self, *args, **kw):
    if "fatal" in repr(args):
        raise KeyError("broken")
    result = unbroken(self, *args, **kw)
    if "fatal" in repr(result):
        raise KeyError("broken")
    return result
owner.{function} = broken
"""
"""Makes a function raise when its arguments or its result contain the name `fatal`."""

_FAIL_READING = """
import errno, os, types
from watchdog.observers import inotify_c
def read(fd, size):
    data = os.read(fd, size)
    if b"fatal" in data:
        raise OSError(errno.EIO, "broken")
    return data
inotify_c.os = types.SimpleNamespace(**{**vars(os), "read": read})
"""

_CLOSE_WHILE_READING = """
import os
from watchdog.observers.inotify_c import InotifyFD
unbroken = InotifyFD.handle_event
def broken(self, event):
    if b"fatal" in event.name:
        os.close(self._inotify_fd)
    unbroken(self, event)
InotifyFD.handle_event = broken
"""

_CLOSE_ON_REQUEST = """
import os, threading
from dedup.daemon.watch.coverage import is_inotify_instance
def close():
    while True:
        with open("fifo"):
            for fd in filter(is_inotify_instance, os.listdir("/proc/self/fd")):
                os.close(int(fd))
threading.Thread(target=close, daemon=True).start()
"""
"""Opening the fifo closes the inotify instance while a thread of watchdog waits for an event."""

_BLOCK = """
import threading
from dedup.daemon.watch.event_handler import EventHandler
unbroken = EventHandler.dispatch
def broken(self, event):
    if "fatal" in event.src_path:
        threading.Event().wait()
    unbroken(self, event)
EventHandler.dispatch = broken
"""

_REFUSE_THREADS = """
import os, threading
start = threading.Thread.start
def start_if_there_is_room(self):
    if os.path.exists("no threads"):
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = start_if_there_is_room
"""
"""Simulates a limit on processes, which does not apply to root."""

FAILURES = {
    "the reader, handling an event": _RAISE.format(module="inotify_c", owner="InotifyFD", function="handle_event"),
    "the reader, reading": _FAIL_READING,
    "the emitter": _RAISE.format(module="inotify", owner="InotifyEmitter", function="build_and_queue_event"),
    "the dispatcher": _RAISE.format(module="api", owner="EventQueue", function="get"),
    "the descriptor, while events arrive": _CLOSE_WHILE_READING,
    "the descriptor, without events": _CLOSE_ON_REQUEST,
}


@pytest.fixture(autouse=True)
def _run_in_tmp_path(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons run in `tmp_path`, where tests control them through files."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")


def _article(number: int) -> ArticleFile:
    return ArticleFile(aid=f"{number:010d}", title=f"기사 {number}", body=(f"본문 {number} " * 30).strip())


def _trigger_failure(crawl: Path, number: int, failure: str) -> None:
    """Trigger the failure, with files written before, during and after it."""
    _article(number).write(crawl, age=0)
    if FAILURES.get(failure) == _CLOSE_ON_REQUEST:
        Path("fifo").open("w").close()
    _article(number + 1).write(Path("aside") / "deep", age=0)
    Path("aside").rename(crawl / f"fatal{number}")  # one event only, so that the next observer does not fail again
    _article(number + 2).write(crawl, age=0)


def _resources(daemon: Daemon) -> tuple[int, int]:
    """Number of (descriptors, threads) of the daemon."""
    process = f"/proc/{daemon.process.pid}"
    return len(os.listdir(f"{process}/fd")), len(os.listdir(f"{process}/task"))


def _wait_until_idle(daemon: Daemon, scans: int) -> None:
    daemon.wait_until(lambda: daemon.report().scans == scans)
    daemon.wait_until(lambda: daemon.report().phase == "watching" and daemon.problems() == [])
    daemon.wait_until(daemon.idle)


def _assert_events_arrive(daemon: Daemon, crawl: Path, db: Path, number: int) -> None:
    """Files in the crawl directory and in a new folder are recorded because of events, not by a scan."""
    scans = daemon.report().scans
    _article(number).write(crawl, age=0)
    _article(number + 1).write(crawl / f"new{number}", age=0)
    daemon.wait_until(lambda: caught_up(crawl, db))
    _wait_until_idle(daemon, scans)


# Failures


@as_service
@pytest.mark.parametrize("failure", FAILURES)
def test_a_broken_observer_is_logged_once_rebuilt_once_and_followed_by_one_scan(crawl: Path, db: Path, failure: str) -> None:
    with watching(crawl, db, under=patched_command(FAILURES[failure])) as daemon:
        _assert_events_arrive(daemon, crawl, db, 0)
        _trigger_failure(crawl, 10, failure)
        daemon.wait_until(lambda: caught_up(crawl, db))
        _wait_until_idle(daemon, 2)
        _assert_events_arrive(daemon, crawl, db, 20)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.restarts, report.overflows, report.scans, report.unwatched) == (1, 0, 2, 0)
    assert daemon.log.count(b"watching again, and scanning") == 1
    # without its descriptor a thread may or may not fail before the daemon notices
    assert len(re.findall(rb"thread \S.*? failed: ", daemon.log)) in ((0, 1) if "descriptor" in failure else (1,))
    assert all(b" INFO " in line or b" WARNING " in line or b" ERROR " in line for line in daemon.log.splitlines()), daemon.log.decode()
    assert_holds(crawl, db)


@pytest.mark.parametrize("failure", FAILURES)
def test_an_observer_that_breaks_repeatedly_leaks_neither_descriptors_nor_threads(crawl: Path, db: Path, failure: str) -> None:
    with watching(crawl, db, under=patched_command(_CHECK_OFTEN + FAILURES[failure])) as daemon:
        _assert_events_arrive(daemon, crawl, db, 0)
        resources = _resources(daemon)
        for n in range(1, REPETITIONS + 1):
            _trigger_failure(crawl, 10 * n, failure)
            daemon.wait_until(lambda: caught_up(crawl, db))
            _wait_until_idle(daemon, 1 + n)
            daemon.wait_until(lambda: _resources(daemon) == resources)
        _assert_events_arrive(daemon, crawl, db, 10 * REPETITIONS + 10)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.restarts, report.scans) == (REPETITIONS, REPETITIONS + 1)
    assert daemon.log.count(b"watching again, and scanning") == REPETITIONS
    assert_holds(crawl, db)


# Blocked threads


def test_a_blocked_handler_delays_neither_timed_scans_nor_shutdown(crawl: Path, db: Path) -> None:
    with watching(crawl, db, interval=1.0, under=patched_command(_BLOCK)) as daemon:
        _trigger_failure(crawl, 10, "a handler")
        daemon.wait_until(lambda: caught_up(crawl, db))
        _article(20).write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        start = time.monotonic()
        assert daemon.leave() == 0
    assert time.monotonic() - start <= IN_TIME, daemon.log.decode()
    assert_holds(crawl, db)


# Exhausted resources


@contextmanager
def _no_descriptors(daemon: Daemon) -> Iterator[str]:
    """The daemon cannot open more files."""
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    yield "this process may open no more files"
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _no_threads(daemon: Daemon) -> Iterator[str]:
    """The daemon cannot start more threads."""
    Path("no threads").touch()
    yield "can't start new thread"
    Path("no threads").unlink()


@contextmanager
def _no_instances(daemon: Daemon) -> Iterator[str]:
    """The daemon cannot create more inotify instances."""
    set_limit(daemon, "instances", 0)
    yield "inotify's limit of instances is reached"
    set_limit(daemon, "instances", 100)


@contextmanager
def _no_watches(daemon: Daemon) -> Iterator[str]:
    """The daemon cannot add more inotify watches."""
    set_limit(daemon, "watches", 0)
    yield "inotify's limit of watches is reached"
    set_limit(daemon, "watches", 1000)


@pytest.mark.parametrize("exhaust", [_no_descriptors, _no_threads, _no_instances, _no_watches])
def test_an_observer_that_cannot_be_rebuilt_is_reported_replaced_by_scans_and_rebuilt_later(
    crawl: Path, db: Path, exhaust: Callable[[Daemon], AbstractContextManager[str]]
) -> None:
    failure = "the reader, handling an event"
    under = patched_command(_CHECK_OFTEN + _REFUSE_THREADS + FAILURES[failure])
    if exhaust in (_no_instances, _no_watches):
        under = (*with_limit("instances" if exhaust is _no_instances else "watches", 100), *under)
    with watching(crawl, db, interval=1.0, under=under) as daemon:
        _article(0).write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.idle())
        resources = _resources(daemon)
        with exhaust(daemon) as reason:
            _trigger_failure(crawl, 10, failure)
            daemon.wait_for_log(f"cannot be watched ({reason}")
            daemon.wait_until(lambda: daemon.problems() != [])
            if exhaust is not _no_descriptors:  # without descriptors the scans cannot read either
                daemon.wait_until(lambda: daemon.degraded("events"))
                daemon.wait_until(lambda: caught_up(crawl, db))
                _article(20).write(crawl, age=0)
                daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [] and daemon.report().unwatched == 0)
        daemon.wait_until(lambda: _resources(daemon) == resources)
        assert daemon.report().restarts == 1
        assert daemon.leave() == 0
    assert daemon.log.count(b"cannot be watched") == 1
    assert daemon.log.count(b"watching again, and scanning") == 1
    assert_holds(crawl, db)
