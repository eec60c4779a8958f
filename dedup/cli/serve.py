"""`serve`: the dashboard."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr
from dedup.files import descriptors
from dedup.text.sanitise import PrintableFormatter, format_json

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.web.server import DashboardServer

SHUTDOWN_SECONDS = 1.8
"""Seconds after which it leaves whatever it is still answering: it only reads, nothing is lost."""


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to answer, in place of [web] listen; port 0 takes any that is free.")
@click.option("--open", "open_browser", is_flag=True, help="Open it in the browser too.")
@format_option("text", "json")
@common_options
@click.pass_obj
def serve(options: CommonOptions, listen: str | None, open_browser: bool, output_format: str) -> None:
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
        settings = settings.model_copy(update={"web": settings.web.model_copy(update={"listen": _parse_address(listen)})})
    descriptors.raise_open_file_limit()
    server = open_dashboard(settings, log=options.verbosity > 0)
    signals: list[int] = []

    def shut_down(number: int, _: object) -> None:
        if not signals:
            timer = threading.Timer(SHUTDOWN_SECONDS, os._exit, (_exit_code(number),))
            timer.daemon = True
            timer.start()
        signals.append(number)
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, shut_down)
    if options.verbosity > 0:
        _log_requests()
    click.echo(
        format_json({"address": server.address}) if output_format == "json" else f"The dashboard is at {server.address} (Ctrl-C ends it)."
    )
    sys.stdout.flush()
    if open_browser:
        click.launch(server.address)
    with log_to_stderr(options):
        server.run()
    sys.exit(_exit_code(*signals[:1]))


def open_dashboard(settings: Settings, *, log: bool = False) -> DashboardServer:
    """The dashboard, listening. Raises WebError, WebExposedError, MissingExtraError, and DatabaseUnreadableError
    for what is no database of dedup."""
    from dedup.extras import require_extra
    from dedup.store.ownership import require_dedup_database

    require_dedup_database(settings.database.path)
    require_extra("web")
    from dedup.web.server import DashboardServer

    return DashboardServer(settings, log=log)


def _log_requests() -> None:
    log = logging.getLogger("uvicorn.access")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    log.addHandler(handler)


def _exit_code(number: int = 0) -> int:
    return 130 if number == signal.SIGINT else 0


def _parse_address(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise click.BadParameter("is not an address and port; for example 127.0.0.1:8765", param_hint="--listen")
    return listen
