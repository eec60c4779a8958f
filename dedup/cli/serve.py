"""`serve`: the dashboard."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from dedup.cli.common import Common, common, formats, told
from dedup.files import descriptors
from dedup.text.normalise import printable
from dedup.text.sanitise import dumps

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.web.server import Serving

LEAVING = 1.8
"""Seconds after which it leaves whatever it is still answering: it only reads, nothing is lost."""


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to answer, in place of [web] listen; port 0 takes any that is free.")
@click.option("--open", "shown", is_flag=True, help="Open it in the browser too.")
@formats("text", "json")
@common
@click.pass_obj
def serve(options: Common, listen: str | None, shown: bool, form: str) -> None:
    """The dashboard: pages about clusters, pages, changes, checks and faults, for a browser.

    It says where it is and answers until Ctrl-C. It only reads, and can run beside 'dedup watch'; with [web] enabled the daemon
    serves it too. By default nobody but this machine can ask; any other address wants a token ([web] token). With --verbose each
    request is logged. --format json prints {"address"}.

    \b
    dedup serve
    dedup serve --listen 127.0.0.1:9000
    """
    settings = options.load().settings
    if listen is not None:
        settings = settings.model_copy(update={"web": settings.web.model_copy(update={"listen": _address(listen)})})
    descriptors.raise_limit()
    serving = opened(settings, log=options.verbosity > 0)
    caught: list[int] = []

    def leave(number: int, _: object) -> None:
        if not caught:
            late = threading.Timer(LEAVING, os._exit, (_code(number),))
            late.daemon = True
            late.start()
        caught.append(number)
        serving.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    if options.verbosity > 0:
        _log_requests()
    click.echo(dumps({"address": serving.address}) if form == "json" else f"The dashboard is at {serving.address} (Ctrl-C ends it).")
    sys.stdout.flush()
    if shown:
        click.launch(serving.address)
    with told(options):
        serving.run()
    sys.exit(_code(*caught[:1]))


def opened(settings: Settings, *, log: bool = False) -> Serving:
    """The dashboard, listening. Raises WebError, WebOpenError, and DatabaseUnreadableError for what is no database of dedup."""
    from dedup.errors import WebError
    from dedup.store.ownership import require_own

    require_own(settings.database.path)
    try:
        from dedup.web.server import Serving
    except ImportError as error:
        raise WebError(listen=settings.web.listen, problem=f"{error.name} is not installed; install dedup[web]") from error
    return Serving(settings, log=log)


def _log_requests() -> None:
    log = logging.getLogger("uvicorn.access")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    log.addHandler(handler)


class _Line(logging.Formatter):
    """One line a request, whatever was asked for."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _code(number: int = 0) -> int:
    return 130 if number == signal.SIGINT else 0


def _address(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise click.BadParameter("is no address and port; write one like 127.0.0.1:8765", param_hint="--listen")
    return listen
