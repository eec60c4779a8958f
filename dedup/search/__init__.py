"""Full-text search: which revisions hold what somebody looks for. Derived from the database, in a file of its own beside it.

The index leads to every revision that could be meant, and each is held against its row before it is shown. So nothing has to be taken
out of the index: a revision that went, was pruned, or whose key another one has by now is seen to be none. What is new under an old
key is entered again: `altered` in the database names those, and where that does not reach back (an older copy of the database was put
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
from dedup.errors import SearchFailedError
from dedup.files.descriptors import is_exhausted
from dedup.heartbeat import beat, beating
from dedup.model import NO_COMMIT
from dedup.search import index_file
from dedup.search.check import Looked, look
from dedup.search.index_file import Standing, offered
from dedup.search.query import parse
from dedup.search.searcher import NOT_OFFERED, TAIL, Found, Hit, Reach, continues, find, plain, reach
from dedup.search.tokenizer import PUBLISHER, RECIPE, TITLE, URL, cut, split, within
from dedup.store import Database
from dedup.store.rows import WordsRow
from dedup.store.search import STATE_BYTES

__all__ = [
    "NOT_OFFERED",
    "Filled",
    "Found",
    "Hit",
    "Looked",
    "Reach",
    "Search",
    "find",
    "look",
    "make_again",
    "offered",
    "parse",
    "plain",
    "reach",
]

STEP = 512
"""Revisions that are entered in one transaction, at most."""
STEP_CHARACTERS = 4_000_000
"""Characters of their bodies after which it has enough."""
PAUSE = 60.0
"""Seconds until an index that cannot be written is tried again."""

_PASSING = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
"""What SQLite refuses for a reason that is not in the file."""
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Filled:
    """Revisions that were entered, and how many there are left to be; with a `problem` it is not known, and this is why."""

    done: int
    left: int
    problem: str = ""


class _BrokenError(Exception):
    """The index cannot be used; `lasting`: it is to be made again."""

    def __init__(self, problem: object, *, lasting: bool) -> None:
        super().__init__(str(problem))
        self.lasting = lasting


class Search:
    """The index of a database, for the one writer of that: filled a little at a time, whenever there is time. Whatever is wrong with
    the index is told in the log and never raised; errors of the database are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._path = database.search_path()
        self._index: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._sure = False  # what is held is of this database's past
        self._each = 0.001  # seconds that a revision takes, about
        self._not_before = 0.0
        self._problem = ""

    def fill(
        self, most_seconds: float = float("inf"), *,
        stop: Callable[[], bool] = lambda: False, progress: Callable[[int], None] = lambda _: None,
    ) -> Filled:  # fmt: skip
        """Enter what is not yet held, for about so long; each step is a transaction of the index's own."""
        begun = time.monotonic()
        if begun < self._not_before or not self._is_offered():
            return Filled(0, 0, self._problem)
        done = 0
        for _ in range(2):
            try:
                for number in self._steps(begun + most_seconds, stop):
                    done += number
                    progress(number)
                return Filled(done, self._left())
            except _BrokenError as error:
                self.close()
                if not error.lasting:
                    self._put_off(error)
                if not error.lasting or not self._removed():
                    break
                _log.info("the search index is made again: %s", error)
            except MemoryError:
                self.close()
                self._put_off("out of memory")
                break
        else:
            self._put_off("it is damaged again and again")
        return Filled(done, 0, self._problem)

    def restart(self) -> None:
        """Begin with an empty index: all is entered again."""
        self.close()
        self._not_before = 0.0
        self._removed()

    def close(self) -> None:
        """Let the file go."""
        if self._index is not None:
            with suppress(sqlite3.Error):
                self._index.close()
        self._index = None

    def _is_offered(self) -> bool:
        if offered():
            return True
        self._put_off(NOT_OFFERED)
        return False

    def _put_off(self, why: object) -> None:
        self._not_before = time.monotonic() + PAUSE
        if not self._problem:
            self._problem = str(why)
            _log.warning("search does not reach what is new: %s cannot be written (%s)", index_file.shown(self._path), why)

    def _removed(self) -> bool:
        try:
            index_file.remove(self._path)
        except OSError as error:
            self._put_off(error.strerror or error)
            return False
        return True

    def _steps(self, until: float, stop: Callable[[], bool]) -> Iterator[int]:
        """Enter step by step; gives the number of each."""
        with self._own():
            self._open()
        if not self._sure:
            self._make_sure()
        while not stop():
            left = until - time.monotonic()
            most = max(1, int(min(STEP, left / self._each)))
            if left <= 0:
                return
            begun = time.monotonic()
            number = self._step(most)
            if number is None:
                self._problem = ""
                return
            if number:
                self._each = 0.5 * self._each + 0.5 * (time.monotonic() - begun) / number
            yield number

    def _open(self) -> None:
        uuid = store.settings.get(self._database, "uuid") or ""
        if self._index is not None and self._inode == _inode(self._path):
            return
        self.close()
        try:
            self._index = index_file.open_writing(self._path)
            now = index_file.standing(self._index)
            if (now.uuid, now.recipe) != (uuid, RECIPE):
                raise ValueError("it is another database's" if now.uuid != uuid else "it is of another version")
        except FileNotFoundError:
            self._index = index_file.make(self._path, uuid)
        except OSError as error:
            raise _BrokenError(error.strerror or error, lasting=not is_exhausted(error)) from error
        self._inode = _inode(self._path)
        self._sure = False

    def _make_sure(self) -> None:
        assert self._index is not None
        with self._own():
            now, held = index_file.standing(self._index), index_file.last_held(self._index, TAIL)
        known = now.token in (b"", NO_COMMIT) or store.batches.last_text(self._database, now.token) is not None
        if held and not (known and continues(self._database, now, held)):
            self._compare(now)
        self._sure = True

    def _compare(self, now: Standing) -> None:
        """What is held may be of another past than the database's: hold all of it against that, which reads no body."""
        place, token, pruned = (
            store.search.last_altered(self._database),
            store.batches.latest(self._database)[0],
            store.search.pruned_revisions(self._database),
        )
        failed: list[sqlite3.Error] = []

        def there() -> Iterator[tuple[int, bytes, bool]]:
            try:
                for revision, state in store.search.state_digests(self._database):
                    yield revision, state, revision not in pruned
            except sqlite3.Error as error:  # of the database, not of the index
                failed.append(error)
                raise

        try:
            with self._transaction() as index:
                index_file.compare(index, there())
                last = min(now.last, store.search.last_revision(self._database))
                index_file.set_standing(index, replace(now, altered=place, token=token, last=last, held=_count(index)))
        except _BrokenError:
            if failed:
                raise failed[0] from None
            raise

    def _step(self, most: int) -> int | None:
        """Enter the next revisions: those that were altered, those that are due, then new ones. Returns how many; None: no more."""
        assert self._index is not None
        token = store.batches.latest(self._database)[0]  # before what is read: it may bring more
        with self._own():
            now, again = index_file.standing(self._index), index_file.due(self._index, most)
        altered = store.search.altered_after(self._database, now.altered, most)
        if altered is None:
            self._compare(now)
            return 0
        if altered:
            touched = {revision for _, revision in altered}
            last = min(now.last, store.search.last_revision(self._database))  # greater keys went, and may be given out again
            rows = store.search.revisions(self._database, {revision for revision in touched if revision <= last})
            return self._enter(replace(now, altered=altered[-1][0], token=token, last=last), rows, touched)
        if again:
            rows = store.search.revisions(self._database, again, STEP_CHARACTERS)
            enough = sum(len(r.body or "") for r in rows) >= STEP_CHARACTERS
            return self._enter(replace(now, token=token), rows, {r for r in again if not enough or r <= rows[-1].id})
        rows = store.search.revisions_after(self._database, now.last, most, STEP_CHARACTERS)
        if not rows:
            if now.token != token:
                self._enter(replace(now, token=token), [], set())
            return None
        return self._enter(replace(now, last=rows[-1].id, token=token), rows, set())

    def _enter(self, now: Standing, rows: Sequence[WordsRow], again: set[int]) -> int:
        made = _found_by_each(rows)
        with self._transaction() as index:
            before = _count(index, again) if again else 0
            index_file.forget(index, again)
            index_file.enter(
                index, ((r.id, text, r.digest[:STATE_BYTES], r.body is not None) for r, text in beating(zip(rows, made, strict=True)))
            )
            index.executemany("DELETE FROM due WHERE revision = ?", ((r,) for r in again))
            index_file.set_standing(index, replace(now, held=now.held - before + len(rows)))
        return len(rows)

    def _left(self) -> int:
        assert self._index is not None
        with self._own():
            now = index_file.standing(self._index)
            owing = int(self._index.execute("SELECT count(*) FROM due").fetchone()[0])
        return owing + store.search.count_revisions_after(self._database, now.last)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._index is not None
        index = self._index
        with self._own():
            index.execute("BEGIN IMMEDIATE")
            try:
                yield index
                index.execute("COMMIT")
            except BaseException:
                if index.in_transaction:
                    index.rollback()
                raise

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Errors of the index's own file leave as _BrokenError."""
        try:
            yield
        except sqlite3.Error as error:
            lasting = getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING
            raise _BrokenError(error, lasting=lasting) from error
        except ValueError as error:
            raise _BrokenError(error, lasting=True) from error
        except OSError as error:
            raise _BrokenError(error.strerror or error, lasting=False) from error


