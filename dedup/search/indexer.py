"""Fills and updates the search index, as the one writer of its database."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from dedup import store
from dedup.errors import SearchIndexError
from dedup.files.descriptors import is_exhausted
from dedup.model import NO_COMMIT
from dedup.runtime.heartbeat import with_beats
from dedup.search import index_file, index_tables
from dedup.search.coverage import TAIL_REVISIONS, is_same_history
from dedup.search.documents import document_words
from dedup.search.index_tables import IndexedDocument, IndexState, StoredState
from dedup.search.tokenizer import RECIPE
from dedup.store import Database
from dedup.store.rows import SearchDocument
from dedup.store.search import DIGEST_PREFIX_BYTES, LogEntry

MAX_STEP_REVISIONS = 512
"""Revisions that are indexed in one transaction, at most."""
MAX_STEP_CHARACTERS = 4_000_000
"""Characters of bodies after which a step takes no further revision."""
RETRY_SECONDS = 60.0
"""Seconds after which an index that could not be written is tried again."""

_TRANSIENT_ERRORS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
"""Result codes of SQLite whose cause is not the content of the file."""
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """Number of revisions that were indexed, and number of those that remain. With a `problem`, which says why the update ended, the
    remaining number is unknown and 0."""

    indexed: int
    remaining: int
    problem: str = ""


class _IndexUnusableError(Exception):
    """The index cannot be used. `is_permanent`: it must be rebuilt."""

    def __init__(self, problem: object, *, is_permanent: bool) -> None:
        super().__init__(str(problem))
        self.is_permanent = is_permanent


class SearchIndexer:
    """Updates the index of a database, step by step. Only the one writer of the database may use it.

    Errors of the index are logged and never raised. Errors of the database are raised.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._path = database.search_index_path()
        self._index: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._is_verified = False  # the index belongs to the history of the database
        self._seconds_per_revision = 0.001  # moving average
        self._retry_at = 0.0
        self._problem = ""

    def update(
        self, max_seconds: float = float("inf"), *,
        should_stop: Callable[[], bool] = lambda: False, progress: Callable[[int], None] = lambda _: None,
    ) -> IndexProgress:  # fmt: skip
        """Index what is not indexed yet, for about `max_seconds`. Each step is one transaction of the index.

        `should_stop` is called before each step. `progress` gets the number of revisions of each step.
        """
        started = time.monotonic()
        if started < self._retry_at or not self._is_available():
            return IndexProgress(0, 0, self._problem)
        indexed = 0
        for _ in range(2):
            try:
                for count in self._steps(started + max_seconds, should_stop):
                    indexed += count
                    progress(count)
                return IndexProgress(indexed, self._count_remaining())
            except _IndexUnusableError as error:
                self.close()
                if not error.is_permanent:
                    self._postpone(error)
                if not error.is_permanent or not self._try_remove():
                    break
                _log.info("rebuilding the search index: %s", error)
            except MemoryError:
                self.close()
                self._postpone("out of memory")
                break
        else:
            self._postpone("it was damaged again after it was rebuilt")
        return IndexProgress(indexed, 0, self._problem)

    def restart(self) -> None:
        """Delete the index, so that the next update indexes everything."""
        self.close()
        self._retry_at = 0.0
        self._try_remove()

    def close(self) -> None:
        """Close the file of the index. The next update opens it again."""
        if self._index is not None:
            with suppress(sqlite3.Error):
                self._index.close()
        self._index = None

    def _is_available(self) -> bool:
        if index_file.is_available():
            return True
        self._postpone(index_file.NOT_AVAILABLE)
        return False

    def _postpone(self, problem: object) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._problem:
            self._problem = str(problem)
            _log.warning(
                "search does not find new texts: the index %s cannot be written (%s)", index_file.printable_index_path(self._path), problem
            )

    def _try_remove(self) -> bool:
        try:
            index_file.remove(self._path)
        except OSError as error:
            self._postpone(error.strerror or error)
            return False
        return True

    def _steps(self, deadline: float, should_stop: Callable[[], bool]) -> Iterator[int]:
        """Index in steps until nothing remains, `deadline` or `should_stop`. Yields the number of revisions of each step."""
        with self._index_errors():
            self._open()
        if not self._is_verified:
            self._verify_history()
        while not should_stop():
            remaining_seconds = deadline - time.monotonic()
            limit = max(1, int(min(MAX_STEP_REVISIONS, remaining_seconds / self._seconds_per_revision)))
            if remaining_seconds <= 0:
                return
            started = time.monotonic()
            count = self._step(limit)
            if count is None:
                self._problem = ""
                return
            if count:
                self._seconds_per_revision = 0.5 * self._seconds_per_revision + 0.5 * (time.monotonic() - started) / count
            yield count

    def _open(self) -> None:
        """Open the index, or create it. An index that is open stays open unless another file has taken its place."""
        uuid = store.settings.get(self._database, "uuid") or ""
        if self._index is not None and self._inode == _inode(self._path):
            return
        self.close()
        try:
            self._index = index_file.open_for_writing(self._path)
            state = index_tables.read_state(self._index)
            if (state.uuid, state.recipe) != (uuid, RECIPE):
                raise ValueError("it belongs to another database" if state.uuid != uuid else "another version of dedup made it")
        except FileNotFoundError:
            self._index = index_file.create(self._path, uuid)
        except OSError as error:
            raise _IndexUnusableError(error.strerror or error, is_permanent=not is_exhausted(error)) from error
        self._inode = _inode(self._path)
        self._is_verified = False

    def _verify_history(self) -> None:
        """Make sure that the index belongs to the history of the database; otherwise compare all of it with the database."""
        assert self._index is not None
        with self._index_errors():
            state, last_indexed = index_tables.read_state(self._index), index_tables.last_indexed(self._index, TAIL_REVISIONS)
        is_known = state.token in (b"", NO_COMMIT) or store.batches.last_text_of_token(self._database, state.token) is not None
        if last_indexed and not (is_known and is_same_history(self._database, state, last_indexed)):
            self._compare_all(state)
        self._is_verified = True

    def _compare_all(self, state: IndexState) -> None:
        """Compare the index with all stored revisions, without reading bodies, and queue those that differ."""
        last_log_id = store.search.last_log_id(self._database)
        token, _ = store.batches.latest(self._database)
        pruned = store.search.pruned_revisions(self._database)
        database_errors: list[sqlite3.Error] = []

        def stored_states() -> Iterator[StoredState]:
            try:
                for revision, digest in store.search.state_digests(self._database):
                    yield StoredState(revision, digest, revision not in pruned)
            except sqlite3.Error as error:  # of the database, not of the index
                database_errors.append(error)
                raise

        try:
            with self._transaction() as index:
                index_tables.queue_differences(index, stored_states())
                last_revision = min(state.last_revision, store.search.last_revision_id(self._database))
                indexed = index_tables.count_indexed(index)
                index_tables.write_state(
                    index, replace(state, altered_position=last_log_id, token=token, last_revision=last_revision, indexed=indexed)
                )
        except _IndexUnusableError:
            if database_errors:
                raise database_errors[0] from None
            raise

    def _step(self, limit: int) -> int | None:
        """Index the next revisions: altered ones, then queued ones, then new ones.

        Returns the number of revisions that were indexed, or None if nothing remains.
        """
        assert self._index is not None
        token, _ = store.batches.latest(self._database)  # before the revisions are read, since later commits may add more
        with self._index_errors():
            state, queued = index_tables.read_state(self._index), index_tables.queued_revisions(self._index, limit)
        log_entries = store.search.log_entries_after(self._database, state.altered_position, limit)
        if log_entries is None:
            self._compare_all(state)
            return 0
        if log_entries:
            return self._index_altered(replace(state, token=token), log_entries)
        if queued:
            return self._index_queued(replace(state, token=token), queued)
        return self._index_new(state, token, limit)

    def _index_altered(self, state: IndexState, log_entries: Sequence[LogEntry]) -> int:
        altered = {entry.revision_id for entry in log_entries}
        last_revision = min(state.last_revision, store.search.last_revision_id(self._database))  # deleted ids may be reused
        rows = store.search.revisions(self._database, {revision for revision in altered if revision <= last_revision})
        return self._replace_revisions(replace(state, altered_position=log_entries[-1].id, last_revision=last_revision), rows, altered)

    def _index_queued(self, state: IndexState, queued: Sequence[int]) -> int:
        rows = store.search.revisions(self._database, queued, MAX_STEP_CHARACTERS)
        is_full = sum(len(r.body or "") for r in rows) >= MAX_STEP_CHARACTERS
        return self._replace_revisions(state, rows, {r for r in queued if not is_full or r <= rows[-1].id})

    def _index_new(self, state: IndexState, token: bytes, limit: int) -> int | None:
        rows = store.search.revisions_after(self._database, state.last_revision, limit, MAX_STEP_CHARACTERS)
        if rows:
            return self._replace_revisions(replace(state, last_revision=rows[-1].id, token=token), rows, set())
        if state.token != token:
            self._replace_revisions(replace(state, token=token), [], set())
        return None

    def _replace_revisions(self, state: IndexState, rows: Sequence[SearchDocument], replaced: set[int]) -> int:
        """In one transaction remove `replaced` revisions, add `rows`, and record `state`. Returns the number of rows."""
        words_of_rows = document_words(rows)
        documents = (
            IndexedDocument(row.id, words, row.digest[:DIGEST_PREFIX_BYTES], row.body is not None)
            for row, words in with_beats(zip(rows, words_of_rows, strict=True))
        )
        with self._transaction() as index:
            replaced_count = index_tables.count_indexed_among(index, replaced)
            index_tables.remove_revisions(index, replaced)
            index_tables.add_revisions(index, documents)
            index_tables.unqueue(index, replaced)
            index_tables.write_state(index, replace(state, indexed=state.indexed - replaced_count + len(rows)))
        return len(rows)

    def _count_remaining(self) -> int:
        assert self._index is not None
        with self._index_errors():
            state, queued_count = index_tables.read_state(self._index), index_tables.count_queued(self._index)
        return queued_count + store.search.count_revisions_after(self._database, state.last_revision)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._index is not None
        with self._index_errors(), index_tables.transaction(self._index):
            yield self._index

    @contextmanager
    def _index_errors(self) -> Iterator[None]:
        """Within the block, raise errors of the index as _IndexUnusableError."""
        try:
            yield
        except sqlite3.Error as error:
            is_permanent = getattr(error, "sqlite_errorcode", 0) & 0xFF not in _TRANSIENT_ERRORS
            raise _IndexUnusableError(error, is_permanent=is_permanent) from error
        except ValueError as error:
            raise _IndexUnusableError(error, is_permanent=True) from error
        except OSError as error:
            raise _IndexUnusableError(error.strerror or error, is_permanent=False) from error


def rebuild(database: Database, progress: Callable[[int], None] = lambda _: None) -> int:
    """Delete the index and index every revision. Returns their number. Raises SearchIndexError."""
    indexer = SearchIndexer(database)
    indexer.restart()
    try:
        result = indexer.update(progress=progress)
    finally:
        indexer.close()
    if result.problem:
        raise SearchIndexError(path=index_file.printable_index_path(database.search_index_path()), problem=result.problem)
    return result.indexed


def _inode(path: str) -> tuple[int, int] | None:
    try:
        file_stat = os.stat(path)
    except OSError:
        return None
    return file_stat.st_dev, file_stat.st_ino
