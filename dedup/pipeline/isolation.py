"""Isolate the one file of a batch that makes the program fail.

An error that is neither SQLite's, nor the system's, nor raised by the program on purpose belongs to one file: the batch is halved until
that file is alone. The file becomes a fault of the kind `internal`; all others are recorded.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from dedup.errors import DedupError
from dedup.model import FAULT_MESSAGES, Fault
from dedup.store.corruption import is_database_error
from dedup.text import sanitise

PROBE_BYTES = 32 << 20
"""Bytes that must be available after one file did not fit in memory. If they are not, memory is short for everything."""
_MAX_MESSAGE_CHARACTERS = 300
"""Length to which the message of an error is truncated."""
_MAX_LOGGED_ERRORS = 1000
"""Pairs of error type and place whose traceback is logged, each once."""

_T = TypeVar("_T")
_R = TypeVar("_R")
_log = logging.getLogger("dedup")
_logged_errors: set[tuple[str, str]] = set()


def is_file_error(error: Exception) -> bool:
    """Return whether an error may belong to one file of a batch: it is neither a DedupError nor an error of SQLite or the system."""
    if isinstance(error, sqlite3.Error):
        return not is_database_error(error)
    return not isinstance(error, DedupError | OSError)


def internal_fault(error: Exception, activity: str) -> Fault:
    """Return the fault of a file that the program failed on during `activity` ("reading", "recording"), and log its traceback once.

    Raises OSError (ENOMEM) if memory is short for everything: that is not a fault of the file.
    """
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # its frames hold what did not fit
        require_memory(error)
        return Fault("internal", f"{activity} it takes more memory than there is (ulimit -v, MemoryMax)")
    log_error_once(error, f"{activity} a file")
    return Fault("internal", f"{FAULT_MESSAGES['internal']}: {summarise_error(error)}")


def require_memory(error: MemoryError) -> None:
    """Raise OSError (ENOMEM) if not even PROBE_BYTES of memory are available."""
    try:
        bytearray(PROBE_BYTES)
    except MemoryError:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error


def summarise_error(error: BaseException) -> str:
    """Return an error in one line: its type, message and place in the program."""
    message = sanitise.to_printable(" ".join(str(error).split()))[:_MAX_MESSAGE_CHARACTERS]
    location = error_location(error)
    return f"{type(error).__name__}{f': {message}' if message else ''}{f' ({location})' if location else ''}"


def error_location(error: BaseException) -> str:
    """Return `module:line` of the innermost frame in this package; empty if there is none."""
    location = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == "dedup":
            location = f"{module}:{line}"
    return location


def has_passed_through(error: BaseException, modules: Sequence[str]) -> bool:
    """Return whether an error was raised in one of these modules or in code that it called."""
    names = (str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(name == m or name.startswith(m + ".") for name in names for m in modules)


def log_error_once(error: BaseException, activity: str) -> None:
    """Log an error with its traceback, unless this process has logged an error of the same type and place."""
    key = type(error).__name__, error_location(error)
    if key not in _logged_errors and len(_logged_errors) < _MAX_LOGGED_ERRORS:
        _logged_errors.add(key)
        _log.error("the program failed while %s: %s", activity, summarise_error(error), exc_info=error)


def isolate_failures(items: Sequence[_T], work: Callable[[Sequence[_T]], _R], on_failure: Callable[[_T, Exception], None]) -> list[_R]:
    """Call `work` on all items at once; if that fails, on halves, down to single items. Returns the results in order.

    A single item whose error passes `is_file_error` goes to `on_failure`; other errors are raised. `work` must have no effect if it fails.
    """
    results: list[_R] = []
    pending = [items] if items else []
    while pending:
        batch = pending.pop()
        try:
            results.append(work(batch))
        except Exception as error:
            if not is_file_error(error):
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                pending += [batch[middle:], batch[:middle]]
            else:
                on_failure(batch[0], error)
    return results
