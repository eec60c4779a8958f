"""Full-text search: which revisions hold what somebody looks for. Derived from the database, in a file of its own beside it.

The index leads to every revision that could be meant, and each is held against its row before it is shown. So nothing has to be taken
out of the index: a revision that went, was pruned, or whose key another one has by now is seen to be none. What is new under an old
key is entered again: `revision_log` in the database names those, and where that does not reach back (an older copy of the database was put
in its place) all that is held is compared.
"""

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
from dedup.heartbeat import beat, with_beats
from dedup.model import NO_COMMIT
from dedup.search import index_file
from dedup.search.check import IndexCheck, check_index
from dedup.search.index_file import IndexState, is_available
from dedup.search.query import parse_query
from dedup.search.searcher import (
    NOT_AVAILABLE,
    TAIL_REVISIONS,
    IndexCoverage,
    SearchHit,
    SearchPage,
    index_coverage,
    is_same_history,
    pieces_to_text,
    search_revisions,
)
from dedup.search.tokenizer import PUBLISHER, RECIPE, TITLE, URL, prefix_words, tokenise_texts, truncate_words
from dedup.store import Database
from dedup.store.rows import SearchDocument
from dedup.store.search import DIGEST_PREFIX_BYTES

__all__ = [
    "NOT_AVAILABLE",
    "IndexCheck",
    "IndexCoverage",
    "IndexProgress",
    "SearchHit",
    "SearchIndexer",
    "SearchPage",
    "check_index",
    "index_coverage",
    "is_available",
    "parse_query",
    "pieces_to_text",
    "rebuild",
    "search_revisions",
]

MAX_STEP_REVISIONS = 512
"""Revisions that are entered in one transaction, at most."""
MAX_STEP_CHARACTERS = 4_000_000
"""Characters of their bodies after which it has enough."""
RETRY_SECONDS = 60.0
"""Seconds until an index that cannot be written is tried again."""

_TRANSIENT_ERRORS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
"""What SQLite refuses for a reason that is not in the file."""
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """Revisions that were entered, and how many there are left to be; with a `problem` it is not known, and this is why."""

    indexed: int
    remaining: int
    problem: str = ""


class _IndexUnusableError(Exception):
    """The index cannot be used; `is_permanent`: it is to be made again."""

    def __init__(self, problem: object, *, is_permanent: bool) -> None:
        super().__init__(str(problem))
        self.is_permanent = is_permanent


