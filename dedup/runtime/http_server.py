"""The HTTP server of the dashboard and of the metrics: uvicorn, with limits on the resources of clients.

The process needs descriptors, memory and threads for other work, so clients get a fixed share of each. When all connections are in use, a
new one replaces the one that has been idle longest. A client that is slow to send a request or to read a response is disconnected.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from dedup.runtime.log_limits import LogLimiter, LogLimitFilter

GRACE_SECONDS = 1
"""Seconds to finish responses when the server stops."""
ACCEPT_BACKLOG = 128
"""Connections that the kernel queues until they are accepted."""
_LOGGERS = ("uvicorn.error", "asyncio")
MAX_LOG_LINES_PER_MINUTE = 5
"""Log lines of one kind per minute: clients can provoke them."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the clients of one server.

    - `max_connections`: open connections.
    - `accept_batch`: connections accepted at once; a few batches exist on top of `max_connections` for a moment.
    - `request_seconds`: time from the start of the connection, or from the previous response, to a complete request.
    - `max_request_bytes`: size of a request.
    - `response_seconds`, `response_bytes_per_second`: a response must be read within `response_seconds`, plus one second for each
      `response_bytes_per_second` bytes of it.
    - `max_buffered_bytes`: bytes of unread responses of all connections; above that, the oldest connections are closed.
    """

    max_connections: int = 64
    accept_batch: int = 16
    request_seconds: float = 10.0
    max_request_bytes: int = 1 << 20
    response_seconds: float = 30.0
    response_bytes_per_second: int = 16_384
    max_buffered_bytes: int = 64 << 20


def limits_for(max_descriptors: int, limit: int = 64) -> ConnectionLimits:
    """Return limits under which connections and batches use at most a quarter of `max_descriptors`."""
    max_connections = max(4, min(limit, max_descriptors // 8))
    return ConnectionLimits(max_connections, accept_batch=max(1, max_connections // 4))


class Connections:
    """The open connections of one server. Enforces the limits; runs in the server's event loop."""

    def __init__(self, limits: ConnectionLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self._open: dict[_Connection, None] = {}  # oldest first
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: _Connection) -> None:
        """Add a new connection. If there are too many, close the longest idle one, else the slowest reader, else the new one."""
        self._open[connection] = None
        if len(self._open) <= self.limits.max_connections:
            return
        others = [c for c in self._open if c is not connection]
        idle = [c for c in others if c.is_awaiting_request and not c.buffered_bytes]
        receiving = [c for c in others if c.buffered_bytes]
        if idle:
            self.drop(min(idle, key=lambda c: c.waiting_since))
        elif receiving:
            self.drop(min(receiving, key=lambda c: c.waiting_since))
        else:
            self.drop(connection)

    def remove(self, connection: _Connection) -> None:
        """Remove a connection that has ended."""
        self._open.pop(connection, None)

    def drop(self, connection: _Connection) -> None:
        """Close a connection at once, without sending what is buffered."""
        self.dropped_count += 1
        self.remove(connection)
        connection.transport.abort()

    def sweep(self) -> None:
        """Close the connections that exceed a limit of time or of buffered bytes."""
        now, limits = self.clock(), self.limits
        waiting: list[tuple[float, int, _Connection]] = []
        for connection in list(self._open):
            size = connection.buffered_bytes
            if not size:
                connection.read_deadline = None
                if connection.is_awaiting_request and now - connection.waiting_since >= limits.request_seconds:
                    self.drop(connection)
                continue
            if connection.read_deadline is None:
                connection.read_deadline = now + limits.response_seconds + size / limits.response_bytes_per_second
            if now >= connection.read_deadline:
                self.drop(connection)
            else:
                waiting.append((connection.read_deadline, size, connection))
        total = sum(size for _, size, _ in waiting)
        for _, size, connection in sorted(waiting, key=lambda w: w[0])[:-1]:
            if total <= limits.max_buffered_bytes:
                break
            total -= size
            self.drop(connection)


class _Connection(H11Protocol):
    """One connection. `waiting_since` is when it began to wait for its next request; `read_deadline` is when its response must be read.

    Both are times of the clock of `Connections`.
    """

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all_connections = connections
        self._received_bytes = 0
        self.waiting_since = connections.clock()
        self.read_deadline: float | None = None

    @property
    def is_awaiting_request(self) -> bool:
        """Return whether a request is incomplete or has not begun."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete or cycle.more_body

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the response that the client has not read and the kernel does not buffer."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes > self._all_connections.limits.max_request_bytes:
            self._all_connections.drop(self)
        elif not self.transport.is_closing():
            super().data_received(data)

    def on_response_complete(self) -> None:
        self.waiting_since, self._received_bytes = self._all_connections.clock(), 0
        super().on_response_complete()


class HttpServer:
    """Serves an ASGI application on a listening socket, which it closes in the end.

    `prepare` is called in the event loop before the first request.
    """

    def __init__(
        self,
        app: Any,
        listening_socket: socket.socket,
        limits: ConnectionLimits | None = None,
        *,
        log: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        limits = limits or limits_for(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self.connections = Connections(limits)
        self.socket = listening_socket
        config = uvicorn.Config(
            app, log_config=None, access_log=log, server_header=False, proxy_headers=False, lifespan="off", ws="none",
            http=partial(_Connection, connections=self.connections),  # type: ignore[arg-type]  # a factory is accepted too
            loop="asyncio", interface="asgi3", timeout_graceful_shutdown=GRACE_SECONDS, backlog=limits.accept_batch,
            limit_concurrency=2 * limits.max_connections + 1,
        )  # fmt: skip
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            if not any(isinstance(f, LogLimitFilter) for f in logger.filters):
                logger.addFilter(LogLimitFilter(logger, LogLimiter(MAX_LOG_LINES_PER_MINUTE)))
        self._server = _Server(config, self.connections, prepare)

    def run(self) -> None:
        """Serve requests until `stop` is called."""
        self._server.run(sockets=[self.socket])

    def stop(self) -> None:
        """Finish current responses and return from `run`. May be called from any thread and from a signal handler."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, connections: Connections, prepare: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._connections, self._prepare = connections, prepare

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._prepare is not None:
            self._prepare()
        await super().startup(sockets)
        for listening_socket in sockets or ():
            listening_socket.listen(ACCEPT_BACKLOG)  # asyncio sets it to the accept batch

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        self._connections.sweep()
        return await super().on_tick(counter)


def open_listening_socket(address: str) -> socket.socket:
    """Return a listening socket at "address:port" that child programs do not inherit. Raises OSError."""
    host, _, port = address.rpartition(":")
    (family, _, _, _, socket_address), *_ = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # with an explicit protocol, asyncio disables Nagle's algorithm
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(socket_address)
        sock.listen(ACCEPT_BACKLOG)
    except OSError:
        with suppress(OSError):
            sock.close()
        raise
    sock.set_inheritable(False)
    return sock
