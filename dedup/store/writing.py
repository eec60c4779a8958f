"""What the one writer does to the database, many rows at a time, within transactions that `transaction` opens."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import xxhash
from sqlite_utils import Database

from dedup.errors import DatabaseCutShortError, DatabaseFailedError, DatabaseLogCutShortError, DatabaseLogLostError
from dedup.files import disk_errors
from dedup.model import Cause, Change, Fault, Masking, Match, Metadata, Relation
from dedup.store.corruption import UNEXPECTED, failure, require_sound
from dedup.store.database_files import OpenFiles
from dedup.store.directories import Directories
from dedup.store.lock import Lock
from dedup.store.reading import BODILESS
from dedup.store.rereads import Rereads
from dedup.store.rows import JudgedRow, Stat, Worth
from dedup.store.sending import Sending
from dedup.store.summing import Summing
from dedup.store.timeline import Timeline

KEPT_BATCHES = 1000
"""Commits that the candidate index can be behind and still be caught up."""

SOUND_FOR = 20
"""A check that found the database sound is believed for this many times as long as it took: it reads all of the file."""

PATIENCE = 10.0
"""Seconds that a transaction waits for another program to let go of the database: a shell, a program that copies it."""

Row = tuple[Any, ...]


ChangeRecord = tuple[int, Change, bool, bool, float | None, JudgedRow]
"""(page, change, whether the title changed, whether the body did, the bodies' similarity if it can be known, judgement)."""


class Writer(Sending, Summing, Timeline, Rereads, Directories):
    """Everything that can be asked, and what changes the database. `lock` tells others what is being done. A transaction waits no
    longer for another program once `hurried` says so."""

    def __init__(self, db: Database, path: str, lock: Lock) -> None:
        super().__init__(db, path)
        self.lock = lock
        self.hurried: Callable[[], bool] = lambda: False
        self._files = OpenFiles(path)
        self._counted: int | None = None
        self._sound_until = float("-inf")

    def require_in_place(self) -> None:
        """Raise an error where the files of the database are not those that were opened; see `OpenFiles.check`. What is written then
        would be lost, or be in a place where nobody looks. A lock file that was removed is made again.

        Where the log was removed or replaced, what it holds is first copied back to the database: nothing that was committed is lost.
        """
        self.lock.keep()
        try:
            self._files.check()
        except (DatabaseCutShortError, DatabaseLogCutShortError):
            self.lock.leave_files()  # to copy the rest of the log back would mix pages of different commits
            raise
        except DatabaseLogLostError:
            self.lock.leave_files()  # at its name there may be somebody else's by now, which SQLite would remove when it closes
            self._copy_back()
            raise

    def close_files(self) -> None:
        """Release what `require_in_place` needs, after the connection was closed."""
        self._files.close()

    def _copy_back(self) -> None:
        """Copy all of the log, which may have no name any more, back to the database."""
        deadline = time.monotonic() + PATIENCE
        while True:
            busy, frames, copied = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if not busy and copied >= frames:
                return
            if time.monotonic() > deadline:
                raise DatabaseFailedError(path=self.path, problem="its log was removed, and a reader keeps it from being copied back")

    @contextmanager
    def work(self) -> Iterator[None]:
        """Errors of SQLite, and of the system (no room, no further process), that come out of the block leave as
        DatabaseFailedError; no transaction stays open."""
        try:
            with self.failures():
                yield
        except OSError as error:
            raise DatabaseFailedError(path=self.path, problem=disk_errors.explained(error, self.path)) from error

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Errors of SQLite that come out of the block leave as DatabaseFailedError, or DatabaseDamagedError; so does what meets a
        damaged database and is an error for that. No transaction stays open."""
        try:
            yield
        except UNEXPECTED as error:
            self.require_sound(error)
            if isinstance(error, sqlite3.Error):
                raise failure(DatabaseFailedError, self.path, error) from error
            raise
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
            raise failure(DatabaseFailedError, self.path, error) from error

    def require_sound(self, error: Exception, *, rollback: bool = True) -> None:
        """Raise DatabaseDamagedError if the database is what is wrong where `error` was met. An open transaction is rolled back, unless
        it is to go on. This reads the whole file, so a database that was just found sound is not checked again for a while."""
        if rollback and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.rollback()
        begun = time.monotonic()
        if begun < self._sound_until:
            return
        require_sound(self._connection, self.path, error)
        ended = time.monotonic()
        self._sound_until = ended + SOUND_FOR * (ended - begun)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or none of it, durable when it ends (WAL, synchronous=FULL). Raises what `require_in_place` raises."""
        self.require_in_place()
        self._begin()
        try:
            self._count()
            yield
            self._execute("COMMIT")
        except BaseException:
            self._counted = None
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All of the block or none of it, within a transaction, which goes on in either case."""
        self._execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._execute("ROLLBACK TO part")
                self._execute("RELEASE part")
            raise
        self._execute("RELEASE part")

    def is_free(self) -> bool:
        """Whether no other program holds the database for writing now."""
        try:
            self._execute("PRAGMA busy_timeout=0")
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            self._execute("PRAGMA busy_timeout=500")
        self._connection.rollback()
        return True

    def _begin(self) -> None:
        """In short waits, between which signals are heard."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline or self.hurried():
                    raise
            else:
                return

    def _count(self) -> None:
        """Count this transaction in the header of the database; see `store.wal`."""
        count = (int(self._value("PRAGMA user_version")) if self._counted is None else self._counted) + 1
        self._counted = count if count < 1 << 31 else count - (1 << 32)
        self._execute(f"PRAGMA user_version={self._counted}")

    def _insert(self, sql: str, values: Iterable[Any]) -> int:
        row = self._connection.execute(sql, tuple(values)).lastrowid
        assert row is not None
        return row

    # Settings

    def set_setting(self, key: str, value: str) -> None:
        self._execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    # Crawl directories

    def directory(self, path: bytes, path_text: str) -> int:
        """The key of a crawl directory, made at first sight."""
        known = self.known_directory(path)
        return self._insert("INSERT INTO directories (path, path_text) VALUES (?, ?)", (path, path_text)) if known is None else known

    def known_directory(self, path: bytes) -> int | None:
        """The key of a crawl directory, if it was seen before."""
        row = self._one("SELECT id FROM directories WHERE path = ?", path)
        return row[0] if row else None

    def directory_identity(self, directory: int) -> tuple[int, int] | None:
        """(st_dev, st_ino) of the crawl directory when it was last seen with something in it."""
        row = self._one("SELECT device, inode FROM directories WHERE id = ? AND device IS NOT NULL", directory)
        return (row[0], row[1]) if row else None

    def set_directory_identity(self, directory: int, device: int, inode: int) -> None:
        self._execute("UPDATE directories SET device = ?, inode = ? WHERE id = ?", device, inode, directory)

    # Mounts

    def set_mounts(self, directory: int, mounts: Mapping[bytes, tuple[int, int]]) -> None:
        """Mounts of a crawl directory that are mounted now, with their identity."""
        self._many(
            "INSERT OR REPLACE INTO mounts (directory_id, path, device, inode) VALUES (?, ?, ?, ?)",
            ((directory, path, *identity) for path, identity in mounts.items()),
        )

    def set_absent(self, directory: int, paths: Iterable[bytes], following: int | None = None) -> None:
        """Mounts that are absent now; files from the key `following` on (None: the next that is given) are not of them."""
        if following is None:
            following = self.next_id("files")
        self._many(
            "UPDATE mounts SET absent_from = coalesce(absent_from, ?) WHERE directory_id = ? AND path = ?",
            ((following, directory, path) for path in paths),
        )

    def forget_mounts(self, directory: int, paths: Iterable[bytes]) -> None:
        """Mounts that are not expected any more: what is not found where they were is gone."""
        for path in paths:
            self._execute("DELETE FROM mounts WHERE directory_id = ? AND path = ?", directory, path)
            self._execute(
                "DELETE FROM hidden_files WHERE file_id IN (SELECT id FROM files WHERE directory_id = ?1"
                " AND (folder = ?2 OR substr(folder, 1, length(?2) + 1) = ?2 || x'2f'))",
                directory, path,
            )  # fmt: skip

    def hide_files(self, files: Iterable[int]) -> None:
        """Files that something was mounted over."""
        self._many("INSERT OR IGNORE INTO hidden_files VALUES (?)", ((file,) for file in files))

    def hidden_files(self, files: Iterable[int]) -> set[int]:
        """Those of these files that something was mounted over."""
        return {row[0] for row in self._by_id(files, "SELECT h.file_id FROM wanted w JOIN hidden_files h ON h.file_id = w.id")}

    # Files

    def insert_files(self, rows: Iterable[Row]) -> None:
        """Rows (id, directory, folder, name, path as text, size, mtime_ns, inode, ctime_ns, content, reading, seen at)."""
        self._many(
            "INSERT INTO files (id, directory_id, folder, name, path_text, size, mtime_ns, inode, ctime_ns, content, reading_id, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def update_files(self, files: Iterable[tuple[int, Stat, bytes | None]]) -> None:
        """The new state of each file; one that was gone is there again."""
        self._many(
            "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, ctime_ns = ?, content = ?, gone = 0, gone_at = NULL WHERE id = ?",
            ((stat.size, stat.mtime_ns, stat.inode, stat.ctime_ns, content, file) for file, stat, content in files),
        )

    def set_file_readings(self, rows: Iterable[tuple[int, int | None]]) -> None:
        """(file, the reading of what it holds now; None where it is a fault)."""
        self._many("UPDATE files SET reading_id = ? WHERE id = ?", ((reading, file) for file, reading in rows))

    def mark_gone(self, files: Iterable[int], at: str) -> int:
        """The files are no longer there, if they were; their readings stay. What was wrong with them no longer matters.
        Returns how many went now."""
        there = [(file, directory, folder, name) for file, directory, folder, name, gone in self.paths_of(files) if not gone]
        self._many("UPDATE files SET gone = 1, gone_at = ? WHERE id = ?", ((at, file) for file, *_ in there))
        self._many(
            "DELETE FROM faults WHERE directory_id = ? AND path = ?",
            ((directory, folder + b"/" + name if folder else name) for _, directory, folder, name in there),
        )
        return len(there)

    def set_faults(self, faults: Collection[tuple[int, bytes, str, tuple[Fault, ...]]], at: str) -> None:
        """Exactly these faults stand at each (directory, path, path as text, faults) from now on; one that stood there before
        keeps its `since`."""
        stood = self.faults_at((directory, path) for directory, path, _, _ in faults)
        over, now = [], []
        for directory, path, path_text, these in faults:
            kinds = {f.kind: f.message for f in these}
            over += [(directory, path, kind) for kind in stood.get((directory, path), ()) if kind not in kinds]
            now += [(directory, path, kind, message, path_text, at) for kind, message in kinds.items()]
        self._many("DELETE FROM faults WHERE directory_id = ? AND path = ? AND kind = ?", over)
        self._many(
            "INSERT INTO faults (directory_id, path, kind, message, path_text, since) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET message = excluded.message",
            now,
        )

    def folder_faults(self, directory: int) -> list[bytes]:
        """Paths with a fault where no file is recorded: folders that could not be listed."""
        rows = self._all("SELECT path FROM faults WHERE directory_id = ? AND kind = 'unreadable' ORDER BY path", directory)
        at = {path: (directory, folder, name) for (path,) in rows for folder, _, name in (path.rpartition(b"/"),)}
        files = self.files(at.values())
        return [path for path, key in at.items() if key not in files]

    # Pages and what hangs on them

    def page(self, url: str) -> int:
        """The key of the page with this canonical URL, made at first sight."""
        row = self._one("SELECT id FROM pages WHERE url = ?", url)
        return row[0] if row else self._insert("INSERT INTO pages (url) VALUES (?)", (url,))

    def insert_pages(self, rows: Iterable[Row]) -> None:
        """Rows (id, canonical URL, current sighting)."""
        self._many("INSERT INTO pages (id, url, current_sighting_id) VALUES (?, ?, ?)", rows)

    def insert_aliases(self, rows: Iterable[Row]) -> None:
        """Rows (id, page, spelling, oid, aid)."""
        self._many("INSERT INTO aliases (id, page_id, spelling, oid, aid) VALUES (?, ?, ?, ?, ?)", rows)

    def insert_metadata(self, rows: Iterable[tuple[int, int, bytes, Row]]) -> None:
        """(id, page, digest, values), the last two by `metadata_values`."""
        self._many(
            "INSERT INTO metadata (id, page_id, digest, article_id, publisher, author, category, published_at, published_printed, oid, aid,"
            " extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((number, page, digest, *values) for number, page, digest, values in rows),
        )

    def insert_texts(self, rows: Iterable[Row]) -> None:
        """Rows (id, digest, characters, signature, crowded)."""
        self._many("INSERT INTO texts (id, digest, characters, signature, crowded) VALUES (?, ?, ?, ?, ?)", rows)

    def set_quoted(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """(text, its quoted characters as `quoted_of` gives them)."""
        self._many("UPDATE texts SET quoted = ? WHERE id = ?", ((quoted, text) for text, quoted in rows))

    def insert_revisions(self, rows: Iterable[Row]) -> None:
        """Rows (id, page, state digest, text, title, body)."""
        self._many("INSERT INTO revisions (id, page_id, digest, text_id, title, body) VALUES (?, ?, ?, ?, ?, ?)", rows)

    def set_revision_texts(self, rows: Iterable[tuple[int, int]]) -> None:
        """(revision, its normalised text)."""
        self._many("UPDATE revisions SET text_id = ? WHERE id = ?", ((text, revision) for revision, text in rows))

    def restore_bodies(self, rows: Iterable[tuple[int, str]]) -> None:
        """(revision, its body), of revisions whose body was pruned and was read again."""
        self._many(
            "UPDATE revisions SET body = ?, pruned_at = NULL, pruned_characters = NULL, pruned_digest = NULL WHERE id = ?",
            ((body, revision) for revision, body in rows),
        )

    def give_up_digests(self, texts: Iterable[int]) -> None:
        """Texts that other rows will stand for: see `hand_over_texts`."""
        self._many("UPDATE texts SET digest = randomblob(16) WHERE id = ?", ((t,) for t in texts))

    def hand_over_texts(self, rows: Iterable[tuple[int, int]]) -> None:
        """(text, the greater key of the one that stands for it from now on). The first goes on as a text that nothing shows."""
        moved = [(new, text) for text, new in rows]
        self._many("UPDATE revisions SET text_id = ? WHERE text_id = ?", moved)
        self._many("UPDATE matches SET a = b, b = ? WHERE a = ?", moved)
        self._many("UPDATE matches SET b = ? WHERE b = ?", moved)

    def drop_outdated_matches(self, texts: Iterable[int], recipe: str) -> None:
        """Forget the matches of these texts that were found by other rules and can be measured again."""
        self._many(
            "DELETE FROM matches WHERE (a = ?1 OR b = ?1) AND recipe <> ?2"
            " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = a AND pruned_at IS NULL)"
            " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = b AND pruned_at IS NULL)",
            ((t, recipe) for t in texts),
        )

    def insert_sightings(self, rows: Iterable[Row]) -> None:
        """Rows (id, page, crawl time, revision, then what its readings make of it: see `Worth`)."""
        self._many(
            "INSERT INTO sightings (id, page_id, crawled_at, revision_id, standing, check_status, check_cause, metadata_id,"
            " crawled_at_from) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def update_sightings(self, rows: Iterable[tuple[int, Worth]]) -> None:
        """(sighting, what its readings make of it)."""
        self._many(
            "UPDATE sightings SET standing = ?, check_status = ?, check_cause = ?, metadata_id = ?, crawled_at_from = ? WHERE id = ?",
            ((*worth, sighting) for sighting, worth in rows),
        )

    def insert_readings(self, rows: Iterable[Row]) -> None:
        """Rows (id, file, sighting, alias, metadata, standing, check, cause, claimed, recipe, encoding, where the crawl time is from,
        read at)."""
        self._many(
            "INSERT INTO readings (id, file_id, sighting_id, alias_id, metadata_id, standing, check_status, check_cause, claimed, recipe,"
            " encoding, crawled_at_from, read_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def update_readings(self, rows: Iterable[Row]) -> None:
        """Readings made again: rows as `insert_readings` takes them."""
        self._many(
            "UPDATE readings SET alias_id = ?, metadata_id = ?, standing = ?, check_status = ?, check_cause = ?, claimed = ?, recipe = ?,"
            " encoding = ?, crawled_at_from = ?, read_at = ? WHERE id = ?",
            ((*row[3:], row[0]) for row in rows),
        )

    def supersede_readings(self, readings: Iterable[int]) -> None:
        """Readings of crawls that were read again otherwise without anything vouching for either."""
        self._many("UPDATE readings SET standing = 'superseded' WHERE id = ?", ((r,) for r in readings))

    def delete_readings(self, readings: Collection[int]) -> None:
        """Forget readings that other ones of the same crawls replaced."""
        self._many("UPDATE files SET reading_id = NULL WHERE reading_id = ?", ((r,) for r in readings))
        self._many("DELETE FROM readings WHERE id = ?", ((r,) for r in readings))

    def delete_sightings(self, sightings: Collection[int]) -> None:
        """Forget sightings without readings, and their states if nothing else showed them. Their texts keep their rows: the
        candidate index may still name them."""
        shown = self._by_id(sightings, "SELECT DISTINCT s.revision_id FROM wanted w CROSS JOIN sightings s ON s.id = w.id")
        revisions = [(r[0], r[0]) for r in shown]
        ids = [(s,) for s in sightings]
        self._many("UPDATE pages SET current_sighting_id = NULL WHERE current_sighting_id = ?1"
                   " AND id = (SELECT page_id FROM sightings WHERE id = ?1)", ids)  # fmt: skip
        self._many("DELETE FROM changes WHERE sighting_id = ?", ids)
        self._many("DELETE FROM changes WHERE previous_id = ?1 AND page_id = (SELECT page_id FROM sightings WHERE id = ?1)", ids)
        self._many("DELETE FROM sightings WHERE id = ?", ids)
        self._many("DELETE FROM revisions WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sightings WHERE revision_id = ?)", revisions)

    def clear_uncounted_texts(self, revisions: Iterable[int]) -> None:
        """Those of the revisions that are known only from truncated or overruled readings have no text: they are no duplicates."""
        self._many(
            "UPDATE revisions SET text_id = NULL WHERE id = ? AND text_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sightings s"
            " JOIN readings d ON d.sighting_id = s.id WHERE s.revision_id = revisions.id"
            " AND (d.standing = 'counted' OR d.standing = 'superseded'))",
            ((r,) for r in revisions),
        )

    def set_causes(self, causes: Iterable[tuple[int, Cause]]) -> None:
        """(reading, another cause for its mismatch), now that more of the page's history is known."""
        self._many("UPDATE readings SET check_cause = ? WHERE id = ?", ((cause, reading) for reading, cause in causes))

    def set_current(self, rows: Iterable[tuple[int, int | None]]) -> None:
        """(page, its current sighting)."""
        self._many("UPDATE pages SET current_sighting_id = ? WHERE id = ?", ((sighting, page) for page, sighting in rows))

    def delete_changes(self, sightings: Iterable[int]) -> None:
        """Forget the changes that these sightings, the later ones, were part of."""
        self._many("DELETE FROM changes WHERE sighting_id = ?", ((s,) for s in sightings))

    def add_changes(self, changes: Iterable[ChangeRecord]) -> None:
        """Record changes that are not stored."""
        self._many(
            "INSERT INTO changes (sighting_id, previous_id, page_id, at, title_changed, body_changed, body_similarity, returned, fields,"
            " kind, severity, channels, evidence, stealth, corrected, edit, past, judged_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (c.sighting.id, c.previous.id, page, c.sighting.crawled_at, int(title), int(body), similarity, int(c.returned),
                 fields_json(c), j.kind, j.severity, j.channels, j.evidence, j.stealth, j.corrected, j.edit, j.past, j.judged_by)
                for page, c, title, body, similarity, j in changes
            ),
        )  # fmt: skip

    # Duplicates

    def update_matches(self, matches: Iterable[Match]) -> None:
        """Give stored pairs another relation and another share of quoted characters."""
        self._many(
            "UPDATE matches SET relation = ?, quoted = ? WHERE a = ? AND b = ?", ((m.relation, m.numbers.quoted, m.a, m.b) for m in matches)
        )

    def add_matches(self, matches: Iterable[Match], recipe: str, found_at: str) -> None:
        """Record confirmed pairs of texts that are not stored yet."""
        self._many(
            "INSERT INTO matches (a, b, relation, similarity, containment, coverage, shared, longest, quoted, masked, recipe, found_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (m.a, m.b, m.relation, n.similarity, n.containment, n.coverage, n.shared, n.longest, n.quoted,
                 json.dumps(n.masked, ensure_ascii=False), recipe, found_at)
                for m in matches for n in (m.numbers,)
            ),
        )  # fmt: skip

    def set_relations(self, rows: Iterable[tuple[int, int, Relation]]) -> None:
        """(a, b, what the stored match is now that more is known)."""
        self._many("UPDATE matches SET relation = ? WHERE a = ? AND b = ?", ((relation, a, b) for a, b, relation in rows))

    def drop_matches(self) -> None:
        """Forget matches, and which texts stand for which: everything will be matched again, but for texts whose bodies were
        pruned. Nothing can be measured of them, and what was stays."""
        self._execute(
            f"DELETE FROM matches WHERE (a NOT IN ({BODILESS}) AND b NOT IN ({BODILESS}))"
            " OR NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = a) OR NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = b)"
        )
        self._execute(f"UPDATE texts SET signature = NULL WHERE signature IS NOT NULL AND id IN ({BODILESS})")
        self._execute("DELETE FROM represented")
        self._execute("DELETE FROM passages")
        self._execute("UPDATE texts SET crowded = 0 WHERE crowded = 1")

    def drop_unshown_texts(self) -> None:
        """Forget texts that no revision has any more; after `drop_matches`, and with indexes that begin anew."""
        self._execute("DELETE FROM texts WHERE NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = texts.id)")

    def publisher(self, name: str) -> int:
        """The key of a house, made at first sight."""
        row = self._one("SELECT id FROM publishers WHERE name = ?", name)
        return row[0] if row else self._insert("INSERT INTO publishers (name) VALUES (?)", (name,))

    def insert_passages(self, rows: Iterable[Row]) -> None:
        """Rows (text, publisher, packed keys under which it stands for a story)."""
        self._many("INSERT INTO passages (text_id, publisher_id, keys) VALUES (?, ?, ?)", rows)

    def add_represented(self, rows: Iterable[tuple[int, int]]) -> None:
        """(text that stands in a bucket, text that was not entered beside it)."""
        self._many("INSERT OR IGNORE INTO represented (by, text_id) VALUES (?, ?)", rows)

    def add_boilerplate(self, name: str, publisher: int, passage: str, shown: str, articles: int, status: Masking, since: str) -> None:
        """A passage of a publisher, learned or told by hand."""
        self._execute(
            "INSERT INTO boilerplate (name, publisher_id, passage, shown, articles, status, since) VALUES (?, ?, ?, ?, ?, ?, ?)",
            name, publisher, passage, shown, articles, status, since,
        )  # fmt: skip

    def drop_learned(self, called: Callable[[str], str]) -> None:
        """Forget the boilerplate that was learned. What was decided by hand belongs to the publisher that `called` gives for its name."""
        self._execute("DELETE FROM boilerplate WHERE status = 'learned'")
        for number, name in self._all("SELECT b.id, o.name FROM boilerplate b JOIN publishers o ON o.id = b.publisher_id ORDER BY b.id"):
            if called(name) != name:
                self._execute("UPDATE OR IGNORE boilerplate SET publisher_id = ? WHERE id = ?", self.publisher(called(name)), number)

    def set_boilerplate(self, name: str, status: Masking) -> None:
        """What is to be done with a passage from now on."""
        self._execute("UPDATE boilerplate SET status = ? WHERE name = ?", status, name)

    def set_crowded(self, texts: Iterable[int]) -> None:
        """Texts that have more matches than were looked for: they met a full bucket, or a story with many copies."""
        self._many("UPDATE texts SET crowded = 1 WHERE id = ? AND crowded = 0", ((t,) for t in texts))

    def set_signatures(self, rows: Iterable[tuple[int, bytes | None, int]]) -> None:
        """(text, signature, normalised length)."""
        self._many(
            "UPDATE texts SET signature = ?, characters = ? WHERE id = ?", ((signature, number, text) for text, signature, number in rows)
        )

    def clear_signature(self, text: int) -> None:
        """The text takes no part in near duplicates any more."""
        self._execute("UPDATE texts SET signature = NULL WHERE id = ?", text)

    def add_batch(self, last_text: int) -> bytes:
        """A token for this commit, which brought texts with signatures up to a key. Old tokens are forgotten."""
        token = os.urandom(16)
        number = self._insert("INSERT INTO batches (token, text_id) VALUES (?, ?)", (token, last_text))
        self._execute("DELETE FROM batches WHERE id <= ?", number - KEPT_BATCHES)
        return token

    def restart_batches(self) -> bytes:
        """Signatures were made anew: no candidate index holds them. The token of this commit."""
        last = self._value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL")
        number = self._insert("INSERT INTO batches (token, text_id) VALUES (?, ?)", (os.urandom(16), last))
        self._execute("DELETE FROM batches WHERE id < ?", number)
        return self.last_batch()[0]

    # Regrouping

    def misplaced_readings(self) -> list[tuple[int, int, int, int]]:
        """(reading, sighting, revision, page it belongs to) where a reading's alias is another page's than its sighting."""
        return [
            (r[0], r[1], r[2], r[3])
            for r in self._all(
                "SELECT d.id, s.id, s.revision_id, a.page_id FROM readings d JOIN aliases a ON a.id = d.alias_id"
                " JOIN sightings s ON s.id = d.sighting_id WHERE a.page_id <> s.page_id ORDER BY d.id"
            )
        ]

    def copy_revision(self, revision: int, page: int) -> int:
        """The key of the same state under another page, made at first need."""
        columns = "digest, title, body, text_id, pruned_at, pruned_characters, pruned_digest"
        row = self._one(f"SELECT {columns} FROM revisions WHERE id = ?", revision)
        assert row is not None
        there = self._one("SELECT id, text_id, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, row[0])
        if there is None:
            return self._insert(f"INSERT INTO revisions (page_id, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (page, *row))
        if there[2] is not None and row[4] is None:
            self.restore_bodies([(there[0], row[2])])
        if row[3] is not None:
            self.set_revision_texts([(there[0], row[3])])
        return int(there[0])

    def copy_sighting(self, sighting: int, page: int, revision: int) -> int:
        """The key of the same crawl under another page, made at first need."""
        row = self._one("SELECT crawled_at, crawled_at_from, metadata_id FROM sightings WHERE id = ?", sighting)
        assert row is not None
        key = (page, row[0], revision)
        there = self.sightings([key]).get(key)
        if there is not None:
            return there
        return self._insert(
            "INSERT INTO sightings (page_id, crawled_at, revision_id, crawled_at_from, metadata_id, standing, check_status)"
            " VALUES (?, ?, ?, ?, ?, 'counted', 'unclaimed')",
            (*key, row[1], row[2]),
        )

    def move_alias(self, alias: int, page: int) -> None:
        self._execute("UPDATE aliases SET page_id = ? WHERE id = ?", page, alias)

    def move_reading(self, reading: int, sighting: int) -> None:
        """Hang a reading on another sighting; one that the file has there already gives way to it."""
        file = self._value("SELECT file_id FROM readings WHERE id = ?", reading)
        there = self._one("SELECT id FROM readings WHERE sighting_id = ? AND file_id = ?", sighting, file)
        if there:
            self._execute("UPDATE files SET reading_id = ? WHERE reading_id = ?", reading, there[0])
            self._execute("DELETE FROM readings WHERE id = ?", there[0])
        self._execute("UPDATE readings SET sighting_id = ? WHERE id = ?", sighting, reading)

    def delete_empty_pages(self) -> None:
        self._execute(
            "DELETE FROM pages WHERE NOT EXISTS (SELECT 1 FROM sightings s WHERE s.page_id = pages.id)"
            " AND NOT EXISTS (SELECT 1 FROM aliases a WHERE a.page_id = pages.id)"
        )


def metadata_values(metadata: Metadata) -> tuple[bytes, Row]:
    """(digest, stored values) of a distinct metadata value."""
    m = metadata
    extra = json.dumps(dict(m.extra), ensure_ascii=False, sort_keys=True) if m.extra else "{}"
    values = (m.id, m.publisher, m.author, m.category, m.published_at, m.published_printed, m.oid, m.aid, extra)
    return xxhash.xxh3_128_digest(json.dumps(values).encode()), values


def body_digest(body: str) -> bytes:
    """What is kept of a body that is pruned: by it another is known to be the same."""
    return xxhash.xxh3_128_digest(body.encode())


def fields_json(change: Change) -> str:
    """Tracked metadata that differ, as stored: name → [before, after]."""
    return json.dumps({name: [before, after] for name, before, after in change.fields}, ensure_ascii=False, sort_keys=True)
