"""Letting bodies of old states go, and giving the room they took back to the disk.

A row is never deleted: a state keeps its digest, its title and its crawls, so that it is known when it is met again. Its body is
emptied, and the time stands beside it. A new database is made with `auto_vacuum = INCREMENTAL`: pages that became free can be given
back in steps. One that was made without it goes on using them for what comes, until it is rewritten as a whole (VACUUM).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator

from dedup.errors import NoRoomError
from dedup.store.reading import Reader
from dedup.store.rows import StoredState
from dedup.store.writing import Row, Writer, body_digest

STEP = 1024
"""Pages that are given back at a time."""
WORK = 1_000_000
"""Instructions of SQLite's after which a rewriting can be interrupted."""
_INCREMENTAL = 2


class States(Reader):
    """What a rule of retention goes by."""

    def last_crawl(self, until: str) -> str | None:
        """The time of the last crawl that is not later than a time; None where there is none."""
        found: str | None = self._value("SELECT max(crawled_at) FROM sightings WHERE crawled_at <= ?", until)
        return found

    def pages_with_states(self, beyond: int, most: int) -> list[int]:
        """The next `most` pages after one, in order of their keys, that have more than one state."""
        sql = "SELECT page_id FROM revisions WHERE page_id > ? GROUP BY page_id HAVING count(*) > 1 ORDER BY page_id LIMIT ?"
        return [r[0] for r in self._all(sql, beyond, most)]

    def states_of(self, pages: Collection[int]) -> Iterator[StoredState]:
        """Every state of these pages that a crawl showed, page by page."""
        for r in self._connection.execute(_STATES.format(", ".join("?" * len(pages))), tuple(pages)):
            yield StoredState(r[0], r[1], r[2], r[3], r[4], r[5], bool(r[6]), bool(r[7]), bool(r[8]))

    def body_bytes(self, revisions: Collection[int]) -> int:
        """Bytes of the bodies of these revisions."""
        sql = f"SELECT coalesce(sum(length(CAST(body AS BLOB))), 0) FROM revisions WHERE id IN ({', '.join('?' * len(revisions))})"
        return int(self._value(sql, *revisions))

    def free_bytes(self) -> int:
        """Bytes within the file that hold nothing and are used for what comes."""
        return int(self._value("PRAGMA freelist_count")) * int(self._value("PRAGMA page_size"))


