"""Run `extract_files` in worker processes. Batches of paths are sent to them, and extractions come back."""

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

from dedup.model import FAULT_MESSAGES, Fault
from dedup.pipeline.extract import CrawlFile, Extraction, ExtractOptions, extract_files
from dedup.runtime import heartbeat
from dedup.runtime.process import enable_fault_handler, prepare_for_scanning
from dedup.similarity import jit

MIN_FILES_FOR_PROCESSES = 20_000
"""Files of one scan from which worker processes are started. On fewer files they save less time than they take to start."""
HEARTBEAT_SECONDS = 0.5
"""Minimum seconds between two heartbeats of a process."""
MAX_PROCESSES = 8
"""Most worker processes that the one writer can keep up with."""

MAX_TRIES = 2
"""Attempts to read a file whose process dies, before the file becomes a fault: something else may have ended the process."""

_log = logging.getLogger("dedup")


class _ProcessStartError(Exception):
    """No process could be started."""


class _ProcessDiedError(Exception):
    """A process ended before it sent a result."""


class _Worker(NamedTuple):
    """A worker process and the connection to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


def _format_exit(exit_code: int) -> str:
    """Describe how a process ended: `signal 9 (Killed)` or `exit code 1`."""
    return f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code} ({signal.strsignal(-exit_code) or 'unknown'})"


class _LogCollector(QueueHandler):
    """Collects log records, ready to be pickled, for the process that writes the log."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._records = records

    def enqueue(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


class WorkerPool:
    """Extracts batches and returns them in the order of submission. Starts worker processes, at most `max_processes`, once there are
    MIN_FILES_FOR_PROCESSES files. The results do not depend on the number of processes or their timing."""

    def __init__(self, options: ExtractOptions, max_processes: int) -> None:
        self._options, self._max_processes = options, min(max_processes, MAX_PROCESSES)
        self._submitted_files = 0
        self._heartbeats = 0
        self._pending: deque[tuple[Sequence[CrawlFile], Future[list[Extraction]]]] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self._thread_local = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def submit(self, batch: Sequence[CrawlFile]) -> None:
        """Submit a batch. Without worker processes it is extracted before this returns."""
        self._submitted_files += len(batch)
        if self._threads is None and self._max_processes > 1 and self._submitted_files > MIN_FILES_FOR_PROCESSES:
            self._threads = ThreadPoolExecutor(self._max_processes, "extract")
        if self._threads is None:
            future: Future[list[Extraction]] = Future()
            self._pending.append((batch, future))
            try:
                future.set_result(extract_files(batch, self._options))
            except BaseException:
                self._pending.pop()
                raise
        else:
            self._pending.append((batch, self._threads.submit(self._extract_in_process, batch)))

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def oldest_batch(self) -> tuple[CrawlFile, int]:
        """Return (first file, number of files) of the batch that `take_oldest` takes next."""
        batch, _ = self._pending[0]
        return batch[0], len(batch)

    @property
    def pending_files(self) -> int:
        """Return the number of files in submitted batches that were not taken yet."""
        return sum(len(batch) for batch, _ in self._pending)

    @property
    def is_full(self) -> bool:
        """Return whether the oldest batch should be taken before another one is submitted."""
        return len(self._pending) > (0 if self._threads is None else 2 * self._max_processes)

    def take_oldest(self, stop: threading.Event, patience_seconds: float = 2.0) -> list[Extraction]:
        """Wait for the oldest batch and return its extractions.

        Once `stop` is set, wait at most `patience_seconds` more; then discard all batches and return nothing. A later scan finds the files.
        """
        batch, future = self._pending[0]
        try:
            return self._wait_for(batch, future, stop, patience_seconds)
        finally:
            if self._pending:
                self._pending.popleft()

    def _wait_for(
        self, batch: Sequence[CrawlFile], future: Future[list[Extraction]], stop: threading.Event, patience_seconds: float
    ) -> list[Extraction]:
        last_heartbeats = self._heartbeats
        while True:
            try:
                return future.result(patience_seconds if stop.is_set() else 0.5)
            except NotYetError:
                if self._heartbeats != last_heartbeats:  # a process makes progress
                    last_heartbeats = self._heartbeats
                    heartbeat.beat()
                if stop.is_set():
                    self.discard_pending()
                    return []
            except _ProcessStartError as error:
                _log.warning("no worker process can be started (%s); files are read in this process", error)
                return extract_files(batch, self._options)

    def discard_pending(self) -> None:
        """Discard all batches that were submitted and not taken."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()

    def close(self) -> None:
        """Kill the worker processes. The pool can be used again afterwards."""
        self._closed = True
        for process in self._processes:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.kill()  # it may have started in the meantime
            process.wait()
        self._processes.clear()
        self._threads = None
        self._thread_local = threading.local()
        self._pending.clear()
        self._submitted_files = 0
        self._closed = False

    def _extract_in_process(self, batch: Sequence[CrawlFile]) -> list[Extraction]:
        """Extract a batch in this thread's worker process.

        If the process dies, the batch is sent to new processes in halves until the file that ends them is alone; it becomes a fault.
        """
        extractions: list[Extraction] = []
        pending = [(batch, MAX_TRIES)]
        while pending:
            part_files, tries_left = pending.pop()
            try:
                extractions += self._request_extraction(part_files)
            except _ProcessDiedError as error:
                if self._closed:
                    raise
                _log.warning("a worker process died (%s); its files are read again", error)
                if len(part_files) > 1:
                    middle = len(part_files) // 2
                    pending += [(part_files[middle:], MAX_TRIES), (part_files[:middle], MAX_TRIES)]
                elif tries_left > 1:
                    pending.append((part_files, tries_left - 1))
                else:
                    fault = Fault("internal", f"{FAULT_MESSAGES['internal']}: every process that reads it dies ({error})")
                    extractions.append(Extraction(part_files[0], "fault", faults=(fault,)))
        return extractions

    def _request_extraction(self, batch: Sequence[CrawlFile]) -> list[Extraction]:
        """Have this thread's process extract a batch. Raises _ProcessDiedError, _ProcessStartError, and OSError that the process raised."""
        worker: _Worker | None = getattr(self._thread_local, "worker", None)
        if worker is None:
            try:
                worker = self._thread_local.worker = self._start_process()
            except (OSError, MemoryError) as error:
                raise _ProcessStartError(str(error) or "out of memory") from error
        try:
            worker.connection.send(batch)
            while (response := worker.connection.recv()) is None:
                self._heartbeats += 1
            result: list[Extraction] | OSError
            result, records = response
        except (EOFError, OSError, MemoryError, pickle.UnpicklingError) as error:
            self._thread_local.worker = None
            worker.connection.close()
            worker.process.kill()
            raise _ProcessDiedError(_format_exit(worker.process.wait())) from error
        for record in records:
            _log.handle(record)
        if isinstance(result, OSError):
            raise result
        return result

    def _start_process(self) -> _Worker:
        """Start a process of the same interpreter that runs `serve`. Unlike multiprocessing's, it does not import the main module."""
        jit.choose_cache_folder()
        parent_socket, child_socket = socket.socketpair()
        with parent_socket, child_socket:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-c", f"from dedup.pipeline.workers import serve; serve({child_socket.fileno()})"],
                stdin=subprocess.DEVNULL,
                pass_fds=[child_socket.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)},
            )
            self._processes.append(process)
            connection = Connection(parent_socket.detach())
        with contextlib.suppress(OSError):  # it has died, which the next request finds out
            connection.send(self._options)
        return _Worker(process, connection)


def serve(descriptor: int) -> None:
    """Run a worker process: receive the options and then batches through a socket, and send back the extractions of each.

    While a batch is extracted, None is sent from time to time as a heartbeat. Returns when the other end of the socket is closed.
    """
    connection = Connection(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole process group; the parent decides
    enable_fault_handler()
    prepare_for_scanning()
    jit.count_work(jit.MIN_WORK)
    records: list[logging.LogRecord] = []
    _log.addHandler(_LogCollector(records))
    _log.propagate = False
    last_heartbeat = time.monotonic()

    def send_heartbeat() -> None:
        nonlocal last_heartbeat
        if time.monotonic() - last_heartbeat >= HEARTBEAT_SECONDS:
            last_heartbeat = time.monotonic()
            connection.send(None)

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt), heartbeat.listen_to_beats(send_heartbeat):
        options = connection.recv()
        while True:
            batch = connection.recv()
            try:
                result: list[Extraction] | OSError = extract_files(batch, options)
            except OSError as error:  # it is raised in the process that sent the batch
                result = error
            connection.send((result, records))
            records.clear()
