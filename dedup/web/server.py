"""The HTTP server of the dashboard, in the foreground for `dedup serve`, in a thread for `dedup watch`."""

from __future__ import annotations

import os

from anyio import to_thread

from dedup.config import Settings, env_variable_name
from dedup.errors import WebError, WebExposedError
from dedup.runtime.http_server import HttpServer, open_listening_socket
from dedup.web.app import create_app
from dedup.web.middleware import is_loopback, parse_host

MAX_THREADS = 8
"""Requests that are handled at the same time. Further requests wait."""


def load_token(settings: Settings) -> str:
    """Return the configured token, or the value of the environment variable that it names (`env:NAME`). Empty means no token.

    Raises WebError if the variable is not set or blank, WebExposedError if there is no token and other machines can reach the address.
    """
    configured_token, listen = settings.web.token, settings.web.listen
    name = env_variable_name(configured_token)
    token = configured_token if name is None else os.environ.get(name, "")
    if name is not None and not token.strip():
        problem = "empty" if name in os.environ else "not set"
        raise WebError(listen=listen, problem=f"the environment variable {name} of [web] token is {problem}")
    if not token and not is_loopback(listen):
        raise WebExposedError(listen=listen)
    return token


class DashboardServer:
    """A dashboard that listens from its creation on and serves requests in `run`. Raises WebError, WebExposedError."""

    def __init__(self, settings: Settings, *, log: bool = False) -> None:
        listen = settings.web.listen
        app = create_app(settings, load_token(settings))
        try:
            self.socket = open_listening_socket(listen)
        except OSError as error:
            raise WebError(listen=listen, problem=(error.strerror or str(error)).lower()) from error
        self._server = HttpServer(app, self.socket, log=log, prepare=_limit_threads)
        address, port = self.socket.getsockname()[:2]
        host = parse_host(listen)
        display_host = "localhost" if address in ("0.0.0.0", "::") else host  # noqa: S104
        self.address = f"http://{f'[{display_host}]' if ':' in display_host else display_host}:{port}/"

    def run(self) -> None:
        """Serve requests until `stop` is called."""
        self._server.run()

    def stop(self) -> None:
        """Finish the requests in progress and return from `run`. May be called from any thread or signal handler."""
        self._server.stop()


def _limit_threads() -> None:
    """Limit the threads that handle requests, because each has a database open."""
    to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
