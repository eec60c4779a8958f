"""The HTTP server beneath the dashboard: in the foreground for `dedup serve`, in a thread beside `dedup watch`."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from dedup.config import Settings
from dedup.errors import WebError, WebOpenError
from dedup.web.app import make
from dedup.web.guard import host_of, is_own_machine

GRACE = 1
"""Seconds that answers may still take when it is to end."""


def token_of(settings: Settings) -> str:
    """The token that is configured, or the value of the environment variable which it names; empty: none is. Raises WebError where the
    variable is not set, WebOpenError where there is none and other machines could ask."""
    given, listen = settings.web.token, settings.web.listen
    token = os.environ.get(given[4:], "") if given.startswith("env:") else given
    if given and not token:
        raise WebError(listen=listen, problem=f"the environment variable {given[4:]} of [web] token is not set")
    if not token and not is_own_machine(listen):
        raise WebOpenError(listen=listen)
    return token


class Serving:
    """A dashboard that listens at its address already and answers once `run`. Raises WebError, WebOpenError."""

    def __init__(self, settings: Settings, *, log: bool = False) -> None:
        listen = settings.web.listen
        app = make(settings, token_of(settings))
        self.socket = _listening(listen)
        told = uvicorn.Config(
            app, log_config=None, access_log=log, server_header=False, proxy_headers=False, lifespan="off", ws="none", http="h11",
            loop="asyncio", interface="asgi3", timeout_graceful_shutdown=GRACE,
        )  # fmt: skip
        self._server = _Server(told)
        address, port = self.socket.getsockname()[:2]
        host = host_of(listen)
        shown = "localhost" if address in ("0.0.0.0", "::") else host  # noqa: S104
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"

    def run(self) -> None:
        """Answer until `end` is called."""
        self._server.run(sockets=[self.socket])

    def end(self) -> None:
        """From any thread, or a signal's handler: answer what is being answered, and leave."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They belong to whoever runs this."""
        yield


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        (family, _, _, _, place), *_ = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise WebError(listen=listen, problem=error.strerror or str(error)) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(128)
    except OSError as error:
        with suppress(OSError):
            made.close()
        raise WebError(listen=listen, problem=(error.strerror or str(error)).lower()) from error
    made.set_inheritable(False)
    return made
