"""The tables of the search index, and all SQL on them.

Functions that write must be called within a `transaction`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

DDL = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL)",
    "CREATE TABLE indexed_revisions (revision INTEGER PRIMARY KEY, state BLOB NOT NULL, whole INTEGER NOT NULL)",
    "CREATE TABLE reindex_queue (revision INTEGER PRIMARY KEY)",
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, detail = none, tokenize = 'ascii')",
    "INSERT INTO words (words, rank) VALUES ('automerge', 8)",
    "INSERT INTO words (words, rank) VALUES ('crisismerge', 64)",  # merge in small steps, so that no write waits for a large merge
)


@dataclass(frozen=True, slots=True)
class IndexState:
    """The table `meta`: what the index holds.

    It holds the revisions of the database `uuid` up to the id `last_revision`, indexed by `recipe`. `indexed` of them still exist.
    Entries of `revision_log` up to the id `altered_position` are applied. `token` is the token of the batch at which it was updated.
    """

    uuid: str
    recipe: str
    last_revision: int
    indexed: int
    altered_position: int
    token: bytes


class IndexedDocument(NamedTuple):
    """A revision as it is written to the index. `state`: a prefix of its state digest; `is_whole`: its body was not pruned."""

    revision: int
    words: str
    state: bytes
    is_whole: bool


class StoredState(NamedTuple):
    """A revision as the database stores it. `state`: a prefix of its state digest; `is_whole`: its body was not pruned."""

    revision: int
    state: bytes
    is_whole: bool


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction of the index, committed at the end of the block and rolled back on errors."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def read_state(connection: sqlite3.Connection) -> IndexState:
    """The state that the index records of itself. Raises sqlite3.Error, and ValueError if the state is incomplete or malformed."""
    values = dict(connection.execute("SELECT key, value FROM meta"))
    try:
        state = IndexState(*(values[name] for name in IndexState.__slots__))
    except KeyError as error:
        raise ValueError(f"its state lacks {error}") from None
    types = (str, str, int, int, int, bytes)
    if not all(isinstance(values[name], type_) for name, type_ in zip(IndexState.__slots__, types, strict=True)):
        raise ValueError("its state is malformed")
    return state


def write_state(connection: sqlite3.Connection, state: IndexState) -> None:
    """Record the state of the index."""
    values = ((name, getattr(state, name)) for name in IndexState.__slots__)
    connection.executemany("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", values)


def add_revisions(connection: sqlite3.Connection, documents: Iterable[IndexedDocument]) -> None:
    """Add revisions to the index. Words of an earlier revision with the same id stay; the comparison with the row sorts them out."""
    rows = list(documents)
    connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", ((d.revision, d.words) for d in rows))
    connection.executemany("INSERT OR REPLACE INTO indexed_revisions VALUES (?, ?, ?)", ((d.revision, d.state, d.is_whole) for d in rows))


def remove_revisions(connection: sqlite3.Connection, revisions: Iterable[int]) -> None:
    """Record that revisions are no longer indexed. Their words stay; the comparison with the row sorts them out."""
    connection.executemany("DELETE FROM indexed_revisions WHERE revision = ?", ((r,) for r in revisions))


def last_indexed(connection: sqlite3.Connection, limit: int) -> dict[int, bytes]:
    """Revision → prefix of its state digest, of the `limit` indexed revisions with the greatest ids."""
    return dict(connection.execute("SELECT revision, state FROM indexed_revisions ORDER BY revision DESC LIMIT ?", (limit,)))


def indexed_revisions(connection: sqlite3.Connection) -> dict[int, bytes]:
    """Revision → prefix of its state digest, of all indexed revisions."""
    return dict(connection.execute("SELECT revision, state FROM indexed_revisions"))


def count_indexed(connection: sqlite3.Connection) -> int:
    """Number of indexed revisions."""
    return int(connection.execute("SELECT count(*) FROM indexed_revisions").fetchone()[0])


def count_indexed_among(connection: sqlite3.Connection, revisions: Collection[int]) -> int:
    """Number of those of `revisions` that are indexed."""
    return sum(1 for r in revisions if connection.execute("SELECT 1 FROM indexed_revisions WHERE revision = ?", (r,)).fetchone())


def queued_revisions(connection: sqlite3.Connection, limit: int) -> list[int]:
    """The first `limit` revisions of the queue of revisions to index again, by id."""
    return [r[0] for r in connection.execute("SELECT revision FROM reindex_queue ORDER BY revision LIMIT ?", (limit,))]


def count_queued(connection: sqlite3.Connection) -> int:
    """Length of the queue of revisions to index again."""
    return int(connection.execute("SELECT count(*) FROM reindex_queue").fetchone()[0])


def unqueue(connection: sqlite3.Connection, revisions: Iterable[int]) -> None:
    """Remove revisions from the queue."""
    connection.executemany("DELETE FROM reindex_queue WHERE revision = ?", ((r,) for r in revisions))


def queue_differences(connection: sqlite3.Connection, stored_states: Iterable[StoredState]) -> None:
    """Compare the index with all revisions of the database: queue those that differ, and forget those that do not exist."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS stored_revisions (revision INTEGER PRIMARY KEY, state BLOB, whole INTEGER)")
    connection.execute("DELETE FROM stored_revisions")
    connection.executemany("INSERT INTO stored_revisions VALUES (?, ?, ?)", stored_states)
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


def matching_revisions(connection: sqlite3.Connection, expression: str, before_revision: int) -> Iterator[int]:
    """Ids smaller than `before_revision` whose words match an FTS5 expression, greatest first."""
    sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? ORDER BY rowid DESC"
    return (revision for (revision,) in connection.execute(sql, (expression, before_revision)))


def is_matching(connection: sqlite3.Connection, expression: str, revision: int) -> bool:
    """Return whether the words of a revision match an FTS5 expression."""
    sql = "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?"
    return connection.execute(sql, (expression, revision)).fetchone() is not None


def find_damage(connection: sqlite3.Connection) -> str | None:
    """The first damage that SQLite finds in the file of the index, or None. Reads all of it. Raises sqlite3.Error."""
    (message,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if message == "ok" else " ".join(str(message).split())
