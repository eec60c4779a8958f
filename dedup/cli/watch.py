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

from dedup.cli.common import Common, common, formats
from dedup.cli.serve import opened
from dedup.files import descriptors
from dedup.log_limits import LogLimit
from dedup.text import times
from dedup.text.normalise import printable
from dedup.text.sanitise import dumps

if TYPE_CHECKING:
    from dedup.config import Settings

LEAVING = 9.0
"""Seconds that are left to finish in when asked to leave; the kernel ends what takes longer."""


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option("--alert-on-import", is_flag=True, help="Alerts of what is in a crawl directory that is taken in for the first time, too.")
@formats("text", "json")
@common
@click.pass_obj
def watch(options: Common, directories: tuple[str, ...], alert_on_import: bool, form: str) -> None:
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
    from dedup.errors import DatabaseLogLostError
    from dedup.scan.session import open_session
    from dedup.store.database_files import are_open

    log = logging.getLogger("dedup")
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Journal() if _under_journal() else _Line(_TIMED, "%Y-%m-%dT%H:%M:%S%z"))
    limit = LogLimit(handler)
    handler.addFilter(limit)
    log.addHandler(handler)
    log.setLevel({1: logging.DEBUG, 0: logging.INFO}.get(options.verbosity, logging.WARNING))
    stop = threading.Event()
    caught: list[int] = []

    def leave(number: int, _: object) -> None:
        if not caught:  # it may hang, on a disk that does not answer; and whenever it ends, nothing is half done
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, LEAVING)
        caught.append(number)
        stop.set()

    def died(thread: threading.ExceptHookArgs) -> None:
        name = thread.thread.name if thread.thread else "?"
        told = (thread.exc_type, thread.exc_value or thread.exc_type(), thread.exc_traceback)
        log.error("%s died of %r", name, told[1], exc_info=told)

    threading.excepthook = died
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup wants it ignored
            signal.signal(number, leave)
    descriptors.raise_limit()
    settings = options.load(directories).settings
    with closing(limit):
        while not stop.is_set():
            try:
                with open_session(settings, "watch", alert_on_import=alert_on_import) as session, dashboard(settings):
                    loop.run(session, stop)
            except DatabaseLogLostError as error:
                log.warning("%s", error)
                if are_open(settings.database.path):  # by a thread that hangs: what is opened beside it would use the old files
                    raise
                log.info("opening the database again")
    signal.setitimer(signal.ITIMER_REAL, 0)
    log.info("stopped")
    threading.excepthook = threading.__excepthook__
    log.removeHandler(handler)
    if signal.SIGINT in caught:
        sys.exit(130)


@contextmanager
def dashboard(settings: Settings) -> Iterator[None]:
    """The dashboard beside the daemon, where [web] enables it. Raises WebError, WebOpenError."""
    if not settings.web.enabled:
        yield
        return
    serving = opened(settings)
    thread = threading.Thread(target=serving.run, name="dashboard", daemon=True)
    thread.start()
    logging.getLogger("dedup").info("the dashboard is at %s", serving.address)
    try:
        yield
    finally:
        serving.end()
        thread.join(2)


_TIMED = "%(asctime)s %(levelname)s %(message)s"
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def _under_journal() -> bool:
    """Whether standard error goes to systemd's journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    found = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Line(logging.Formatter):
    """One line an event, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Journal(_Line):
    """As the journal reads it: a priority (sd-daemon(3)), no time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


class _Json(logging.Formatter):
    """A JSON object an event, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return dumps({"time": times.from_ns(int(record.created * 1e9)), "level": record.levelname, "message": record.getMessage()})
