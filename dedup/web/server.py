"""The dashboard at its address: in the foreground for `dedup serve`, in a thread beside `dedup watch`."""

from __future__ import annotations

import os

from anyio import to_thread

from dedup.config import Settings, variable
from dedup.errors import WebError, WebOpenError
from dedup.http_server import HttpServer, listen_at
from dedup.web.app import make
from dedup.web.middleware import host_of, is_own_machine

THREADS = 8
"""Pages that are made at a time. Further requests wait."""


def token_of(settings: Settings) -> str:
    """The token that is configured, or the value of the environment variable which it names; empty: none is. Raises WebError where the
    variable is not set or holds nothing but blanks, WebOpenError where there is no token and other machines could ask."""
    given, listen = settings.web.token, settings.web.listen
    name = variable(given)
    token = given if name is None else os.environ.get(name, "")
    if name is not None and not token.strip():
        what = "empty" if name in os.environ else "not set"
        raise WebError(listen=listen, problem=f"the environment variable {name} of [web] token is {what}")
    if not token and not is_own_machine(listen):
        raise WebOpenError(listen=listen)
    return token


class Serving:
    """A dashboard that listens at its address already and answers once `run`. Raises WebError, WebOpenError."""

    def __init__(self, settings: Settings, *, log: bool = False) -> None:
        listen = settings.web.listen
        app = make(settings, token_of(settings))
        try:
            self.socket = listen_at(listen)
        except OSError as error:
            raise WebError(listen=listen, problem=(error.strerror or str(error)).lower()) from error
        self._server = HttpServer(app, self.socket, log=log, prepare=_limit_threads)
        address, port = self.socket.getsockname()[:2]
        host = host_of(listen)
        shown = "localhost" if address in ("0.0.0.0", "::") else host  # noqa: S104
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"

    def run(self) -> None:
        """Answer until `end` is called."""
        self._server.run()

    def end(self) -> None:
        """From any thread, or a signal's handler: answer what is being answered, and leave."""
        self._server.end()


def _limit_threads() -> None:
    """Each thread that makes a page has a database open."""
    to_thread.current_default_thread_limiter().total_tokens = THREADS
