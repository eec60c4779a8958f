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

from dedup import process
from dedup.cli.common import CommonOptions, common_options, format_option
from dedup.cli.serve import open_dashboard
from dedup.files import descriptors
from dedup.log_limits import LogLimitFilter
from dedup.text import times
from dedup.text.normalise import to_printable
from dedup.text.sanitise import format_json

if TYPE_CHECKING:
    from dedup.config import Settings

SHUTDOWN_SECONDS = 9.0
"""Seconds that are left to finish in when asked to leave; the kernel ends what takes longer."""


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option("--alert-on-import", is_flag=True, help="Alerts of what is in a crawl directory that is taken in for the first time, too.")
@format_option("text", "json")
@common_options
@click.pass_obj
def watch(options: CommonOptions, directories: tuple[str, ...], alert_on_import: bool, output_format: str) -> None:
    """Scan the crawl directories, then follow them: the daemon.

    A file that appears is in the database within settle_seconds and a second. Events only wake it; a scan decides, on a timer
    too, so that nothing is missed when events are lost. It logs noteworthy things to standard error, at most 100 lines of
    a kind in a minute and then how many more there were, with
    --format json as an object {"time", "level", "message"}, under the journal without times, which it has itself. It leaves
    within 10 seconds on SIGTERM, on Ctrl-C, and when its terminal is closed (under nohup it stays): what is being recorded is
    finished, unless that takes too long, and the rest is found again by the next start. What it cannot do (a full disk, folders
    that inotify has no room for) it says, here and in 'dedup status', and does later; it does not end for it.

    \b
    dedup watch
    dedup --config /etc/dedup/config.toml watch
    """
    from dedup.daemon import loop
    from dedup.errors import WalLostError
    from dedup.scan.session import open_session
    from dedup.store.database_files import are_open

    log = logging.getLogger("dedup")
    handler = logging.StreamHandler()
    handler.setFormatter(
        _JsonFormatter()
        if output_format == "json"
        else _JournalFormatter()
        if _under_journal()
        else _LineFormatter(_TIMED_FORMAT, "%Y-%m-%dT%H:%M:%S%z")
    )
    limit = LogLimitFilter(handler)
    handler.addFilter(limit)
    log.addHandler(handler)
    log.setLevel({1: logging.DEBUG, 0: logging.INFO}.get(options.verbosity, logging.WARNING))
    stop = threading.Event()
    signals: list[int] = []

    def request_shutdown(number: int, _: object) -> None:
        if not signals:  # it may hang, on a disk that does not answer; and whenever it ends, nothing is half done
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, SHUTDOWN_SECONDS)
        signals.append(number)
        stop.set()

    def log_thread_death(thread: threading.ExceptHookArgs) -> None:
        name = thread.thread.name if thread.thread else "?"
        exc_info = (thread.exc_type, thread.exc_value or thread.exc_type(), thread.exc_traceback)
        log.error("thread %s failed: %r", name, exc_info[1], exc_info=exc_info)

    threading.excepthook = log_thread_death
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup wants it ignored
            signal.signal(number, request_shutdown)
    descriptors.raise_open_file_limit()
    process.prepare_for_scanning()
    process.prepare_for_watching()
    settings = options.load(directories).settings
    with closing(limit):
        while not stop.is_set():
            try:
                with open_session(settings, "watch", alert_on_import=alert_on_import) as session, run_dashboard(settings):
                    loop.run(session, stop)
            except WalLostError as error:
                log.warning("%s", error)
                if are_open(settings.database.path):  # by a thread that hangs: what is opened beside it would use the old files
                    raise
                log.info("reopening the database")
    signal.setitimer(signal.ITIMER_REAL, 0)
    log.info("stopped")
    threading.excepthook = threading.__excepthook__
    log.removeHandler(handler)
    if signal.SIGINT in signals:
        sys.exit(130)


@contextmanager
def run_dashboard(settings: Settings) -> Iterator[None]:
    """The dashboard beside the daemon, where [web] enables it. Raises WebError, WebExposedError."""
    if not settings.web.enabled:
        yield
        return
    server = open_dashboard(settings)
    thread = threading.Thread(target=server.run, name="dashboard", daemon=True)
    thread.start()
    logging.getLogger("dedup").info("the dashboard is at %s", server.address)
    try:
        yield
    finally:
        server.stop()
        thread.join(2)


_TIMED_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def _under_journal() -> bool:
    """Whether standard error goes to systemd's journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    stream_status = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{stream_status.st_dev}:{stream_status.st_ino}"


class _LineFormatter(logging.Formatter):
    """One line an event, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        return to_printable(super().format(record))


class _JournalFormatter(_LineFormatter):
    """As the journal reads it: a priority (sd-daemon(3)), no time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


class _JsonFormatter(logging.Formatter):
    """A JSON object an event, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return format_json({"time": times.from_ns(int(record.created * 1e9)), "level": record.levelname, "message": record.getMessage()})
