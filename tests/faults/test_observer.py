"""The observer's threads dead of an exception, robbed of their descriptor, or held up: rebuilt, scanned once, told once, nothing leaked."""

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
from tests.builders.inotify_limits import limited, set_limit
from tests.builders.oracle import assert_holds, caught_up
from tests.builders.privileges import as_service
from tests.builders.processes import patched

pytestmark = pytest.mark.system

REPETITIONS = 20
IN_TIME = 10.0
"""Seconds within which it leaves."""

_OFTEN = """
from dedup.daemon import loop
loop.TICK_SECONDS = 0.1
"""
"""Looks at the observer more often than once a second."""

_BREAKS = """
from watchdog.observers import {module}
owner, unbroken = {module}.{owner}, {module}.{owner}.{function}
def broken(self, *args, **kw):
    if "fatal" in repr(args):
        raise KeyError("broken")
    found = unbroken(self, *args, **kw)
    if "fatal" in repr(found):
        raise KeyError("broken")
    return found
owner.{function} = broken
"""
"""A function that raises when what it is given, or what it returns, names a file of that name."""

_READING_FAILS = """
import errno, os, types
from watchdog.observers import inotify_c
def read(fd, size):
    found = os.read(fd, size)
    if b"fatal" in found:
        raise OSError(errno.EIO, "broken")
    return found
inotify_c.os = types.SimpleNamespace(**{**vars(os), "read": read})
"""

_CLOSES_WHILE_READING = """
import os
from watchdog.observers.inotify_c import InotifyFD
unbroken = InotifyFD.handle_event
def broken(self, event):
    if b"fatal" in event.name:
        os.close(self._inotify_fd)
    unbroken(self, event)
InotifyFD.handle_event = broken
"""

_CLOSES = """
import os, threading
from dedup.daemon.watch.coverage import is_inotify_instance
def close():
    while True:
        with open("fifo"):
            for fd in filter(is_inotify_instance, os.listdir("/proc/self/fd")):
                os.close(int(fd))
threading.Thread(target=close, daemon=True).start()
"""
"""Whoever opens the fifo has it close the inotify instance while watchdog's thread waits for an event."""

_BLOCKS = """
import threading
from dedup.daemon.watch.event_handler import EventHandler
unbroken = EventHandler.dispatch
def broken(self, event):
    if "fatal" in event.src_path:
        threading.Event().wait()
    unbroken(self, event)
EventHandler.dispatch = broken
"""

_NO_THREADS = """
import os, threading
start = threading.Thread.start
def start_if_there_is_room(self):
    if os.path.exists("no threads"):
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = start_if_there_is_room
"""
"""As where a limit of processes is reached, which root's are not under."""

BREAKS = {
    "the reader, handling an event": _BREAKS.format(module="inotify_c", owner="InotifyFD", function="handle_event"),
    "the reader, reading": _READING_FAILS,
    "the emitter": _BREAKS.format(module="inotify", owner="InotifyEmitter", function="build_and_queue_event"),
    "the dispatcher": _BREAKS.format(module="api", owner="EventQueue", function="get"),
    "its descriptor, while events come": _CLOSES_WHILE_READING,
    "its descriptor, while none comes": _CLOSES,
}


@pytest.fixture(autouse=True)
def _beside(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons are told what to do by files in the folder that they run in."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")


def _article(number: int) -> ArticleFile:
    return ArticleFile(aid=f"{number:010d}", title=f"기사 {number}", body=(f"본문 {number} " * 30).strip())


def _break(crawl: Path, number: int, what: str) -> None:
    """Something of it breaks, with files that are written before, in the midst of it, and after."""
    _article(number).write(crawl, age=0)
    if BREAKS.get(what) == _CLOSES:
        Path("fifo").open("w").close()
    _article(number + 1).write(Path("aside") / "deep", age=0)
    Path("aside").rename(crawl / f"fatal{number}")  # one event: none is left for the next observer to break at
    _article(number + 2).write(crawl, age=0)


def _held(daemon: Daemon) -> tuple[int, int]:
    """(descriptors, threads) that it has."""
    process = f"/proc/{daemon.process.pid}"
    return len(os.listdir(f"{process}/fd")), len(os.listdir(f"{process}/task"))


def _at_rest(daemon: Daemon, scans: int) -> None:
    daemon.wait_until(lambda: daemon.report().scans == scans)
    daemon.wait_until(lambda: daemon.report().phase == "watching" and daemon.problems() == [])
    daemon.wait_until(daemon.idle)


def _watched(daemon: Daemon, crawl: Path, db: Path, number: int) -> None:
    """What is written into it, and into a folder that is new, is taken in for its events, not by a scan."""
    scans = daemon.report().scans
    _article(number).write(crawl, age=0)
    _article(number + 1).write(crawl / f"new{number}", age=0)
    daemon.wait_until(lambda: caught_up(crawl, db))
    _at_rest(daemon, scans)


# What breaks