class Pruner(Writer, States):
    """The one writer, and what it lets go. Everything but `give_back` and `rewrite` is to be done within a transaction."""

    def forget_bodies(self, revisions: Collection[int], at: str) -> set[int]:
        """Let the bodies of these revisions go. Returns the texts of which none is left.

        The rows are put in anew: of pages whose rows only become shorter SQLite makes none free.
        """
        columns = "r.id, r.page_id, r.digest, r.text_id, r.title, r.body"
        rows = list(
            self._by_id(revisions, f"SELECT {columns} FROM wanted w CROSS JOIN revisions r ON r.id = w.id WHERE r.pruned_at IS NULL")
        )
        self._execute("PRAGMA defer_foreign_keys=ON")
        self._many("DELETE FROM revisions WHERE id = ?", ((r[0],) for r in rows))
        self._many(
            "INSERT INTO revisions (id, page_id, digest, text_id, title, body, pruned_at, pruned_characters, pruned_digest)"
            " VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)",
            ((*r[:5], at, len(r[5]), body_digest(r[5])) for r in rows),
        )
        return self.bodiless({r[3] for r in rows if r[3] is not None})

    def passages_of(self, texts: Iterable[int]) -> dict[int, bytes]:
        """Text → the packed keys under which it stands for a story."""
        return dict(self._by_id(texts, "SELECT p.text_id, p.keys FROM wanted w CROSS JOIN passages p ON p.text_id = w.id"))

    def behind(self, texts: Iterable[int]) -> dict[int, list[int]]:
        """Text → the texts that it stands for, the earliest first."""
        select = "SELECT w.id, r.text_id FROM wanted w CROSS JOIN represented r ON r.by = w.id ORDER BY w.id, r.text_id"
        return {text: [r[0] for r in rows] for text, rows in self._grouped(texts, select).items()}

    def withdraw(self, texts: Collection[int]) -> None:
        """No index is to hold these texts any more."""
        ids = [(t,) for t in texts]
        self._many("UPDATE texts SET signature = NULL WHERE id = ?", ids)
        self._many("DELETE FROM passages WHERE text_id = ?", ids)
        self._many("DELETE FROM represented WHERE by = ?", ids)
        for some in (ids[i : i + STEP] for i in range(0, len(ids), STEP)):  # no index has them by this: all at once
            self._execute(f"DELETE FROM represented WHERE text_id IN ({', '.join('?' * len(some))})", *(t for (t,) in some))

    def set_passages(self, rows: Iterable[Row]) -> None:
        """(packed keys, text)."""
        self._many("UPDATE passages SET keys = ? WHERE text_id = ?", rows)

    def give_back(self, progress: Callable[[int], None]) -> int:
        """Give free pages back to the disk, if the database was made for that; `progress` hears of pages. Returns the bytes."""
        if self._value("PRAGMA auto_vacuum") != _INCREMENTAL:
            return 0
        before = self.free_bytes()
        while self._value("PRAGMA freelist_count"):
            with self.transaction():
                for _ in range(STEP):  # a row for each page comes of it, and Python takes the first
                    self._execute("PRAGMA incremental_vacuum(1)")
            progress(STEP)
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")  # only then the file is shorter
        return before - self.free_bytes()

    def rewrite(self) -> int:
        """Write the whole database anew, without free pages and so that those to come can be given back in steps. Returns by how
        many bytes it is smaller. Raises NoRoomError, and KeyboardInterrupt where that arrives: all is as it was then."""
        before = self._bytes()
        needed = 2 * (before - self.free_bytes())  # a copy, and the log by which that takes the place of what was there
        folder = os.path.dirname(os.path.realpath(self.path))
        place = os.statvfs(folder)
        if (free := place.f_bavail * place.f_frsize) < needed:
            raise NoRoomError(path=self.path, needed=f"{needed / 1e6:,.1f} MB", free=f"{free / 1e6:,.1f} MB", folder=folder)
        self._connection.set_progress_handler(lambda: 0, WORK)  # where signals are heard
        try:
            quoted = folder.replace("'", "''")
            self._execute(f"PRAGMA temp_store_directory='{quoted}'")
            self._execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
            self._execute("VACUUM")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise KeyboardInterrupt from None
            raise
        finally:
            self._connection.set_progress_handler(None, 0)
            self._execute("PRAGMA temp_store_directory=''")
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")
        return before - self._bytes()

    def _bytes(self) -> int:
        return int(self._value("PRAGMA page_count")) * int(self._value("PRAGMA page_size"))


_STATES = (
    "SELECT r.page_id, r.id, r.digest, min(CASE s.standing WHEN 'counted' THEN s.crawled_at END),"
    " max(CASE s.standing WHEN 'counted' THEN s.crawled_at END), max(s.crawled_at),"
    " r.id = coalesce((SELECT c.revision_id FROM pages p JOIN sightings c ON c.id = p.current_sighting_id WHERE p.id = r.page_id), 0),"
    " EXISTS (SELECT 1 FROM sightings x JOIN readings d ON d.sighting_id = x.id JOIN files f ON f.reading_id = d.id"
    " WHERE x.revision_id = r.id AND f.gone = 0), r.pruned_at IS NOT NULL"
    " FROM revisions r JOIN sightings s ON s.revision_id = r.id WHERE r.page_id IN ({}) GROUP BY r.id ORDER BY r.page_id, r.id"
)
