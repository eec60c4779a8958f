"""One POST with a time limit for all of it: name resolution, connection, TLS, sending, and whatever answers.

`http.client` limits each operation on a socket. A server that sends a byte a second, or interim answers without end, keeps it for as
long as it likes. Here the sockets themselves have the deadline: each operation gets the time that is left.
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
"""Interim answers (1xx) before the one that counts."""
_CHUNK_BYTES = 16_384


class Deadline:
    """A moment of the monotonic clock, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Seconds that are left; raises TimeoutError where there are none."""
        remaining = self._at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining


class _DeadlineMixin:
    """Of a socket: reading and sending within the time that is left."""

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
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  its name and place are given
        self.settimeout(self.deadline.remaining_seconds())
        super().do_handshake(block)


class _Response(HTTPResponse):
    """Keeps the status as soon as it has come; other interim answers than `100 Continue` are passed over too."""

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
        raise HTTPException(f"more than {MAX_INTERIM_RESPONSES} interim answers (1xx)")


class _Exchange:
    """One request and what has come of it so far; `status` is None until the line with it has come."""

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self.status: int | None = None
        self.reason = ""

    def connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """As `socket.create_connection`, within the time that is left."""
        error: OSError | None = None
        for family, kind, protocol, _, socket_address in self._resolve(*address):
            sock = _DeadlineSocket(family, kind, protocol)
            sock.deadline = self.deadline
            try:
                sock.settimeout(self.deadline.remaining_seconds())
                sock.connect(socket_address)
            except OSError as failed:
                sock.close()
                error = failed
            else:
                return sock
        self.deadline.remaining_seconds()
        raise error or OSError("the host has no address")

    def _resolve(self, host: str, port: int) -> list[Any]:
        """Addresses of a host. The resolver has no time limit of ours: it is asked in a thread, which is left behind if it is late."""
        results: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                results.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                results.put(error)

        threading.Thread(target=look_up, name=f"address of {host}", daemon=True).start()
        try:
            answer = results.get(timeout=self.deadline.remaining_seconds())
        except queue.Empty:
            self.deadline.remaining_seconds()
            raise TimeoutError("timed out") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def http_connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """For an address of http."""
        return self._with_deadline(HTTPConnection(host, **kwargs))

    def tls_connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """For an address of https: certificate and host name are checked."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = type("_OfThisExchange", (_DeadlineTlsSocket,), {"deadline": self.deadline})
        kwargs["context"] = context
        return self._with_deadline(HTTPSConnection(host, **kwargs))

    def _with_deadline(self, connection: HTTPConnection) -> HTTPConnection:
        connection._create_connection = self.connect  # type: ignore[attr-defined]  # noqa: SLF001  http.client has no other place for it
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
    """Redirects are not followed: what is sent is meant for one address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes, headers: dict[str, str], timeout_seconds: float) -> tuple[int, str]:
    """POST a body; returns the status and the reason of the answer. The answer's body is not read: a receiver that has sent its status has
    decided, whatever follows. `url` is of http or https, without credentials. Proxies are taken from the environment.

    Raises TimeoutError where no status has come within `timeout_seconds` from now, other OSError or HTTPException where none comes.
    """
    exchange = _Exchange(timeout_seconds)
    request = Request(url, body, headers, method="POST")  # noqa: S310  the caller has checked it
    try:
        with build_opener(_NoRedirects, _Http(exchange), _Https(exchange)).open(request, timeout=timeout_seconds):
            pass
    except HTTPError as error:
        with suppress(Exception):
            error.close()
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if exchange.status is not None:
            pass  # what broke came after it
        elif isinstance(cause, TimeoutError):
            raise TimeoutError(f"timed out after {timeout_seconds:g} seconds") from None
        else:
            raise cause if isinstance(cause, OSError | HTTPException) else OSError(str(cause)) from None
    if exchange.status is None:
        raise HTTPException("no answer")
    return exchange.status, exchange.reason
