"""The HTTP server of the dashboard and the metrics against clients that take more than their share; real sockets, limits made short."""

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

LARGE = 32 << 20
"""Bytes of an answer: more than the kernel keeps for a client that does not read."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/body":
        await receive()
    if scope["path"] == "/wait":
        await asyncio.sleep(600)
    body = b"x" * LARGE if scope["path"] == "/large" else b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Served:
    def __init__(self, server: HttpServer) -> None:
        self.connections: Connections = server.connections
        self.place: tuple[str, int] = server.socket.getsockname()

    def connect(self, sent: bytes = b"") -> socket.socket:
        made = socket.create_connection(self.place, timeout=60)
        made.sendall(sent)
        return made

    def get(self, path: str = "/") -> bytes:
        with self.connect(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode()) as client:
            return rest(client)


def rest(client: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    found = b""
    try:
        while read := client.recv(1 << 20):
            found += read
    except ConnectionResetError:
        pass
    return found


@contextmanager
def serving(**limits: Any) -> Iterator[Served]:
    server = HttpServer(app, open_listening_socket("127.0.0.1:0"), ConnectionLimits(**limits))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Served(server)
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    while not holds():
        time.sleep(0.01)


def sockets() -> int:
    """Sockets that this process has open: the clients' and the server's."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-a: ", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"])
def test_any_number_of_idle_connections_leaves_room_for_the_next_one(sent: bytes) -> None:
    with serving(max_connections=8, accept_batch=2, request_seconds=600) as served, ExitStack() as stack:
        before = sockets()
        for n in range(1, 301):
            stack.enter_context(served.connect(sent))
            assert sockets() - before - n <= 8 + 16
        assert served.get().endswith(b"hello")
        assert len(served.connections) <= 8
        assert served.connections.dropped_count >= 300 - 8


def test_the_oldest_idle_connection_makes_room_not_one_that_is_answered() -> None:
    with serving(max_connections=2, accept_batch=1, request_seconds=600) as served, ExitStack() as stack:
        asking = stack.enter_context(served.connect(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
        first = stack.enter_context(served.connect(b"GET"))
        stack.enter_context(served.connect(b"GET"))
        assert rest(first) == b""
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(1)


def test_where_all_are_being_answered_the_new_one_is_refused() -> None:
    with serving(max_connections=2, accept_batch=1) as served, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(served.connect(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
        until(lambda: len(served.connections) == 2 and not any(c.is_awaiting_request for c in list(served.connections._open)))
        assert served.get() == b""


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
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
def test_a_request_that_is_not_complete_in_time_is_not_waited_for(sent: bytes, answers: int) -> None:
    """Whatever part of it comes; what was complete is answered."""
    with serving(request_seconds=0.3) as served, served.connect(sent) as client:
        assert rest(client).count(b"200 OK") == answers
        assert len(served.connections) == 0


def send_until_refused(client: socket.socket, piece: bytes) -> None:
    """Send again and again, reading what comes, until the server has ended the connection."""
    client.settimeout(0.01)
    with suppress(ConnectionError):
        while True:
            client.sendall(piece)
            with suppress(TimeoutError):
                if not client.recv(1):
                    return


def test_dripping_does_not_extend_the_time_of_a_request() -> None:
    with serving(request_seconds=0.3) as served, served.connect(HEAD) as client:
        send_until_refused(client, b"a: 1\r\n")
        assert served.connections.dropped_count == 1


def test_a_request_has_a_size() -> None:
    with serving(max_request_bytes=100_000, request_seconds=600) as served:
        with served.connect(HEAD + b"Content-Length: 900000000\r\n\r\n") as client:
            send_until_refused(client, b"x" * 65536)
        assert served.connections.dropped_count == 1


def test_an_answer_that_nobody_reads_is_dropped_with_its_memory() -> None:
    with serving(response_seconds=0.3, response_bytes_per_second=1 << 40) as served:
        large = HEAD.replace(b"/ ", b"/large ")
        with served.connect(large + b"\r\n"), served.connect(large + b"Connection: close\r\n\r\n"):
            until(lambda: served.connections.dropped_count >= 2)
            until(lambda: len(served.connections) == 0)


def test_an_answer_that_is_read_slowly_but_fast_enough_arrives() -> None:
    with serving(response_seconds=0.0, response_bytes_per_second=LARGE // 600) as served:
        assert len(served.get("/large")) > LARGE


def test_answers_that_wait_to_be_read_have_a_size_together_and_the_oldest_is_dropped() -> None:
    with serving(response_seconds=600, max_buffered_bytes=LARGE + LARGE // 2) as served, ExitStack() as stack:
        first, *_, last = [stack.enter_context(served.connect(HEAD.replace(b"/ ", b"/large ") + b"\r\n")) for _ in range(4)]
        until(lambda: served.connections.dropped_count >= 2)
        assert len(rest(first)) < LARGE
        last.shutdown(socket.SHUT_WR)
        assert len(rest(last)) > LARGE


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 8192, 1 << 20])
def test_clients_get_a_quarter_of_the_descriptors_at_most(descriptors: int) -> None:
    limits = limits_for(descriptors)
    assert limits.max_connections + 4 * limits.accept_batch <= descriptors // 4
    assert limits.max_connections <= 64


def test_what_clients_provoke_is_logged_a_few_times_only(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served:
        for _ in range(50):
            with served.connect(b"\x00\r\n\r\n") as client:
                assert b"400" in rest(client)
    assert 0 < sum("Invalid HTTP" in r.getMessage() for r in caplog.records) <= 5
    assert any(isinstance(f, LogLimitFilter) for f in logging.getLogger("asyncio").filters)
