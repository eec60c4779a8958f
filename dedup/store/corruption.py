"""Distinguish a damaged database from other failures: by the error of SQLite, or, if that does not show it, by a check of the file."""

from __future__ import annotations

import sqlite3

from dedup.errors import DatabaseDamagedError, DatabaseFailedError, DatabaseUnreadableError, DedupError
from dedup.files import disk_errors

SUSPICIOUS_ERRORS = (AssertionError, AttributeError, LookupError, TypeError, ValueError, sqlite3.IntegrityError)
"""Errors that missing rows may cause: either a bug of the program or damage."""

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Errors that SQLite raises. For a damaged schema its message may not be UTF-8; Python then raises UnicodeDecodeError instead."""

_ErrorClass = type[DatabaseFailedError] | type[DatabaseUnreadableError]
_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_UTF8_PREFIX = "Could not decode to UTF-8"


def to_dedup_error(error_class: _ErrorClass, path: str, error: sqlite3.Error | UnicodeDecodeError) -> DedupError:
    """Return the error for an SQLite error: DatabaseDamagedError if it reports damage and the disk is not the cause, else `error_class`."""
    if isinstance(error, UnicodeDecodeError):
        return DatabaseDamagedError(path=path, problem="its schema cannot be read")
    message, explanation = damage_message(error), disk_errors.explain_error(error, path)
    if message and explanation == str(error):
        return DatabaseDamagedError(path=path, problem=message)
    return error_class(path=path, problem=explanation)


def damage_message(error: sqlite3.Error) -> str | None:
    """Return the message of an SQLite error that reports damage to the database file, None for another error."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_CODES:
        return str(error)
    if str(error).startswith(_NOT_UTF8_PREFIX):
        return "a stored text is not UTF-8"
    return None


_VALUE_ERROR_CODES = (
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_MISUSE,
)
"""Error codes about the values of a statement."""


def is_database_error(error: sqlite3.Error) -> bool:
    """Return whether an SQLite error is about the database, its file or its schema, independent of the values of the statement.

    The other errors are about values that SQLite rejects, or about rows that contradict each other.
    """
    if isinstance(error, sqlite3.ProgrammingError):
        return str(error).startswith("Cannot operate")  # on a closed database
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module, not by SQLite
        return damage_message(error) is not None or isinstance(error, sqlite3.OperationalError)
    if code & 0xFF == sqlite3.SQLITE_ERROR:  # the statement ran before: its values, unless the schema changed
        return str(error).startswith(("no such", "table ", "near ", "incomplete"))
    return code & 0xFF not in _VALUE_ERROR_CODES


def require_sound(connection: sqlite3.Connection, path: str, error: Exception) -> None:
    """Raise DatabaseDamagedError, caused by `error`, if the database is damaged. Reads the whole file."""
    try:
        check_result = connection.execute("PRAGMA quick_check(1)").fetchone()
        if check_result != ("ok",):
            raise DatabaseDamagedError(path=path, problem=" ".join(str(check_result[0]).split())) from error
        if broken_reference := connection.execute("PRAGMA foreign_key_check").fetchone():
            raise DatabaseDamagedError(
                path=path, problem=f"a row of {broken_reference[0]} refers to a missing row of {broken_reference[2]}"
            ) from error
    except SQLITE_ERRORS as problem:
        raise to_dedup_error(DatabaseUnreadableError, path, problem) from error
