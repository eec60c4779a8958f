"""Process-wide switches of the command line, the daemon and the worker processes. No other module sets them.

They cover standard streams, the umask, the encoding of arguments, signals that would end the process, and limits of the interpreter.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import os
import signal
import sys
import warnings
from typing import TextIO

_ASCII_ENCODINGS = ("ascii", "us-ascii", "ansi_x3.4-1968", "646")
_UTF8_VARIABLE = "PYTHONUTF8"
_GC_THRESHOLDS = (50_000, 20, 100)
_MIN_RECURSION_LIMIT = 4096
"""Nested calls that Python must allow: before 3.12 os.walk makes one per level of folders. A path of PATH_MAX bytes has half as many
levels."""


def prepare() -> None:
    """Prepare this process. If its locale supports only ASCII, the program is executed again in UTF-8 mode."""
    _keep_owner_permissions()
    _open_missing_streams()
    _ensure_utf8()
    sys.stdout = _wrap_stream(sys.stdout, _StandardOutput(1, "w", closefd=False))
    sys.stderr = _wrap_stream(sys.stderr, _StandardError(2, "w", closefd=False))
    enable_fault_handler()


def enable_fault_handler() -> None:
    """Write the stack of every thread to standard error when a signal such as SIGBUS or SIGSEGV ends this process.

    SIGBUS occurs when another process truncates a file that is mapped here.
    """
    with contextlib.suppress(OSError, ValueError):
        faulthandler.enable(2)


def prepare_for_scanning() -> None:
    """Prepare a process that reads crawl files in batches. Must be called in the main thread."""
    ignore_lease_breaks()
    gc.set_threshold(*_GC_THRESHOLDS)  # a batch has about 20,000 objects without cycles, all of which are freed at its end


def ignore_lease_breaks() -> None:
    """Ignore SIGIO, so that `files.leases` can probe files. The kernel sends it if a writer opens a file at the moment a lease on it is
    probed; by default it ends the process."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def prepare_for_watching() -> None:
    """Prepare a process that runs watchdog: allow deeply nested folders, and silence its warning about a second unreadable folder."""
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _MIN_RECURSION_LIMIT))


def _keep_owner_permissions() -> None:
    """Ignore the owner bits of the umask, which would deny the program access to its own files."""
    os.umask(os.umask(0o077) & 0o077)


def _open_missing_streams() -> None:
    """Open closed standard streams on /dev/null.

    Otherwise the next file that is opened would get the stream's number, and output for the stream would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            os.dup2(descriptor, number)
            if descriptor != number:
                os.close(descriptor)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for as long as the process runs


def _ensure_utf8() -> None:
    """Decode arguments and file names as UTF-8 in an ASCII locale too, like the configuration. Python decides that when it starts."""
    if sys.getfilesystemencoding().lower() in _ASCII_ENCODINGS and os.environ.get(_UTF8_VARIABLE) != "1" and sys.executable:
        os.environ[_UTF8_VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8=1", *sys.orig_argv[1:]])  # noqa: S606  this program


class _StandardOutput(io.FileIO):
    """Standard output; its errors have `standard output` as their file name."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            raise type(error)(error.errno, error.strerror, "standard output") from None


class _StandardError(io.FileIO):
    """Standard error; errors of writing to it are ignored, so that they do not stop work."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or len(memoryview(data))  # type: ignore[arg-type]
        except OSError:
            return len(memoryview(data))  # type: ignore[arg-type]


def _wrap_stream(original: TextIO, raw_file: io.FileIO) -> TextIO:
    """Return a text stream over `raw_file` with the encoding and buffering of `original`."""
    text_stream = original if isinstance(original, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(raw_file),
        encoding=original.encoding,
        errors="backslashreplace",  # for terminals whose encoding lacks a character
        line_buffering=text_stream is None or text_stream.line_buffering,
        write_through=text_stream is not None and text_stream.write_through,
    )
