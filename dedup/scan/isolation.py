"""Tells an error that one file causes from trouble of the database or the system, and makes a fault of it.

Whatever the program raises while it works on a batch, and what neither SQLite nor the system is to blame for, belongs to one file of
the batch: the batch is halved until that file is alone. The file becomes a fault of the kind `internal`; all others are recorded.
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
"""Bytes that must still be available after one file did not fit in memory. If they are not, memory is short for everything."""
_MAX_MESSAGE_CHARACTERS = 300
"""Characters of a message that are kept."""
_MAX_LOGGED_ERRORS = 1000
"""Places that are remembered for logging their traceback once."""

_T = TypeVar("_T")
_R = TypeVar("_R")
_log = logging.getLogger("dedup")
_logged_errors: set[tuple[str, str]] = set()


def is_file_error(error: Exception) -> bool:
    """Whether an error may belong to one file of a batch: it is no error that the program raises on purpose, and no trouble of the
    database (SQLite) or the system (OSError)."""
    if isinstance(error, sqlite3.Error):
        return not is_database_error(error)
    return not isinstance(error, DedupError | OSError)


def internal_fault(error: Exception, activity: str) -> Fault:
    """The fault of a file that the program failed on while it did `activity` ("reading", "recording"). The traceback is logged once for
    each type of error and place. Raises OSError (ENOMEM) where memory is short for everything: that is no fault of the file."""
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # its frames hold what did not fit
        require_memory(error)
        return Fault("internal", f"{activity} it takes more memory than there is (ulimit -v, MemoryMax)")
    log_error_once(error, f"{activity} a file")
    return Fault("internal", f"{FAULT_MESSAGES['internal']}: {summarise_error(error)}")


def require_memory(error: MemoryError) -> None:
    """Raise OSError (ENOMEM) if not even a small block of memory is available."""
    try:
        bytearray(PROBE_BYTES)
    except MemoryError:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error


def summarise_error(error: BaseException) -> str:
    """An error in one line: its type, what it says, and where in the program it was raised."""
    message = sanitise.to_printable(" ".join(str(error).split()))[:_MAX_MESSAGE_CHARACTERS]
    location = error_location(error)
    return f"{type(error).__name__}{f': {message}' if message else ''}{f' ({location})' if location else ''}"


def error_location(error: BaseException) -> str:
    """Module and line of the innermost frame of this package; empty without one."""
    location = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == "dedup":
            location = f"{module}:{line}"
    return location


def has_passed_through(error: BaseException, modules: Sequence[str]) -> bool:
    """Whether an error was raised within one of these modules or below it."""
    names = (str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(name == m or name.startswith(m + ".") for name in names for m in modules)


def log_error_once(error: BaseException, activity: str) -> None:
    """Log an error with its traceback, unless one of its type at its place was logged before by this process."""
    key = type(error).__name__, error_location(error)
    if key not in _logged_errors and len(_logged_errors) < _MAX_LOGGED_ERRORS:
        _logged_errors.add(key)
        _log.error("the program failed while %s: %s", activity, summarise_error(error), exc_info=error)


def isolate_failures(items: Sequence[_T], work: Callable[[Sequence[_T]], _R], on_failure: Callable[[_T, Exception], None]) -> list[_R]:
    """Results of `work` on the items in order, on all at once if that succeeds, else on halves, down to single items. An item that
    fails alone with an error that may be a file's goes to `on_failure`; other errors are raised. `work` must leave no trace if it fails."""
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
