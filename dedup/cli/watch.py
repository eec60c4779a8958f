"""`watch`: the daemon."""

from __future__ import annotations

import logging
import signal
import sys
import threading

import click

from dedup import times
from dedup.cli.common import Common, common, dumps, formats
from dedup.text import printable


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@formats("text", "json")
@common
@click.pass_obj
def watch(options: Common, directories: tuple[str, ...], form: str) -> None:
    """Scan the crawl directories, then follow them: the daemon.

    A file that appears is in the database within settle_seconds and a second. Events only wake it; a scan decides, on a timer
    too, so that nothing is missed when events are lost. It logs a line for every noteworthy thing to standard error, with
    --format json as an object {"time", "level", "message"}, and leaves on SIGTERM, what it was doing finished.

    \b
    dedup watch
    dedup --config /etc/dedup/config.toml watch
    """
    from dedup import daemon
    from dedup.ingest import open_session

    log = logging.getLogger("dedup")
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z") if form == "text" else _Json())
    log.addHandler(handler)
    log.setLevel({1: logging.DEBUG, 0: logging.INFO}.get(options.verbosity, logging.WARNING))
    stop = threading.Event()
    caught: list[int] = []

    def leave(number: int, _: object) -> None:
        caught.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with open_session(options.load(directories).settings, "watch") as session:
        daemon.run(session, stop)
    log.info("stopped")
    log.removeHandler(handler)
    if signal.SIGINT in caught:
        sys.exit(130)


class _Line(logging.Formatter):
    """One line an event, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Json(logging.Formatter):
    """A JSON object an event, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return dumps({"time": times.from_ns(int(record.created * 1e9)), "level": record.levelname, "message": record.getMessage()})
