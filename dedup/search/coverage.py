"""How much of the database the search index covers, and whether it belongs to the database's history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from dedup import store
from dedup.search import index_file, index_tables
from dedup.search.index_tables import IndexState
from dedup.search.tokenizer import RECIPE
from dedup.store import Database

TAIL_REVISIONS = 32
"""Number of the last indexed revisions that are compared with the database to find out whether the index belongs to its history."""
_MAX_LOG_ENTRIES = 10 * TAIL_REVISIONS


@dataclass(frozen=True, slots=True)
class IndexCoverage:
    """Number of revisions that search can find, and number of revisions in the database."""

    indexed: int
    total: int


class IndexUnreadableError(Exception):
    """SQLite cannot read the index. Errors of the database itself are raised as they are."""


@contextmanager
def index_errors() -> Iterator[None]:
    """Within the block, raise errors of SQLite as IndexUnreadableError. Only the index may be read in it."""
    try:
        yield
    except sqlite3.Error as error:
        raise IndexUnreadableError(str(error)) from error


def open_index(database: Database) -> sqlite3.Connection:
    """Open the index of a database for reading. Raises OSError and IndexUnreadableError."""
    with index_errors():
        return index_file.open_for_reading(database.search_index_path())


def read_current_state(database: Database, index: sqlite3.Connection) -> IndexState | None:
    """The state of an index, or None if it belongs to another database or another version of dedup.

    Raises IndexUnreadableError, and ValueError if the state is malformed.
    """
    with index_errors():
        state = index_tables.read_state(index)
    return state if (state.uuid, state.recipe) == (store.settings.get(database, "uuid"), RECIPE) else None


def index_coverage(database: Database) -> IndexCoverage:
    """The coverage of the index of a database. Without a usable index no revision is covered."""
    with suppress(OSError, ValueError, IndexUnreadableError), closing(open_index(database)) as index:
        if (state := read_current_state(database, index)) is not None:
            return measure_coverage(database, index, state)
    return no_coverage(database)


def no_coverage(database: Database) -> IndexCoverage:
    """The coverage of a missing or unusable index."""
    return IndexCoverage(0, store.statistics.count(database, "revisions"))


def measure_coverage(database: Database, index: sqlite3.Connection, state: IndexState) -> IndexCoverage:
    """The coverage of an open index. An index of another history covers nothing. Raises IndexUnreadableError."""
    with index_errors():
        last_indexed = index_tables.last_indexed(index, TAIL_REVISIONS)
        queued_count = index_tables.count_queued(index)
    if not is_same_history(database, state, last_indexed):
        return no_coverage(database)
    return IndexCoverage(state.indexed, state.indexed + queued_count + store.search.count_revisions_after(database, state.last_revision))


def is_same_history(database: Database, state: IndexState, last_indexed: Mapping[int, bytes]) -> bool:
    """Return whether an index belongs to the history of the database as it is read.

    `last_indexed`: revision → prefix of the state digest, of the last indexed revisions. Each must be in the database as indexed, or be
    in `revision_log` as altered since.
    """
    log_entries = store.search.log_entries_after(database, state.altered_position, _MAX_LOG_ENTRIES)
    if log_entries is None:
        return False
    if len(log_entries) == _MAX_LOG_ENTRIES:
        return True  # too many alterations to compare; the id is in the log
    altered_revisions = {entry.revision_id for entry in log_entries}
    stored_digests = store.search.state_digests_of(database, last_indexed)
    return all(stored_digests.get(revision) == digest or revision in altered_revisions for revision, digest in last_indexed.items())
