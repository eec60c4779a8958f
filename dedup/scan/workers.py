"""`examine` in processes of its own, where there are processors for them. Paths travel out, what was read travels back."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
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
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from typing import NamedTuple

from dedup import heartbeat
from dedup.model import FAULTS, Fault
from dedup.process import show_fatal_signals
from dedup.scan.extract import Examined, Found, Options, collect_rarely, examine, ignore_lease_breaks
from dedup.similarity import jit

WORTHWHILE = 20_000
"""Files of one pass from which on processes are started: what they save on fewer does not pay for their coming up."""
BEAT = 0.5
"""Seconds between two signs of life of a process, at least."""
MOST = 8
"""Processes that the one writer can keep up with."""

TRIES = 2
"""Processes that may die of one file before it is a fault: something else may have ended one."""

_log = logging.getLogger("dedup")


class _NoProcessError(Exception):
    """No process could be started."""


class _DiedError(Exception):
    """A process ended before it answered."""


class _Worker(NamedTuple):
    """A process and the way to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


def _how_it_ended(code: int) -> str:
    """`signal 9 (Killed)`, `exit code 1`"""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code) or 'unknown'})"


class _Collector(QueueHandler):
    """Keeps log records, ready to be pickled, for the process that writes the log."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._records = records

    def enqueue(self, record: logging.LogRecord) -> None:
        self._records.append(record)


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
        self._closed = False

    def give(self, batch: Sequence[Found]) -> None:
        """A batch to examine."""
        self._given += len(batch)
        if self._threads is None and self._number > 1 and self._given > WORTHWHILE:
            self._threads = ThreadPoolExecutor(self._number, "examine")
        if self._threads is None:
            done: Future[list[Examined]] = Future()
            self._pending.append((batch, done))
            try:
                done.set_result(examine(batch, self._options))
            except BaseException:
                self._pending.pop()
                raise
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
        batch, future = self._pending[0]
        try:
            return self._taken(batch, future, stop, patience)
        finally:
            if self._pending:
                self._pending.popleft()

    def _taken(self, batch: Sequence[Found], future: Future[list[Examined]], stop: threading.Event, patience: float) -> list[Examined]:
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
            except _NoProcessError as error:
                _log.warning("no process can be started to read files (%s); they are read here", error)
                return examine(batch, self._options)

    def forget(self) -> None:
        """Whatever was given and not taken is not wanted any more."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()

    def close(self) -> None:
        """End the processes, whatever they are doing; they start again when there are many files once more."""
        self._closed = True
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
        self._closed = False

    def _elsewhere(self, batch: Sequence[Found]) -> list[Examined]:
        """In the process that belongs to this thread. If it dies, the batch is given to new processes in halves, until the file that
        ends them is alone; that one is a fault."""
        examined: list[Examined] = []
        waiting = [(batch, TRIES)]
        while waiting:
            part, tries = waiting.pop()
            try:
                examined += self._ask(part)
            except _DiedError as error:
                if self._closed:
                    raise
                _log.warning("a process that reads files died (%s); what it was reading is read again", error)
                if len(part) > 1:
                    middle = len(part) // 2
                    waiting += [(part[middle:], TRIES), (part[:middle], TRIES)]
                elif tries > 1:
                    waiting.append((part, tries - 1))
                else:
                    fault = Fault("internal", f"{FAULTS['internal']}: every process that reads it dies ({error})")
                    examined.append(Examined(part[0], "fault", faults=(fault,)))
        return examined

    def _ask(self, batch: Sequence[Found]) -> list[Examined]:
        """The batch examined by this thread's process. Raises _DiedError, _NoProcessError, and OSError that the process met."""
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is None:
            try:
                worker = self._local.worker = self._start()
            except (OSError, MemoryError) as error:
                raise _NoProcessError(str(error) or "out of memory") from error
        try:
            worker.connection.send(batch)
            while (answered := worker.connection.recv()) is None:
                self._beats += 1
            examined: list[Examined] | OSError
            examined, records = answered
        except (EOFError, OSError, MemoryError, pickle.UnpicklingError) as error:
            self._local.worker = None
            worker.connection.close()
            worker.process.kill()
            raise _DiedError(_how_it_ended(worker.process.wait())) from error
        for record in records:
            _log.handle(record)
        if isinstance(examined, OSError):
            raise examined
        return examined

    def _start(self) -> _Worker:
        """A process of the same interpreter that runs `serve`: unlike multiprocessing's, it does not run the main module again."""
        jit.choose_cache()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-c", f"from dedup.scan.workers import serve; serve({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)},
            )
            self._processes.append(process)
            connection = Connection(ours.detach())
        with contextlib.suppress(OSError):  # it died already, which shows when it is asked
            connection.send(self._options)
        return _Worker(process, connection)


def serve(descriptor: int) -> None:
    """Examine what comes through a socket until its other end is closed, or gone: first the options, then batches. While it works a
    None goes out now and then as a sign of life, before the answer."""
    connection = Connection(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    show_fatal_signals()
    ignore_lease_breaks()
    collect_rarely()
    jit.worth(jit.ENOUGH)
    records: list[logging.LogRecord] = []
    _log.addHandler(_Collector(records))
    _log.propagate = False
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
                examined: list[Examined] | OSError = examine(batch, options)
            except OSError as error:  # it is raised again where the batch was given
                examined = error
            connection.send((examined, records))
            records.clear()
