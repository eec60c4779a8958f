"""A running `dedup watch`, its log and its health report."""

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
"""A `scan_interval_seconds` longer than any test: the timer never starts a scan."""


UNDER: tuple[str, ...] = ()
"""A command prefix for every daemon, such as setpriv(1)."""
OWNER: int | None = None
"""The user id that daemons run as; the database is given to it. None: the user who runs the tests."""


class Daemon:
    """A `dedup watch` process."""

    def __init__(self, process: subprocess.Popen[bytes], db: Path) -> None:
        self.process, self.db, self.log = process, db, b""

    def wait_for_log(self, text: str, seconds: float = 60) -> None:
        assert self.process.stderr is not None
        deadline = time.monotonic() + seconds
        while text.encode() not in self.log:
            ready, _, _ = select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.log.decode()
            output = os.read(self.process.stderr.fileno(), 65536)
            assert output, self.log.decode()
            self.log += output

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60, *, every: float = 0.02) -> None:
        """Poll until the condition holds. Reads the log meanwhile, so that the process never blocks on a full pipe."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log.decode()
            assert self.process.poll() is None, self.log.decode()
            until = time.monotonic() + every
            while (remaining := until - time.monotonic()) > 0 and select.select([self.process.stderr], [], [], remaining)[0]:
                self.log += os.read(self.process.stderr.fileno(), 65536)

    def recorded(self) -> int:
        """Return the number of recorded files that are not gone and hold an article."""
        with open_database(str(self.db)) as database:
            return store.statistics.count(database, "files", "current_reading_id IS NOT NULL AND gone = 0")

    def idle(self) -> bool:
        """Whether summaries and the search index are up to date, so that no background work is left."""
        with open_database(str(self.db)) as database:
            coverage = index_coverage(database)
            return store.statistics.count(database, "dirty_pages") == 0 and coverage.indexed == coverage.total

    def report(self) -> Health:
        """Return its health report."""
        health = status.daemon_status(str(self.db)).health
        assert health is not None
        return health

    def problems(self) -> list[str]:
        """Return the problems that `dedup status --check` reports."""
        return status.find_problems(status.daemon_status(str(self.db)))

    def degraded(self, reason: str) -> bool:
        """Whether it reports to be degraded for this reason."""
        health = status.daemon_status(str(self.db)).health
        return health is not None and any(d.reason == reason for d in health.degraded)

    def leave(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal and wait for the end. Returns the exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 30) -> int:
        """Wait for the end. Returns the exit code."""
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
    """Run `dedup watch` on a crawl directory. Yields when its log has `until`; kills the process at the end if it still runs.

    `under` is a command prefix. `more` are further lines of the configuration, the first ones in `[crawl]`.
    """
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


def assert_equals_scan(crawl: Path, db: Path) -> None:
    """Assert that the database equals that of one scan of the finished directory."""
    clean = db.with_name("clean.db")
    running.scan(crawl, clean)
    assert running.dump(db) == running.dump(clean)