class SearchIndexer:
    """The index of a database, for the one writer of that: filled a little at a time, whenever there is time. Whatever is wrong with
    the index is told in the log and never raised; errors of the database are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._path = database.search_index_path()
        self._index: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._is_verified = False  # what is held is of this database's past
        self._seconds_per_revision = 0.001  # seconds that a revision takes, about
        self._retry_at = 0.0
        self._problem = ""

    def update(
        self, max_seconds: float = float("inf"), *,
        should_stop: Callable[[], bool] = lambda: False, progress: Callable[[int], None] = lambda _: None,
    ) -> IndexProgress:  # fmt: skip
        """Enter what is not yet held, for about so long; each step is a transaction of the index's own."""
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
                _log.info("the search index is made again: %s", error)
            except MemoryError:
                self.close()
                self._postpone("out of memory")
                break
        else:
            self._postpone("it is damaged again and again")
        return IndexProgress(indexed, 0, self._problem)

    def restart(self) -> None:
        """Begin with an empty index: all is entered again."""
        self.close()
        self._retry_at = 0.0
        self._try_remove()

    def close(self) -> None:
        """Let the file go."""
        if self._index is not None:
            with suppress(sqlite3.Error):
                self._index.close()
        self._index = None

    def _is_available(self) -> bool:
        if is_available():
            return True
        self._postpone(NOT_AVAILABLE)
        return False

    def _postpone(self, problem: object) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._problem:
            self._problem = str(problem)
            _log.warning(
                "search does not reach what is new: %s cannot be written (%s)", index_file.printable_index_path(self._path), problem
            )

    def _try_remove(self) -> bool:
        try:
            index_file.remove(self._path)
        except OSError as error:
            self._postpone(error.strerror or error)
            return False
        return True

    def _steps(self, deadline: float, should_stop: Callable[[], bool]) -> Iterator[int]:
        """Enter step by step; gives the number of each."""
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
        uuid = store.settings.get(self._database, "uuid") or ""
        if self._index is not None and self._inode == _inode(self._path):
            return
        self.close()
        try:
            self._index = index_file.open_for_writing(self._path)
            index_state = index_file.read_state(self._index)
            if (index_state.uuid, index_state.recipe) != (uuid, RECIPE):
                raise ValueError("it is another database's" if index_state.uuid != uuid else "it is of another version")
        except FileNotFoundError:
            self._index = index_file.create(self._path, uuid)
        except OSError as error:
            raise _IndexUnusableError(error.strerror or error, is_permanent=not is_exhausted(error)) from error
        self._inode = _inode(self._path)
        self._is_verified = False

    def _verify_history(self) -> None:
        assert self._index is not None
        with self._index_errors():
            index_state, last_indexed = index_file.read_state(self._index), index_file.last_indexed(self._index, TAIL_REVISIONS)
        is_known = index_state.token in (b"", NO_COMMIT) or store.batches.last_text_of_token(self._database, index_state.token) is not None
        if last_indexed and not (is_known and is_same_history(self._database, index_state, last_indexed)):
            self._compare_all(index_state)
        self._is_verified = True

    def _compare_all(self, index_state: IndexState) -> None:
        """What is held may be of another past than the database's: hold all of it against that, which reads no body."""
        last_altered, token, pruned = (
            store.search.last_log_id(self._database),
            store.batches.latest(self._database).token,
            store.search.pruned_revisions(self._database),
        )
        errors: list[sqlite3.Error] = []

        def stored_states() -> Iterator[tuple[int, bytes, bool]]:
            try:
                for revision, state in store.search.state_digests(self._database):
                    yield revision, state, revision not in pruned
            except sqlite3.Error as error:  # of the database, not of the index
                errors.append(error)
                raise

        try:
            with self._transaction() as index:
                index_file.mark_differences(index, stored_states())
                last_revision = min(index_state.last_revision, store.search.last_revision_id(self._database))
                index_file.write_state(
                    index,
                    replace(
                        index_state, altered_position=last_altered, token=token, last_revision=last_revision, indexed=_count_indexed(index)
                    ),
                )
        except _IndexUnusableError:
            if errors:
                raise errors[0] from None
            raise

    def _step(self, limit: int) -> int | None:
        """Enter the next revisions: those that were altered, those that are due, then new ones. Returns how many; None: no more."""
        assert self._index is not None
        token = store.batches.latest(self._database).token  # before what is read: it may bring more
        with self._index_errors():
            index_state, pending = index_file.read_state(self._index), index_file.pending_revisions(self._index, limit)
        altered = store.search.log_entries_after(self._database, index_state.altered_position, limit)
        if altered is None:
            self._compare_all(index_state)
            return 0
        if altered:
            altered_revisions = {revision for _, revision in altered}
            last_revision = min(
                index_state.last_revision, store.search.last_revision_id(self._database)
            )  # greater keys went, and may be given out again
            rows = store.search.revisions(self._database, {revision for revision in altered_revisions if revision <= last_revision})
            return self._replace_revisions(
                replace(index_state, altered_position=altered[-1][0], token=token, last_revision=last_revision), rows, altered_revisions
            )
        if pending:
            rows = store.search.revisions(self._database, pending, MAX_STEP_CHARACTERS)
            is_full = sum(len(r.body or "") for r in rows) >= MAX_STEP_CHARACTERS
            return self._replace_revisions(replace(index_state, token=token), rows, {r for r in pending if not is_full or r <= rows[-1].id})
        rows = store.search.revisions_after(self._database, index_state.last_revision, limit, MAX_STEP_CHARACTERS)
        if not rows:
            if index_state.token != token:
                self._replace_revisions(replace(index_state, token=token), [], set())
            return None
        return self._replace_revisions(replace(index_state, last_revision=rows[-1].id, token=token), rows, set())

    def _replace_revisions(self, index_state: IndexState, rows: Sequence[SearchDocument], replaced_revisions: set[int]) -> int:
        texts = _index_texts_safely(rows)
        with self._transaction() as index:
            replaced_count = _count_indexed(index, replaced_revisions) if replaced_revisions else 0
            index_file.remove_revisions(index, replaced_revisions)
            index_file.add_revisions(
                index,
                ((r.id, text, r.digest[:DIGEST_PREFIX_BYTES], r.body is not None) for r, text in with_beats(zip(rows, texts, strict=True))),
            )
            index.executemany("DELETE FROM reindex_queue WHERE revision = ?", ((r,) for r in replaced_revisions))
            index_file.write_state(index, replace(index_state, indexed=index_state.indexed - replaced_count + len(rows)))
        return len(rows)

    def _count_remaining(self) -> int:
        assert self._index is not None
        with self._index_errors():
            index_state = index_file.read_state(self._index)
            pending_count = int(self._index.execute("SELECT count(*) FROM reindex_queue").fetchone()[0])
        return pending_count + store.search.count_revisions_after(self._database, index_state.last_revision)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._index is not None
        index = self._index
        with self._index_errors():
            index.execute("BEGIN IMMEDIATE")
            try:
                yield index
                index.execute("COMMIT")
            except BaseException:
                if index.in_transaction:
                    index.rollback()
                raise

    @contextmanager
    def _index_errors(self) -> Iterator[None]:
        """Errors of the index's own file leave as _IndexUnusableError."""
        try:
            yield
        except sqlite3.Error as error:
            lasting = getattr(error, "sqlite_errorcode", 0) & 0xFF not in _TRANSIENT_ERRORS
            raise _IndexUnusableError(error, is_permanent=lasting) from error
        except ValueError as error:
            raise _IndexUnusableError(error, is_permanent=True) from error
        except OSError as error:
            raise _IndexUnusableError(error.strerror or error, is_permanent=False) from error


