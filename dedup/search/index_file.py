"""The file that the search index lives in: a SQLite database of its own beside the database, so that neither waits for the other.

It holds words and which revisions they are in, and no text. It is derived: whatever is wrong with it, it is thrown away and made again.
"""

from __future__ import annotations

import os
import sqlite3
import stat as modes
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from dedup.files import secure
from dedup.search.tokenizer import RECIPE
from dedup.text.sanitise import to_printable_path

FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""What belongs to it, by the ends of the names."""

_DDL = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL)",
    "CREATE TABLE indexed_revisions (revision INTEGER PRIMARY KEY, state BLOB NOT NULL, whole INTEGER NOT NULL)",
    "CREATE TABLE reindex_queue (revision INTEGER PRIMARY KEY)",
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, detail = none, tokenize = 'ascii')",
    "INSERT INTO words (words, rank) VALUES ('automerge', 8)",
    "INSERT INTO words (words, rank) VALUES ('crisismerge', 64)",  # little by little: nobody is to wait for a large merge
)


@dataclass(frozen=True, slots=True)
class IndexState:
    """What an index holds: all revisions of a database (`uuid`) up to key `last_revision`, by a `recipe`, `indexed` of them there still;
    what was altered is looked at up to the place `altered_position`, as of the commit `token`."""

    uuid: str
    recipe: str
    last_revision: int
    indexed: int
    altered_position: int
    token: bytes


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Whether this SQLite has what full-text search is made of (FTS5)."""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'").fetchone()[0])
    finally:
        connection.close()


def remove(path: str) -> None:
    """Throw an index away, with what belongs to it. Raises OSError for what is no file and cannot be removed as one."""
    for suffix in reversed(FILE_SUFFIXES):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def has_only_own_files(path: str) -> bool:
    """Whether nothing lies in the places of the index and of what belongs to it that somebody else may have put there."""
    for suffix in FILE_SUFFIXES:
        with suppress(FileNotFoundError):
            file_stat = os.lstat(path + suffix)
            if not modes.S_ISREG(file_stat.st_mode) or file_stat.st_nlink > 1:
                return False
    return True


def create(path: str, uuid: str) -> sqlite3.Connection:
    """An empty index in place of whatever is at `path`. Raises OSError and sqlite3.Error."""
    remove(path)
    os.close(secure.open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    connection = _connect_for_writing(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _DDL:
            connection.execute(statement)
        write_state(connection, IndexState(uuid, RECIPE, 0, 0, 0, b""))
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_writing(path: str) -> sqlite3.Connection:
    """The index that is at `path`. Raises OSError and sqlite3.Error."""
    os.close(secure.open_private(path, os.O_RDWR))
    return _connect_for_writing(path)


def open_for_reading(path: str) -> sqlite3.Connection:
    """The same for asking alone, as of this moment; where SQLite's files beside it cannot be made, as an unchanging file. Raises OSError
    and sqlite3.Error."""
    os.close(secure.open_private(path, os.O_RDONLY))
    if not has_only_own_files(path):
        raise OSError(0, "a link lies beside it")
    uri = "file:" + quote(os.fsencode(os.path.abspath(path)))
    for mode in ("?mode=ro", "?immutable=1"):
        connection = sqlite3.connect(uri + mode, uri=True, isolation_level=None, timeout=2, check_same_thread=False)
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if mode != "?mode=ro" or (os.path.exists(path + "-wal") and os.path.getsize(path + "-wal")):
                raise
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        except sqlite3.Error:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError


def _connect_for_writing(path: str) -> sqlite3.Connection:
    if not has_only_own_files(path):
        raise OSError(0, "a link lies beside it")
    connection = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # what a power cut takes is entered again
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA journal_size_limit=16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def read_state(connection: sqlite3.Connection) -> IndexState:
    """What an index says that it holds. Raises sqlite3.Error and ValueError for what is none."""
    values = dict(connection.execute("SELECT key, value FROM meta"))
    try:
        state = IndexState(*(values[name] for name in IndexState.__slots__))
    except KeyError as error:
        raise ValueError(f"it does not tell {error}") from None
    kinds = (str, str, int, int, int, bytes)
    if not all(isinstance(values[name], kind) for name, kind in zip(IndexState.__slots__, kinds, strict=True)):
        raise ValueError("what it tells of itself is damaged")
    return state


def write_state(connection: sqlite3.Connection, state: IndexState) -> None:
    """Note what is held now, within a transaction."""
    values = ((name, getattr(state, name)) for name in IndexState.__slots__)
    connection.executemany("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", values)


def add_revisions(connection: sqlite3.Connection, rows: Iterable[tuple[int, str, bytes, bool]]) -> None:
    """(revision, what it is found by, digest of its state, whether that is with its body), within a transaction. What a revision of
    that key was found by before goes on finding it; who finds it looks at the row itself."""
    rows = list(rows)
    connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", ((r[0], r[1]) for r in rows))
    connection.executemany("INSERT OR REPLACE INTO indexed_revisions VALUES (?, ?, ?)", ((r[0], r[2], r[3]) for r in rows))


def remove_revisions(connection: sqlite3.Connection, revisions: Iterable[int]) -> None:
    """These revisions are not there any more; what they were found by stays, and leads to nothing."""
    connection.executemany("DELETE FROM indexed_revisions WHERE revision = ?", ((r,) for r in revisions))


def last_indexed(connection: sqlite3.Connection, limit: int) -> dict[int, bytes]:
    """(revision, digest of its state) of the last that are held."""
    return dict(connection.execute("SELECT revision, state FROM indexed_revisions ORDER BY revision DESC LIMIT ?", (limit,)))


def indexed_revisions(connection: sqlite3.Connection) -> dict[int, bytes]:
    """The same of all."""
    return dict(connection.execute("SELECT revision, state FROM indexed_revisions"))


def pending_revisions(connection: sqlite3.Connection, limit: int) -> list[int]:
    """The next revisions that are to be entered again."""
    return [r[0] for r in connection.execute("SELECT revision FROM reindex_queue ORDER BY revision LIMIT ?", (limit,))]


def mark_differences(connection: sqlite3.Connection, revisions: Iterable[tuple[int, bytes, bool]]) -> None:
    """Hold what is held against (revision, digest of its state, whether it has its body) of all that there are, within a transaction:
    those that are others are due, those that went are forgotten."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS stored_revisions (revision INTEGER PRIMARY KEY, state BLOB, whole INTEGER)")
    connection.execute("DELETE FROM stored_revisions")
    connection.executemany("INSERT INTO stored_revisions VALUES (?, ?, ?)", revisions)
    connection.execute(
        "INSERT OR IGNORE INTO reindex_queue SELECT t.revision FROM stored_revisions t"
        " LEFT JOIN indexed_revisions h ON h.revision = t.revision"
        " WHERE t.revision <= (SELECT value FROM meta WHERE key = 'last_revision') AND (h.state IS NOT t.state OR h.whole < t.whole)"
    )
    connection.execute(
        "DELETE FROM indexed_revisions WHERE revision IN (SELECT revision FROM reindex_queue)"
        " OR revision NOT IN (SELECT revision FROM stored_revisions)"
    )
    connection.execute("DELETE FROM reindex_queue WHERE revision NOT IN (SELECT revision FROM stored_revisions)")
    connection.execute("DROP TABLE stored_revisions")


def printable_index_path(path: str) -> str:
    """Its path for people."""
    return to_printable_path(os.fsencode(path))