def make_again(database: Database, progress: Callable[[int], None] = lambda _: None) -> int:
    """An index of all that is stored in place of whatever there is; returns of how many revisions. Raises SearchFailedError."""
    search = Search(database)
    search.restart()
    try:
        filled = search.fill(progress=progress)
    finally:
        search.close()
    if filled.problem:
        raise SearchFailedError(path=index_file.shown(database.search_path()), problem=filled.problem)
    return filled.done


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _count(index: sqlite3.Connection, revisions: set[int] | None = None) -> int:
    if revisions is None:
        return int(index.execute("SELECT count(*) FROM held").fetchone()[0])
    return sum(1 for r in revisions if index.execute("SELECT 1 FROM held WHERE revision = ?", (r,)).fetchone())


def _found_by_each(rows: Sequence[WordsRow]) -> list[str]:
    """What each is found by. One that the program fails on is found by nothing; the others are not kept from being found."""
    try:
        return _found_by(rows)
    except Exception:
        if len(rows) > 1:
            middle = len(rows) // 2
            return _found_by_each(rows[:middle]) + _found_by_each(rows[middle:])
        _log.exception(
            "a text cannot be found by search, because the program fails on it ('dedup reindex --search' tries it again): %s", rows[0].url
        )
        return [""]


def _found_by(rows: Sequence[WordsRow]) -> list[str]:
    """What each is found by: title, body, URL and publishers anywhere, and but for the body in their place."""
    if not rows:
        return []
    titles, urls = split([r.title for r in rows]), split([r.url for r in rows])
    bodies = split([r.body or "" for r in rows])
    beat()
    names = split(["\n".join(name for name, _ in r.publishers) for r in rows])
    oids = split(["\n".join(oid for _, oid in r.publishers) for r in rows])
    return [
        " ".join((body, title, url, name, within(TITLE, title), within(URL, url), within(PUBLISHER, name), within(PUBLISHER, oid)))
        for title, body, url, name, oid in zip(map(cut, titles), map(cut, bodies), map(cut, urls), map(cut, names), oids, strict=True)
    ]
