"""The daemon at work: the time from a settled file to its commit, and the time for a burst of files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import articles, render
from benchmarks.jobs import ROOT
from benchmarks.peers.environment import UnavailableError, last_line

SETTLE_SECONDS = 0.5
FILES = 60
"""Files that arrive one by one."""
BURST = 20_000
PATIENCE_SECONDS = 600
LEAVES_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the moment at which a file was settled (`SETTLE_SECONDS`) to its commit, ascending; and seconds from the first
    settled file to the last commit in a burst of `BURST` files."""

    single: tuple[float, ...]
    burst: float

    @property
    def median(self) -> float:
        return self.single[len(self.single) // 2]


def measure(crawl: Path, database: Path) -> Latency:
    """Run `dedup watch` over a scanned crawl directory and a second, empty one, and add files to the latter.

    Raises UnavailableError if the daemon ends by itself or takes longer than ten minutes for a step.
    """
    with tempfile.TemporaryDirectory(dir=database.parent) as folder:
        arriving, config = Path(folder, "arriving"), Path(folder, "config.toml")
        arriving.mkdir()
        config.write_text(
            f'[crawl]\ndirectories = ["{crawl}", "{arriving}"]\nsettle_seconds = {SETTLE_SECONDS}\n[database]\npath = "{database}"\n',
            encoding="utf-8",
        )
        with watching(config, Path(folder, "log")), contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
            made = [(article.name, render(article).encode()) for article in articles(FILES + BURST, seed=99, kind="unrelated")]
            single = sorted(_single(arriving, name, content, reader) for name, content in made[:FILES])
            before = _count(reader)
            for name, content in made[FILES:]:
                (arriving / name).write_bytes(content)
            first = os.stat(arriving / made[FILES][0]).st_ctime_ns / 1e9 + SETTLE_SECONDS
            return Latency(tuple(single), _until(reader, before + BURST) - first)


def _single(folder: Path, name: str, content: bytes, reader: sqlite3.Connection) -> float:
    before = _count(reader)
    (folder / name).write_bytes(content)
    settled = os.stat(folder / name).st_ctime_ns / 1e9 + SETTLE_SECONDS
    return _until(reader, before + 1) - settled


def _until(reader: sqlite3.Connection, files: int) -> float:
    """The time at which the database holds this many files."""
    begun = time.monotonic()
    version = -1
    while time.monotonic() - begun < PATIENCE_SECONDS:
        now = reader.execute("PRAGMA data_version").fetchone()[0]  # changes when another connection commits
        if now != version:
            version, when = now, time.time()
            if _count(reader) >= files:
                return when
        time.sleep(0.001)
    raise UnavailableError(f"fewer than {files} files after {PATIENCE_SECONDS} s")


def _count(reader: sqlite3.Connection) -> int:
    """Number of files ever recorded: ids are ascending and never reused."""
    return int(reader.execute("SELECT coalesce(max(id), 0) FROM files").fetchone()[0])


@contextlib.contextmanager
def watching(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon that has finished its first scan. Raises UnavailableError if it ends before, TimeoutExpired if it does not shut down
    within the promised time."""
    with log.open("wb") as file:
        daemon = subprocess.Popen([sys.executable, "-m", "dedup", "--config", config, "watch"], stderr=file, cwd=ROOT)  # noqa: S603
    try:
        begun = time.monotonic()
        while "INFO watching " not in log.read_text(encoding="utf-8"):
            if daemon.poll() is not None or time.monotonic() - begun > PATIENCE_SECONDS:
                raise UnavailableError(f"watch: {last_line(log.read_text(encoding='utf-8'))}")
            time.sleep(0.05)
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait(timeout=LEAVES_SECONDS)
