"""Telling a damaged database from work that failed: by what SQLite says, or where it says nothing, by looking."""

from __future__ import annotations

import sqlite3

from dedup.errors import DatabaseDamagedError, DatabaseFailedError, DatabaseUnreadableError, DedupError
from dedup.files import disk_errors

SUSPICIOUS_ERRORS = (AssertionError, AttributeError, LookupError, TypeError, ValueError, sqlite3.IntegrityError)
"""What the program meets where rows that must be there are not: a fault of its own, or damage."""

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's errors come as: of a damaged schema it tells in bytes that are no text, which Python then raises in its place."""

_ErrorClass = type[DatabaseFailedError] | type[DatabaseUnreadableError]
_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_UTF8_PREFIX = "Could not decode to UTF-8"


def to_dedup_error(error_class: _ErrorClass, path: str, error: sqlite3.Error | UnicodeDecodeError) -> DedupError:
    """An error of SQLite as one of ours: of this kind, or DatabaseDamagedError where it tells of damage and the disk is not what
    is broken."""
    if isinstance(error, UnicodeDecodeError):
        return DatabaseDamagedError(path=path, problem="its schema cannot be read")
    message, explanation = damage_message(error), disk_errors.explain_error(error, path)
    if message and explanation == str(error):
        return DatabaseDamagedError(path=path, problem=message)
    return error_class(path=path, problem=explanation)


def damage_message(error: sqlite3.Error) -> str | None:
    """What an error of SQLite tells of damage to the database file; None where it tells of something else."""
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
"""What SQLite refuses because of the values of a statement."""


def is_database_error(error: sqlite3.Error) -> bool:
    """Whether an error of SQLite is about the database, its file or its schema, whatever values a statement had. What is left is
    about values that SQLite does not take, or about rows that contradict each other."""
    if isinstance(error, sqlite3.ProgrammingError):
        return str(error).startswith("Cannot operate")  # on what is closed
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module, not by SQLite
        return damage_message(error) is not None or isinstance(error, sqlite3.OperationalError)
    if code & 0xFF == sqlite3.SQLITE_ERROR:  # of a statement that ran before: its values, unless the schema is not what it was
        return str(error).startswith(("no such", "table ", "near ", "incomplete"))
    return code & 0xFF not in _VALUE_ERROR_CODES


def require_sound(connection: sqlite3.Connection, path: str, error: Exception) -> None:
    """Raise DatabaseDamagedError, from what was met, if the database is what is wrong; that reads all of it."""
    try:
        check_result = connection.execute("PRAGMA quick_check(1)").fetchone()
        if check_result != ("ok",):
            raise DatabaseDamagedError(path=path, problem=" ".join(str(check_result[0]).split())) from error
        if broken_reference := connection.execute("PRAGMA foreign_key_check").fetchone():
            raise DatabaseDamagedError(
                path=path, problem=f"a row of {broken_reference[0]} names one of {broken_reference[2]} that is not there"
            ) from error
    except SQLITE_ERRORS as problem:
        raise to_dedup_error(DatabaseUnreadableError, path, problem) from error
