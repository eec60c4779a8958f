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

INTERIM = 20
"""Interim answers (1xx) before the one that counts."""
_PIECE = 16_384


class Deadline:
    """A moment of the monotonic clock, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; raises TimeoutError where there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _Timed:
    """Of a socket: reading and sending within the time that is left."""

    deadline: Deadline

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        return super().recv_into(*args, **kwargs)  # type: ignore[misc,no-any-return]

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
            rest = rest[self.send(rest[:_PIECE], flags) :]  # type: ignore[attr-defined]


class _Socket(_Timed, socket.socket):
    pass


class _TlsSocket(_Timed, ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  its name and place are given
        self.settimeout(self.deadline.left())
        super().do_handshake(block)


class _Response(HTTPResponse):
    """Keeps the status as soon as it has come; other interim answers than `100 Continue` are passed over too."""

    def __init__(self, *args: Any, exchange: _Exchange, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = exchange

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                self._exchange.status, self._exchange.reason = status, reason
                return version, status, reason
            parse_headers(self.fp)
        raise HTTPException(f"more than {INTERIM} interim answers (1xx)")


class _Exchange:
    """One request and what has come of it so far; `status` is None until the line with it has come."""

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self.status: int | None = None
        self.reason = ""

    def connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """As `socket.create_connection`, within the time that is left."""
        error: OSError | None = None
        for family, kind, protocol, _, place in self._resolve(*address):
            made = _Socket(family, kind, protocol)
            made.deadline = self.deadline
            try:
                made.settimeout(self.deadline.left())
                made.connect(place)
            except OSError as failed:
                made.close()
                error = failed
            else:
                return made
        self.deadline.left()
        raise error or OSError("the host has no address")

    def _resolve(self, host: str, port: int) -> list[Any]:
        """Addresses of a host. The resolver has no time limit of ours: it is asked in a thread, which is left behind if it is late."""
        found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                found.put(error)

        threading.Thread(target=ask, name=f"address of {host}", daemon=True).start()
        try:
            answer = found.get(timeout=self.deadline.left())
        except queue.Empty:
            self.deadline.left()
            raise TimeoutError("timed out") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """For an address of http."""
        return self._timed(HTTPConnection(host, **kwargs))

    def tls_connection(self, host: str, **kwargs: Any) -> HTTPConnection:
        """For an address of https: certificate and host name are checked."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = type("_OfThisExchange", (_TlsSocket,), {"deadline": self.deadline})
        kwargs["context"] = context
        return self._timed(HTTPSConnection(host, **kwargs))

    def _timed(self, made: HTTPConnection) -> HTTPConnection:
        made._create_connection = self.connect  # type: ignore[attr-defined]  # noqa: SLF001  http.client has no other place for it
        made.response_class = partial(_Response, exchange=self)  # type: ignore[assignment]
        return made


class _Http(HTTPHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._exchange.connection, req)


class _Https(HTTPSHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._exchange.tls_connection, req)


class _Stay(HTTPRedirectHandler):
    """Redirects are not followed: what is sent is meant for one address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, str]:
    """POST a body; returns the status and the reason of the answer. The answer's body is not read: a receiver that has sent its status has
    decided, whatever follows. `url` is of http or https, without credentials. Proxies are taken from the environment.

    Raises TimeoutError where no status has come within `seconds` from now, other OSError or HTTPException where none comes.
    """
    exchange = _Exchange(seconds)
    request = Request(url, body, headers, method="POST")  # noqa: S310  the caller has checked it
    try:
        with build_opener(_Stay, _Http(exchange), _Https(exchange)).open(request, timeout=seconds):
            pass
    except HTTPError as error:
        with suppress(Exception):
            error.close()
    except (OSError, HTTPException) as error:
        why = error.reason if isinstance(error, URLError) else error
        if exchange.status is not None:
            pass  # what broke came after it
        elif isinstance(why, TimeoutError):
            raise TimeoutError(f"timed out after {seconds:g} seconds") from None
        else:
            raise why if isinstance(why, OSError | HTTPException) else OSError(str(why)) from None
    if exchange.status is None:
        raise HTTPException("no answer")
    return exchange.status, exchange.reason
