"""`watch`: the daemon."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from dedup.cli.common import CommonOptions, common_options, format_option
from dedup.cli.serve import open_dashboard
from dedup.files import descriptors
from dedup.runtime import process
from dedup.runtime.log_limits import LogLimitFilter
from dedup.text import times
from dedup.text.sanitise import PrintableFormatter, format_json

if TYPE_CHECKING:
    from dedup.config import Settings

_log = logging.getLogger("dedup")
SHUTDOWN_SECONDS = 9.0
"""Seconds to finish in after a signal to stop. After that the kernel ends the process (SIGALRM)."""


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option("--alert-on-import", is_flag=True, help="Send alerts for the first scan of a crawl directory, too.")
@format_option("text", "json")
@common_options
@click.pass_obj
def watch(options: CommonOptions, directories: tuple[str, ...], alert_on_import: bool, output_format: str) -> None:
    """Follow the crawl directories as a daemon.

    Scans the crawl directories, then follows them and sends alerts. A new file is recorded within settle_seconds and one
    second. File system events only start a scan; a timer starts one too, so that lost events do no harm. DIR replaces the
    configured directories.

    Logs to standard error, at most 100 lines of a kind per minute. With --format json each line is an object
    {"time", "level", "message"}; under systemd's journal lines have no time. --verbose adds debugging output.

    Stops within 10 seconds on SIGTERM, on Ctrl-C, and when its terminal closes (not under nohup). It finishes the record in
    progress if there is time; the next start records the rest. A problem such as a full disk or too few inotify watches does
    not stop it: it logs the problem, shows it in 'dedup status', and catches up later.

    \b
    Examples:
      dedup watch
      dedup --config /etc/dedup/config.toml watch --format json

    Exit codes: 0 after SIGTERM, 130 after Ctrl-C, 3 if another process writes to the database.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_build_formatter(output_format))
    limit = LogLimitFilter(handler)
    handler.addFilter(limit)
    _log.addHandler(handler)
    _log.setLevel({1: logging.DEBUG, 0: logging.INFO}.get(options.verbosity, logging.WARNING))
    threading.excepthook = _log_thread_death
    shutdown = ShutdownSignals()
    descriptors.raise_open_file_limit()
    process.prepare_for_scanning()
    process.prepare_for_watching()
    settings = options.load(directories).settings
    with closing(limit):
        _run_until_stopped(settings, shutdown.stop, alert_on_import=alert_on_import)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _log.info("stopped")
    threading.excepthook = threading.__excepthook__
    _log.removeHandler(handler)
    if signal.SIGINT in shutdown.signals:
        sys.exit(130)


class ShutdownSignals:
    """Handlers of SIGTERM, SIGINT and SIGHUP that set `stop`. `signals` are the numbers received."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup ignores SIGHUP
                signal.signal(number, self._handle)

    def _handle(self, number: int, _: object) -> None:
        if not self.signals:  # a disk that does not answer may block shutdown; killing it then leaves nothing half recorded
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, SHUTDOWN_SECONDS)
        self.signals.append(number)
        self.stop.set()


def _run_until_stopped(settings: Settings, stop: threading.Event, *, alert_on_import: bool) -> None:
    """Run the daemon and the dashboard until `stop` is set."""
    from dedup.daemon import loop

    loop.run_until_stopped(settings, stop, alert_on_import=alert_on_import, enter_session=lambda _: run_dashboard(settings))


def _log_thread_death(thread: threading.ExceptHookArgs) -> None:
    name = thread.thread.name if thread.thread else "?"
    exc_info = (thread.exc_type, thread.exc_value or thread.exc_type(), thread.exc_traceback)
    _log.error("thread %s failed: %r", name, exc_info[1], exc_info=exc_info)


@contextmanager
def run_dashboard(settings: Settings) -> Iterator[None]:
    """Serve the dashboard in a thread inside the block, if [web] enables it. Raises WebError, WebExposedError."""
    if not settings.web.enabled:
        yield
        return
    server = open_dashboard(settings)
    thread = threading.Thread(target=server.run, name="dashboard", daemon=True)
    thread.start()
    _log.info("the dashboard is at %s", server.address)
    try:
        yield
    finally:
        server.stop()
        thread.join(2)


def _build_formatter(output_format: str) -> logging.Formatter:
    if output_format == "json":
        return _JsonFormatter()
    return _JournalFormatter() if _under_journal() else PrintableFormatter(_TIMED_FORMAT, "%Y-%m-%dT%H:%M:%S%z")


_TIMED_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def _under_journal() -> bool:
    """Return whether standard error is systemd's journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    stream_status = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{stream_status.st_dev}:{stream_status.st_ino}"


class _JournalFormatter(PrintableFormatter):
    """A line for the journal: a priority prefix (sd-daemon(3)) and no time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


class _JsonFormatter(logging.Formatter):
    """One JSON object per log record, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return format_json({"time": times.from_ns(int(record.created * 1e9)), "level": record.levelname, "message": record.getMessage()})
