"""The HTTP server of the dashboard and the metrics with clients that take more than their share, over real sockets and with low limits."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from dedup.runtime.http_server import ConnectionLimits, Connections, HttpServer, limits_for, open_listening_socket
from dedup.runtime.log_limits import LogLimitFilter

pytestmark = pytest.mark.slow

LARGE = 32 << 20
"""Bytes of a response: more than the kernel buffers for a client that does not read."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/body":
        await receive()
    if scope["path"] == "/wait":
        await asyncio.sleep(600)
    body = b"x" * LARGE if scope["path"] == "/large" else b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class RunningServer:
    def __init__(self, server: HttpServer) -> None:
        self.connections: Connections = server.connections
        self.address: tuple[str, int] = server.socket.getsockname()

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=60)
        client.sendall(data)
        return client

    def get(self, path: str = "/") -> bytes:
        with self.connect(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode()) as client:
            return read_to_end(client)


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    received = b""
    try:
        while chunk := client.recv(1 << 20):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@contextmanager
def serving(**limits: Any) -> Iterator[RunningServer]:
    server = HttpServer(app, open_listening_socket("127.0.0.1:0"), ConnectionLimits(**limits))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield RunningServer(server)
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread brings about."""
    while not condition():
        time.sleep(0.01)


def count_sockets() -> int:
    """Number of sockets that this process has open, of clients and of the server."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue
    return count


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-a: ", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"])
def test_idle_connections_never_block_the_next_one(data: bytes) -> None:
    with serving(max_connections=8, accept_batch=2, request_seconds=600) as server, ExitStack() as stack:
        before = count_sockets()
        for n in range(1, 301):
            stack.enter_context(server.connect(data))
            assert count_sockets() - before - n <= 8 + 16
        assert server.get().endswith(b"hello")
        assert len(server.connections) <= 8
        assert server.connections.dropped_count >= 300 - 8


def test_the_oldest_idle_connection_is_dropped_not_a_busy_one() -> None:
    with serving(max_connections=2, accept_batch=1, request_seconds=600) as server, ExitStack() as stack:
        busy = stack.enter_context(server.connect(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
        oldest = stack.enter_context(server.connect(b"GET"))
        stack.enter_context(server.connect(b"GET"))
        assert read_to_end(oldest) == b""
        busy.setblocking(False)
        with pytest.raises(BlockingIOError):
            busy.recv(1)


def test_a_new_connection_is_refused_if_all_are_busy() -> None:
    with serving(max_connections=2, accept_batch=1) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(server.connect(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
        wait_until(lambda: len(server.connections) == 2 and not any(c.is_awaiting_request for c in list(server.connections._open)))
        assert server.get() == b""


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("data", "responses"),
    [
        (b"", 0),
        (b"G", 0),
        (HEAD + b"X-a: ", 0),
        (HEAD + b"\r\n", 1),
        (HEAD + b"\r\n" + HEAD, 1),
        (HEAD + b"Content-Length: 9\r\n\r\nx", 1),
        (HEAD.replace(b"/ ", b"/body ") + b"Content-Length: 9\r\n\r\n", 0),
    ],
)
def test_an_incomplete_request_times_out(data: bytes, responses: int) -> None:
    """A complete request before it still gets its response."""
    with serving(request_seconds=0.3) as server, server.connect(data) as client:
        assert read_to_end(client).count(b"200 OK") == responses
        assert len(server.connections) == 0


def send_until_refused(client: socket.socket, piece: bytes) -> None:
    """Send repeatedly and read responses until the server closes the connection."""
    client.settimeout(0.01)
    with suppress(ConnectionError):
        while True:
            client.sendall(piece)
            with suppress(TimeoutError):
                if not client.recv(1):
                    return


def test_a_slow_request_gets_no_extra_time() -> None:
    with serving(request_seconds=0.3) as server, server.connect(HEAD) as client:
        send_until_refused(client, b"a: 1\r\n")
        assert server.connections.dropped_count == 1


def test_the_size_of_a_request_is_limited() -> None:
    with serving(max_request_bytes=100_000, request_seconds=600) as server:
        with server.connect(HEAD + b"Content-Length: 900000000\r\n\r\n") as client:
            send_until_refused(client, b"x" * 65536)
        assert server.connections.dropped_count == 1


def test_an_unread_response_is_dropped_with_its_memory() -> None:
    with serving(response_seconds=0.3, response_bytes_per_second=1 << 40) as server:
        large = HEAD.replace(b"/ ", b"/large ")
        with server.connect(large + b"\r\n"), server.connect(large + b"Connection: close\r\n\r\n"):
            wait_until(lambda: server.connections.dropped_count >= 2)
            wait_until(lambda: len(server.connections) == 0)


def test_a_response_that_is_read_fast_enough_is_complete() -> None:
    with serving(response_seconds=0.0, response_bytes_per_second=LARGE // 600) as server:
        assert len(server.get("/large")) > LARGE


def test_the_total_size_of_unread_responses_is_limited() -> None:
    with serving(response_seconds=600, max_buffered_bytes=LARGE + LARGE // 2) as server, ExitStack() as stack:
        first, *_, last = [stack.enter_context(server.connect(HEAD.replace(b"/ ", b"/large ") + b"\r\n")) for _ in range(4)]
        wait_until(lambda: server.connections.dropped_count >= 2)
        assert len(read_to_end(first)) < LARGE
        last.shutdown(socket.SHUT_WR)
        assert len(read_to_end(last)) > LARGE


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 8192, 1 << 20])
def test_connections_use_at_most_a_quarter_of_the_descriptors(descriptors: int) -> None:
    limits = limits_for(descriptors)
    assert limits.max_connections + 4 * limits.accept_batch <= descriptors // 4
    assert limits.max_connections <= 64


def test_log_lines_that_clients_cause_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        for _ in range(50):
            with server.connect(b"\x00\r\n\r\n") as client:
                assert b"400" in read_to_end(client)
    assert 0 < sum("Invalid HTTP" in r.getMessage() for r in caplog.records) <= 5
    assert any(isinstance(f, LogLimitFilter) for f in logging.getLogger("asyncio").filters)