@as_service
@pytest.mark.parametrize("what", BREAKS)
def test_an_observer_that_breaks_is_told_once_rebuilt_once_and_made_up_for_by_one_scan(crawl: Path, db: Path, what: str) -> None:
    with watching(crawl, db, under=patched(BREAKS[what])) as daemon:
        _watched(daemon, crawl, db, 0)
        _break(crawl, 10, what)
        daemon.wait_until(lambda: caught_up(crawl, db))
        _at_rest(daemon, 2)
        _watched(daemon, crawl, db, 20)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.restarts, report.overflows, report.scans, report.unwatched) == (1, 0, 2, 0)
    assert daemon.log.count(b"watching again, and scanning") == 1
    # without a descriptor a thread may die of it or not, before that is seen
    assert len(re.findall(rb"thread \S.*? failed: ", daemon.log)) in ((0, 1) if "descriptor" in what else (1,))
    assert all(b" INFO " in line or b" WARNING " in line or b" ERROR " in line for line in daemon.log.splitlines()), daemon.log.decode()
    assert_holds(crawl, db)


@pytest.mark.parametrize("what", BREAKS)
def test_an_observer_that_breaks_again_and_again_leaves_neither_descriptors_nor_threads(crawl: Path, db: Path, what: str) -> None:
    with watching(crawl, db, under=patched(_OFTEN + BREAKS[what])) as daemon:
        _watched(daemon, crawl, db, 0)
        held = _held(daemon)
        for n in range(1, REPETITIONS + 1):
            _break(crawl, 10 * n, what)
            daemon.wait_until(lambda: caught_up(crawl, db))
            _at_rest(daemon, 1 + n)
            daemon.wait_until(lambda: _held(daemon) == held)
        _watched(daemon, crawl, db, 10 * REPETITIONS + 10)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.restarts, report.scans) == (REPETITIONS, REPETITIONS + 1)
    assert daemon.log.count(b"watching again, and scanning") == REPETITIONS
    assert_holds(crawl, db)


# What hangs


def test_a_handler_that_never_returns_holds_up_neither_the_timer_s_scans_nor_leaving(crawl: Path, db: Path) -> None:
    with watching(crawl, db, interval=1.0, under=patched(_BLOCKS)) as daemon:
        _break(crawl, 10, "a handler")
        daemon.wait_until(lambda: caught_up(crawl, db))
        _article(20).write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        begun = time.monotonic()
        assert daemon.leave() == 0
    assert time.monotonic() - begun <= IN_TIME, daemon.log.decode()
    assert_holds(crawl, db)


# What cannot be rebuilt at once


@contextmanager
def _no_descriptors(daemon: Daemon) -> Iterator[str]:
    """It may open nothing more."""
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    yield "this process may open no more files"
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _no_threads(daemon: Daemon) -> Iterator[str]:
    """It may start no more threads."""
    Path("no threads").touch()
    yield "can't start new thread"
    Path("no threads").unlink()


@contextmanager
def _no_instances(daemon: Daemon) -> Iterator[str]:
    """It may have no more inotify instances."""
    set_limit(daemon, "instances", 0)
    yield "inotify's limit of instances is reached"
    set_limit(daemon, "instances", 100)


@contextmanager
def _no_watches(daemon: Daemon) -> Iterator[str]:
    """It may have no more inotify watches."""
    set_limit(daemon, "watches", 0)
    yield "inotify's limit of watches is reached"
    set_limit(daemon, "watches", 1000)


@pytest.mark.parametrize("without", [_no_descriptors, _no_threads, _no_instances, _no_watches])
def test_an_observer_that_cannot_be_rebuilt_is_told_replaced_by_scans_and_rebuilt_once_it_can(
    crawl: Path, db: Path, without: Callable[[Daemon], AbstractContextManager[str]]
) -> None:
    what = "the reader, handling an event"
    under = patched(_OFTEN + _NO_THREADS + BREAKS[what])
    if without in (_no_instances, _no_watches):
        under = (*limited("instances" if without is _no_instances else "watches", 100), *under)
    with watching(crawl, db, interval=1.0, under=under) as daemon:
        _article(0).write(crawl, age=0)
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.idle())
        held = _held(daemon)
        with without(daemon) as why:
            _break(crawl, 10, what)
            daemon.wait_for_log(f"cannot be watched ({why}")
            daemon.wait_until(lambda: daemon.problems() != [])
            if without is not _no_descriptors:  # without any nothing can be read either
                daemon.wait_until(lambda: daemon.degraded("events"))
                daemon.wait_until(lambda: caught_up(crawl, db))
                _article(20).write(crawl, age=0)
                daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [] and daemon.report().unwatched == 0)
        daemon.wait_until(lambda: _held(daemon) == held)
        assert daemon.report().restarts == 1
        assert daemon.leave() == 0
    assert daemon.log.count(b"cannot be watched") == 1
    assert daemon.log.count(b"watching again, and scanning") == 1
    assert_holds(crawl, db)
