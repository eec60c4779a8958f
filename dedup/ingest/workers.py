"""`examine` in processes of its own, where there are processors for them. Paths travel out, what was read travels back."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from multiprocessing.connection import Connection

from dedup import compiled, heartbeat
from dedup.ingest.examine import Examined, Found, Options, collect_rarely, examine, ignore_lease_breaks

WORTHWHILE = 20_000
"""Files of one pass from which on processes are started: what they save on fewer does not pay for their coming up."""
BEAT = 0.5
"""Seconds between two signs of life of a process, at least."""
MOST = 8
"""Processes that the one writer can keep up with."""

_log = logging.getLogger("dedup")


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


class Examiners:
    """Examines batches in the order in which they are given, in this process at first and in `number` others once there are
    many. What comes out does not depend on their number or timing."""

    def __init__(self, options: Options, number: int) -> None:
        self._options, self._number = options, min(number, MOST)
        self._given = 0
        self._beats = 0
        self._pending: deque[tuple[Sequence[Found], Future[list[Examined]]]] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []

    def give(self, batch: Sequence[Found]) -> None:
        """A batch to examine."""
        self._given += len(batch)
        if self._threads is None and self._number > 1 and self._given > WORTHWHILE:
            self._threads = ThreadPoolExecutor(self._number, "examine")
        if self._threads is None:
            done: Future[list[Examined]] = Future()
            done.set_result(examine(batch, self._options))
            self._pending.append((batch, done))
        else:
            self._pending.append((batch, self._threads.submit(self._elsewhere, batch)))

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def oldest(self) -> tuple[Found, int]:
        """(the first file, how many files) of the batch that is taken next."""
        batch, _ = self._pending[0]
        return batch[0], len(batch)

    @property
    def files(self) -> int:
        """How many files are in the batches that were given and not taken."""
        return sum(len(batch) for batch, _ in self._pending)

    @property
    def busy(self) -> bool:
        """Whether enough batches are under way; the oldest should be taken first."""
        return len(self._pending) > (0 if self._threads is None else 2 * self._number)

    def take(self, stop: threading.Event, patience: float = 2.0) -> list[Examined]:
        """The oldest batch, once it is done. After `stop` is set no longer than `patience` seconds are waited, and what is not
        done by then is forgotten: nothing is returned, and a later scan finds those files."""
        batch, future = self._pending.popleft()
        heard = self._beats
        while True:
            try:
                return future.result(patience if stop.is_set() else 0.5)
            except NotYetError:
                if self._beats != heard:  # some process gets on
                    heard = self._beats
                    heartbeat.beat()
                if stop.is_set():
                    self.forget()
                    return []
            except (EOFError, OSError) as error:
                _log.warning("a process that reads files died (%s); what it was reading is read again here", error)
                return examine(batch, self._options)

    def forget(self) -> None:
        """Whatever was given and not taken is not wanted any more."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()

    def close(self) -> None:
        """End the processes, whatever they are doing; they start again when there are many files once more."""
        for process in self._processes:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.kill()  # one that came up meanwhile
            process.wait()
        self._processes.clear()
        self._threads = None
        self._local = threading.local()
        self._pending.clear()
        self._given = 0

    def _elsewhere(self, batch: Sequence[Found]) -> list[Examined]:
        """In the process that belongs to this thread."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._start()
        try:
            connection.send(batch)
            while (examined := connection.recv()) is None:
                self._beats += 1
        except (EOFError, OSError):
            self._local.connection = None
            raise
        if isinstance(examined, Exception):
            raise examined
        found: list[Examined] = examined
        return found

    def _start(self) -> Connection:
        """A process of the same interpreter that runs `serve`: unlike multiprocessing's, it does not run the main module again."""
        compiled.choose_cache()
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-c", f"from dedup.ingest.workers import serve; serve({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)},
            )
        self._processes.append(process)
        connection = Connection(ours.detach())
        connection.send(self._options)
        return connection


def serve(descriptor: int) -> None:
    """Examine what comes through a socket until its other end is closed, or gone: first the options, then batches. While it works a
    None goes out now and then as a sign of life, before the answer."""
    connection = Connection(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    ignore_lease_breaks()
    collect_rarely()
    compiled.worth(compiled.ENOUGH)
    last = time.monotonic()

    def answer() -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT:
            last = time.monotonic()
            connection.send(None)

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt), heartbeat.heard_by(answer):
        options = connection.recv()
        while True:
            batch = connection.recv()
            try:
                examined: list[Examined] | Exception = examine(batch, options)
            except Exception as error:  # it is raised again where the batch was given
                examined = error
            connection.send(examined)