def rebuild(database: Database, progress: Callable[[int], None] = lambda _: None) -> int:
    """An index of all that is stored in place of whatever there is; returns of how many revisions. Raises SearchIndexError."""
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


def _count_indexed(index: sqlite3.Connection, revisions: set[int] | None = None) -> int:
    if revisions is None:
        return int(index.execute("SELECT count(*) FROM indexed_revisions").fetchone()[0])
    return sum(1 for r in revisions if index.execute("SELECT 1 FROM indexed_revisions WHERE revision = ?", (r,)).fetchone())


def _index_texts_safely(rows: Sequence[SearchDocument]) -> list[str]:
    """What each is found by. One that the program fails on is found by nothing; the others are not kept from being found."""
    try:
        return _index_texts(rows)
    except Exception:
        if len(rows) > 1:
            middle = len(rows) // 2
            return _index_texts_safely(rows[:middle]) + _index_texts_safely(rows[middle:])
        _log.exception(
            "a text cannot be found by search, because the program fails on it ('dedup reindex --search' tries it again): %s", rows[0].url
        )
        return [""]


def _index_texts(rows: Sequence[SearchDocument]) -> list[str]:
    """What each is found by: title, body, URL and publishers anywhere, and but for the body in their place."""
    if not rows:
        return []
    titles, urls = tokenise_texts([r.title for r in rows]), tokenise_texts([r.url for r in rows])
    bodies = tokenise_texts([r.body or "" for r in rows])
    beat()
    names = tokenise_texts(["\n".join(name for name, _ in r.publishers) for r in rows])
    oids = tokenise_texts(["\n".join(oid for _, oid in r.publishers) for r in rows])
    return [
        " ".join(
            (
                body,
                title,
                url,
                name,
                prefix_words(TITLE, title),
                prefix_words(URL, url),
                prefix_words(PUBLISHER, name),
                prefix_words(PUBLISHER, oid),
            )
        )
        for title, body, url, name, oid in zip(
            map(truncate_words, titles),
            map(truncate_words, bodies),
            map(truncate_words, urls),
            map(truncate_words, names),
            oids,
            strict=True,
        )
    ]
