"""`python -m benchmarks.soak`: the resources that a long-running daemon holds.

`dedup watch` runs over a busy crawl directory: pages appear, are crawled a second time, edited in place, renamed and removed, and some
files are not articles. Everything is enabled: scans by timer (every five seconds, sixty times the default rate), the dashboard and the
metrics with clients, a receiver of alerts. The table lists anonymous memory, threads, descriptors and inotify watches over time:
anything that only grows would end a process that runs for months. At the end everything must be in the database, and `dedup doctor`
must find nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import click

from benchmarks.corpus import Article, between, render
from benchmarks.corpus.mixture import BLOCK
from benchmarks.jobs import ROOT, anonymous
from benchmarks.latency import PATIENCE_SECONDS, watching
from benchmarks.machine import facts, field
from benchmarks.peers.environment import UnavailableError

FOLDERS = 10
"""Folders that exist at a time. The oldest is removed when another one is created."""
PAGES = ("/", "/clusters", "/changes", "/pages", "/checks", "/faults", "/search?q=가나", "/status", "/changes.atom")
CONFIGURATION = """
[crawl]
directories = ["crawl"]
settle_seconds = 0.2
scan_interval_seconds = 5.0
[web]
enabled = true
listen = "127.0.0.1:{web}"
[metrics]
listen = "127.0.0.1:{metrics}"
[delivery]
gather_seconds = 1.0
[channels.receiver]
kind = "webhook"
url = "http://127.0.0.1:{receiver}/"
[[alerts]]
name = "all"
on = ["change", "duplicate"]
to = ["receiver"]
max_per_hour = 0
"""


@dataclass(frozen=True, slots=True)
class Held:
    """Resources of the daemon after some minutes: memory in bytes (RssAnon, without pages of files), and seconds of processor time."""

    minutes: float
    files: int
    """files written so far"""
    alerts: int
    """alerts received so far"""
    memory: int
    threads: int
    descriptors: int
    watches: int
    database: int
    processor: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60, show_default=True)
@click.option("--files", type=click.IntRange(1, BLOCK), default=10, show_default=True, help="New files a second.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep the crawl and the database there.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("soak.md"), show_default=True)
def main(minutes: float, files: int, folder: Path | None, output: Path) -> None:
    """Run the daemon over a busy crawl directory, and write a table of its resources."""
    with tempfile.TemporaryDirectory() as temporary, _receiving() as (port, received):
        place = (folder or Path(temporary)).resolve()
        (place / "crawl").mkdir(parents=True)
        web, metrics = _free_ports()
        configured = CONFIGURATION.format(web=web, metrics=metrics, receiver=port)
        (place / "config.toml").write_text(configured, encoding="utf-8")
        try:
            held = _followed(place, minutes, files, lambda: len(received), (web, metrics))
        except UnavailableError as error:
            raise click.ClickException(str(error)) from error
        written = _table(held, f"python -m benchmarks.soak --minutes {minutes:g} --files {files}", place, _checked(place))
        output.write_text(written, encoding="utf-8")
        click.echo(written)


def _followed(place: Path, minutes: float, files: int, alerts: Callable[[], int], asked: tuple[int, int]) -> list[Held]:
    """Samples of the daemon's resources. `asked` are the ports of the dashboard and of the metrics. Raises UnavailableError if the
    daemon ends by itself, does not catch up, or exits with an error."""
    held: list[Held] = []
    with watching(place / "config.toml", place / "log") as daemon:
        begun, crawler = time.monotonic(), _Crawler(place / "crawl", files)
        threading.Thread(target=_ask, args=(*asked, daemon), daemon=True).start()
        each = max(60.0, minutes * 60 / 20)
        while (spent := time.monotonic() - begun) < minutes * 60:
            crawler.work()
            if spent >= each * (len(held) + 1):
                held.append(_held(place, daemon.pid, spent, crawler.written, alerts()))
                click.echo(_row(held[-1]), err=True)
            time.sleep(max(0.0, 1 - (time.monotonic() - begun - spent)))
            if daemon.poll() is not None:
                raise UnavailableError(f"the daemon ended: {(place / 'log').read_text(encoding='utf-8')[-2000:]}")
        held.append(_held(place, daemon.pid, time.monotonic() - begun, crawler.written, alerts()))
        _caught_up(place)
    if daemon.returncode != 0:
        raise UnavailableError(f"the daemon exited with {daemon.returncode}")
    return held


class _Crawler:
    """The events in the crawl directory, second by second."""

    def __init__(self, crawl: Path, files: int) -> None:
        self.written = 0
        self._crawl, self._files, self._second = crawl, files, 0
        self._coming = self._articles()
        self._folders: deque[Path] = deque()
        self._last: Article | None = None

    @staticmethod
    def _articles() -> Iterator[Article]:
        first = 0
        while True:
            yield from between(first, first + BLOCK, 1, "mixed")
            first += BLOCK

    def work(self) -> None:
        """One second: new files, of which one is edited in place, one renamed, and one is not an article; each minute a new folder."""
        if self._second % 60 == 0:
            self._folders.append(self._crawl / f"{self._second // 60:06}")
            self._folders[-1].mkdir()
            if len(self._folders) > FOLDERS:
                shutil.rmtree(self._folders.popleft())
        folder, second = self._folders[-1], self._second
        for _ in range(self._files):
            self._last = next(self._coming)
            self._write(folder / self._last.name, render(self._last))
        assert self._last is not None
        edited = replace(self._last, body=f"{self._last.body} 참석자는 모두 {second + 2}명이었다.", crawled_at="2027-01-01 00:00:00")
        self._write(folder / self._last.name, render(edited))
        self._write(folder / f"no-article-{second % 7}.md", "---\nnot an article")
        moved = next(p for p in folder.iterdir() if not p.name.startswith("no-article"))
        moved.rename(folder / f"moved-{second}.md")
        self._second += 1

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content, encoding="utf-8")
        self.written += 1


@contextlib.contextmanager
def _receiving() -> Iterator[tuple[int, list[None]]]:
    """Run a receiver of alerts: (port, an entry for each message)."""
    received: list[None] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            received.append(None)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, received
        finally:
            server.shutdown()


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _ask(web: int, metrics: int, daemon: subprocess.Popen[bytes]) -> None:
    """Request a page of the dashboard and the metrics each second."""
    for page in itertools.cycle(PAGES):
        for port, path in ((web, page), (metrics, "/metrics")):
            with contextlib.suppress(OSError), contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", quote(path, safe="/?="))
                connection.getresponse().read()
        if daemon.poll() is not None:
            return
        time.sleep(1)


def _held(place: Path, pid: int, seconds: float, files: int, alerts: int) -> Held:
    descriptors = Path(f"/proc/{pid}/fdinfo")
    watches = 0
    for one in descriptors.iterdir():
        with contextlib.suppress(OSError):
            watches += one.read_text().count("inotify wd:")
    ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return Held(
        seconds / 60,
        files,
        alerts,
        anonymous(pid),
        int(field(Path(f"/proc/{pid}/status"), "Threads") or 0),
        len(os.listdir(descriptors)),
        watches,
        sum(path.stat().st_size for path in (place / "dedup.db", place / "dedup.db-wal")),
        sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
    )


def _run(place: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dedup", "--config", str(place / "config.toml"), *args, "--format", "json"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)  # noqa: S603  ourselves


def _caught_up(place: Path) -> None:
    """Wait until the daemon has received the last event and nothing is pending."""
    time.sleep(2)  # events are held back for half a second, the daemon reports once a second
    begun = time.monotonic()
    while json.loads(_run(place, "status").stdout)["daemon"]["backlog"]["files"]:
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise UnavailableError(f"the daemon has not caught up after {PATIENCE_SECONDS} s")
        time.sleep(1)


def _checked(place: Path) -> str:
    """The results of a scan and of `dedup doctor` at the end."""
    scanned, doctor = json.loads(_run(place, "scan").stdout), _run(place, "doctor")
    new = {what: scanned[what] for what in ("new", "changed", "moved", "gone", "unsettled") if scanned[what]}
    log = (place / "log").read_text(encoding="utf-8").splitlines()
    return (
        f"A scan afterwards found {new or 'nothing that was not recorded'}; `dedup doctor` exited with {doctor.returncode}. "
        f"Warnings and errors in the log: {sum(' WARNING ' in line or ' ERROR ' in line for line in log)}."
    )


def _row(held: Held) -> str:
    return (
        f"| {held.minutes:.0f} | {held.files:,} | {held.alerts:,} | {held.memory / 2**20:.1f} MiB | {held.threads} | {held.descriptors} "
        f"| {held.watches} | {held.database / 1e6:,.1f} MB | {held.processor:,.0f} s |"
    )


def _table(held: list[Held], command: str, place: Path, checked: str) -> str:
    machine = facts(place)
    head = "| minutes | files written | alerts received | memory | threads | descriptors | watches | database | processor time |"
    lines = [head, "|" + "---:|" * 9, *map(_row, held)]
    return "\n".join(
        [*lines, "", checked, "", f"Made by `{command}` on {machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}.", ""]
    )


if __name__ == "__main__":
    main()
