"""An HTTP POST with one time limit for name resolution, connection, TLS, sending and the response.

`http.client` limits only single operations on a socket. A server that sends a byte a second, or interim responses without end, can hold
it forever. Here the sockets carry a deadline, and each operation gets the time that remains.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, parse_headers
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

MAX_INTERIM_RESPONSES = 20
"""Interim responses (1xx) that are accepted before the final one."""
_CHUNK_BYTES = 16_384


class Deadline:
    """A deadline on the monotonic clock, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Return the seconds until the deadline. Raises TimeoutError after it."""
        remaining = self._at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining


class _DeadlineMixin:
    """Limits reads and writes of a socket to the time that remains."""

    deadline: Deadline

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.remaining_seconds())  # type: ignore[attr-defined]
        return super().recv_into(*args, **kwargs)  # type: ignore[misc,no-any-return]

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            self.settimeout(self.deadline.remaining_seconds())  # type: ignore[attr-defined]
            rest = rest[self.send(rest[:_CHUNK_BYTES], flags) :]  # type: ignore[attr-defined]


class _DeadlineSocket(_DeadlineMixin, socket.socket):
    pass


class _DeadlineTlsSocket(_DeadlineMixin, ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  the signature is fixed
        self.settimeout(self.deadline.remaining_seconds())
        super().do_handshake(block)


class _Response(HTTPResponse):
    """Stores the status as soon as it arrives, and skips all interim responses, not only `100 Continue`."""

    def __init__(self, *args: Any, exchange: _Exchange, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = exchange

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM_RESPONSES):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                self._exchange.status, self._exchange.reason = status, reason
                return version, status, reason
            parse_headers(self.fp)
        raise HTTPException(f"more than {MAX_INTERIM_RESPONSES} interim responses (1xx)")


class _Exchange:
    """One request and its response so far. `status` is None until the status line arrives."""

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self.status: int | None = None
        self.reason = ""

    def connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """Connect as `socket.create_connection` does, within the time that remains."""
        error: OSError | None = None
        for family, kind, protocol, _, socket_address in self._resolve(*address):
            sock = _DeadlineSocket(family, kind, protocol)
            sock.deadline = self.deadline
            try:
                sock.settimeout(self.deadline.remaining_seconds())
                sock.connect(socket_address)
            except OSError as connect_error:
                sock.close()
                error = connect_error
            else:
                return sock
        self.deadline.remaining_seconds()
        raise error or OSError("the host has no address")

    def _resolve(self, host: str, port: int) -> list[Any]:
        """Resolve a host. The resolver has no time limit, so it runs in a thread, which is left behind if it is late."""
        results: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                results.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                results.put(error)

        threading.Thread(target=look_up, name=f"resolve-{host}", daemon=True).start()
        try:
            answer = results.get(timeout=self.deadline.remaining_seconds())
        except queue.Empty:
            self.deadline.remaining_seconds()
            raise TimeoutError("timed out") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def http_connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """Return a connection for an `http` URL."""
        return self._with_deadline(HTTPConnection(host, **kwargs))

    def tls_connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """Return a connection for an `https` URL. The certificate and host name are verified."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = type("_OfThisExchange", (_DeadlineTlsSocket,), {"deadline": self.deadline})
        kwargs["context"] = context
        return self._with_deadline(HTTPSConnection(host, **kwargs))

    def _with_deadline(self, connection: HTTPConnection) -> HTTPConnection:
        connection._create_connection = self.connect  # type: ignore[attr-defined]  # noqa: SLF001  http.client has no public hook
        connection.response_class = partial(_Response, exchange=self)  # type: ignore[assignment]
        return connection


class _Http(HTTPHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._exchange.http_connection, req)


class _Https(HTTPSHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._exchange.tls_connection, req)


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the message is meant for the configured URL only."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes, headers: dict[str, str], timeout_seconds: float) -> tuple[int, str]:
    """POST `body` to an `http` or `https` URL without credentials. Returns the status and reason of the response.

    The status alone decides; the body of the response is not read, and errors after the status are ignored. Proxies are taken from the
    environment. Raises TimeoutError if no status arrives within `timeout_seconds`, or another OSError or HTTPException.
    """
    exchange = _Exchange(timeout_seconds)
    request = Request(url, body, headers, method="POST")  # noqa: S310  the caller checks the scheme
    try:
        with build_opener(_NoRedirects, _Http(exchange), _Https(exchange)).open(request, timeout=timeout_seconds):
            pass
    except HTTPError as error:
        with suppress(Exception):
            error.close()
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if exchange.status is not None:
            pass  # it failed after the status
        elif isinstance(cause, TimeoutError):
            raise TimeoutError(f"timed out after {timeout_seconds:g} seconds") from None
        else:
            raise cause if isinstance(cause, OSError | HTTPException) else OSError(str(cause)) from None
    if exchange.status is None:
        raise HTTPException("no response")
    return exchange.status, exchange.reason
