"""`serve`: serve the dashboard."""

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
"""Seconds until open requests are dropped at shutdown. The dashboard only reads, so nothing is lost."""


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Address to listen on instead of [web] listen. Port 0 picks a free one.")
@click.option("--open", "open_browser", is_flag=True, help="Open the dashboard in a browser.")
@format_option("text", "json")
@common_options
@click.pass_obj
def serve(options: CommonOptions, listen: str | None, open_browser: bool, output_format: str) -> None:
    """Serve the dashboard.

    The dashboard shows clusters, pages, changes, checks, faults and the daemon in a browser. The command prints its address
    and runs until Ctrl-C. It only reads, so 'dedup watch' may run at the same time; with [web] enabled, 'dedup watch' serves
    the dashboard itself. By default only this machine can connect; any other address requires [web] token. --verbose logs each
    request. --format json prints {"address"}.

    \b
    Examples:
      dedup serve --open
      dedup serve --listen 127.0.0.1:9000

    Exit codes: 0 after SIGTERM, 130 after Ctrl-C.
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
        format_json({"address": server.address})
        if output_format == "json"
        else f"The dashboard is at {server.address} (press Ctrl-C to stop)."
    )
    sys.stdout.flush()
    if open_browser:
        click.launch(server.address)
    with log_to_stderr(options):
        server.run()
    sys.exit(_exit_code(*signals[:1]))


def open_dashboard(settings: Settings, *, log: bool = False) -> DashboardServer:
    """Return the dashboard's server, already listening. Raises WebError, WebExposedError, MissingExtraError, and
    DatabaseUnreadableError for a file that is not a database of dedup."""
    from dedup.runtime.extras import require_extra
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
        raise click.BadParameter("is not an address and port; write it like 127.0.0.1:8765", param_hint="--listen")
    return listen
