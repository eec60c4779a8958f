"""A running `dedup watch`, with what it logs and reports."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dedup import store
from dedup.daemon.health_file import Health
from dedup.reports import status
from dedup.search import index_coverage
from dedup.store import open_database
from tests.builders import scans as running

NEVER = 86_400
"""A `scan_interval_seconds` that no test lives to see: whatever wakes the daemon is not the timer."""


UNDER: tuple[str, ...] = ()
"""A command that runs every daemon, such as setpriv(1)."""
OWNER: int | None = None
"""The user whom that command makes of it, and to whom its database is given; None: the user who runs the tests."""


class Daemon:
    """A process whose log can be waited for."""

    def __init__(self, process: subprocess.Popen[bytes], db: Path) -> None:
        self.process, self.db, self.log = process, db, b""

    def wait_for_log(self, text: str, seconds: float = 60) -> None:
        assert self.process.stderr is not None
        deadline = time.monotonic() + seconds
        while text.encode() not in self.log:
            ready, _, _ = select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.log.decode()
            read = os.read(self.process.stderr.fileno(), 65536)
            assert read, self.log.decode()
            self.log += read

    def wait_until(self, holds: Callable[[], bool], seconds: float = 60, *, every: float = 0.02) -> None:
        """Look again and again; what is logged meanwhile is taken in, so that the process never waits for a reader."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.log.decode()
            assert self.process.poll() is None, self.log.decode()
            until = time.monotonic() + every
            while (left := until - time.monotonic()) > 0 and select.select([self.process.stderr], [], [], left)[0]:
                self.log += os.read(self.process.stderr.fileno(), 65536)

    def recorded(self) -> int:
        """Files that are there and hold an article, as the database says."""
        with open_database(str(self.db)) as database:
            return store.statistics.count(database, "files", "current_reading_id IS NOT NULL AND gone = 0")

    def idle(self) -> bool:
        """Whether what it recorded is summed up and can be searched for: it opens no more files for that then."""
        with open_database(str(self.db)) as database:
            far = index_coverage(database)
            return store.statistics.count(database, "dirty_pages") == 0 and far.indexed == far.total

    def report(self) -> Health:
        """What it says of itself."""
        found = status.daemon_status(str(self.db)).health
        assert found is not None
        return found

    def problems(self) -> list[str]:
        """What a monitor would be told."""
        return status.find_problems(status.daemon_status(str(self.db)))

    def degraded(self, reason: str) -> bool:
        """Whether it says that it is, for this reason."""
        found = status.daemon_status(str(self.db)).health
        return found is not None and any(d.reason == reason for d in found.degraded)

    def leave(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end; returns its exit code."""
        _, rest = self.process.communicate(timeout=seconds)
        self.log += rest
        return self.process.returncode


@contextmanager
def watching(
    crawl: Path,
    db: Path,
    *options: str,
    settle: float = 0.2,
    interval: float = NEVER,
    under: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    until: str | None = "watching",
    more: str = "",
) -> Iterator[Daemon]:
    """`dedup watch` on a crawl directory, once it says `until`; killed in the end if it has not left. `under` is a command that
    runs it, `more` further lines of [crawl]."""
    config = db.with_name(db.name + ".toml")
    config.write_text(
        f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = {settle}\nscan_interval_seconds = {interval}\n{more}\n'
        f'[database]\npath = "{db}"\n'
    )
    if OWNER is not None:
        for path in db.parent.glob(f"{db.name}*"):
            os.chown(path, OWNER, OWNER, follow_symlinks=False)
    command = [*UNDER, *under, sys.executable, "-m", "dedup", "--config", str(config), "watch", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **(env or {})}) as process:
        daemon = Daemon(process, db)
        try:
            if until is not None:
                daemon.wait_for_log(until)
            yield daemon
        finally:
            process.kill()


def equals_a_scan(crawl: Path, db: Path) -> None:
    """The database is that of a scan of the finished directory."""
    clean = db.with_name("clean.db")
    running.scan(crawl, clean)
    assert running.dump(db) == running.dump(clean)
