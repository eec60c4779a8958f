"""What the one writer does to the database, row by row, within transactions that `transaction` opens."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import xxhash

from dedup.model import Article, Cause, Change, CheckStatus, Fault, Match, Metadata, Standing
from dedup.store.reading import Reader
from dedup.store.rows import FileRow, KeptSighting, PriorReading, Stat


class Writer(Reader):
    """Everything a reader can, and what changes the database."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or none of it, durable when it ends (WAL, synchronous=FULL)."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

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
        row = self._one("SELECT id FROM directories WHERE path = ?", path)
        return row[0] if row else self._insert("INSERT INTO directories (path, path_text) VALUES (?, ?)", (path, path_text))

    def directory_identity(self, directory: int) -> tuple[int, int] | None:
        """(st_dev, st_ino) of the crawl directory when it was last seen with something in it."""
        row = self._one("SELECT device, inode FROM directories WHERE id = ? AND device IS NOT NULL", directory)
        return (row[0], row[1]) if row else None

    def set_directory_identity(self, directory: int, device: int, inode: int) -> None:
        self._execute("UPDATE directories SET device = ?, inode = ? WHERE id = ?", device, inode, directory)

    # Files

    def files_in(self, directory: int, folder: bytes) -> dict[bytes, FileRow]:
        """Name → file of one folder, files that are gone included."""
        rows = self._connection.execute(f"SELECT name, {_FILE} FROM files WHERE directory_id = ? AND folder = ?", (directory, folder))
        return {row[0]: _file(row[1:]) for row in rows}

    def folders(self, directory: int) -> list[bytes]:
        """Folders with files that are not gone."""
        return [r[0] for r in self._all("SELECT DISTINCT folder FROM files WHERE directory_id = ? AND gone = 0", directory)]

    def file(self, directory: int, folder: bytes, name: bytes) -> FileRow | None:
        row = self._one(f"SELECT {_FILE} FROM files WHERE directory_id = ? AND folder = ? AND name = ?", directory, folder, name)
        return _file(row) if row else None

    def add_file(self, directory: int, folder: bytes, name: bytes, path_text: str, stat: Stat, content: bytes | None, seen_at: str) -> int:
        return self._insert(
            "INSERT INTO files (directory_id, folder, name, path_text, size, mtime_ns, inode, ctime_ns, content, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (directory, folder, name, path_text, stat.size, stat.mtime_ns, stat.inode, stat.ctime_ns, content, seen_at),
        )

    def update_file(self, file: int, stat: Stat, content: bytes | None) -> None:
        """The file's new state; a file that was gone is there again."""
        self._execute(
            "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, ctime_ns = ?, content = ?, gone = 0, gone_at = NULL WHERE id = ?",
            stat.size, stat.mtime_ns, stat.inode, stat.ctime_ns, content, file,
        )  # fmt: skip

    def set_file_reading(self, file: int, reading: int | None) -> None:
        self._execute("UPDATE files SET reading_id = ? WHERE id = ?", reading, file)

    def mark_gone(self, files: Iterable[int], at: str) -> None:
        """The files are no longer there; their readings stay. What was wrong with them no longer matters."""
        for file in files:
            self._execute("UPDATE files SET gone = 1, gone_at = ? WHERE id = ? AND gone = 0", at, file)
            row = self._one("SELECT directory_id, folder, name FROM files WHERE id = ?", file)
            if row:
                self.set_faults(row[0], row[1] + b"/" + row[2] if row[1] else row[2], "", (), at)

    def still_there(self, files: Iterable[int]) -> list[int]:
        """Those of the files that are not marked as gone."""
        return [f for f in files if self._one("SELECT 1 FROM files WHERE id = ? AND gone = 0", f)]

    def files_of_sighting(self, sighting: int, content: bytes, but: int) -> list[tuple[int, int, bytes, bytes, bool]]:
        """(file, directory, folder, name, gone) of the other files with these bytes that hang on a sighting."""
        return [
            (r[0], r[1], r[2], r[3], bool(r[4]))
            for r in self._all(
                "SELECT f.id, f.directory_id, f.folder, f.name, f.gone FROM readings d JOIN files f ON f.id = d.file_id"
                " WHERE d.sighting_id = ? AND f.content = ? AND f.id <> ?",
                sighting, content, but,
            )
        ]  # fmt: skip

    def set_faults(self, directory: int, path: bytes, path_text: str, faults: Iterable[Fault], at: str) -> None:
        """Exactly these faults stand at a path from now on; one that stood there before keeps its `since`."""
        now = {f.kind: f.message for f in faults}
        for (kind,) in self._all("SELECT kind FROM faults WHERE directory_id = ? AND path = ?", directory, path):
            if kind not in now:
                self._execute("DELETE FROM faults WHERE directory_id = ? AND path = ? AND kind = ?", directory, path, kind)
        for kind, message in now.items():
            self._execute(
                "INSERT INTO faults (directory_id, path, kind, message, path_text, since) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET message = excluded.message",
                directory, path, kind, message, path_text, at,
            )  # fmt: skip

    def folder_faults(self, directory: int) -> list[bytes]:
        """Paths with a fault where no file is recorded: folders that could not be listed."""
        return [
            r[0]
            for r in self._all(
                "SELECT DISTINCT path FROM faults t WHERE directory_id = ? AND kind = 'unreadable' AND NOT EXISTS (SELECT 1 FROM"
                " files f WHERE f.directory_id = t.directory_id AND (f.folder = '' AND f.name = t.path OR"
                " f.folder <> '' AND f.folder || '/' || f.name = t.path))",
                directory,
            )
        ]

    # Pages and what hangs on them

    def page(self, url: str) -> tuple[int, bool]:
        """(key, whether it is new) of the page with this canonical URL."""
        row = self._one("SELECT id FROM pages WHERE url = ?", url)
        return (row[0], False) if row else (self._insert("INSERT INTO pages (url) VALUES (?)", (url,)), True)

    def alias(self, page: int, spelling: str, oid: str, aid: str) -> int:
        row = self._one("SELECT id FROM aliases WHERE spelling = ? AND oid = ? AND aid = ?", spelling, oid, aid)
        if row:
            return int(row[0])
        return self._insert("INSERT INTO aliases (page_id, spelling, oid, aid) VALUES (?, ?, ?, ?)", (page, spelling, oid, aid))

    def add_text(self, digest: bytes, characters: int, signature: bytes | None) -> tuple[int, bool]:
        """(key, whether it is new) of a normalised text."""
        row = self._one("SELECT id FROM texts WHERE digest = ?", digest)
        if row:
            return row[0], False
        sql = "INSERT INTO texts (digest, characters, signature) VALUES (?, ?, ?)"
        return self._insert(sql, (digest, characters, signature)), True

    def revision(self, page: int, digest: bytes, title: str, body: str) -> tuple[int, bool]:
        """(key, whether it is new) of a state of a page, made at first sight without a text."""
        row = self._one("SELECT id FROM revisions WHERE page_id = ? AND digest = ?", page, digest)
        if row:
            return row[0], False
        sql = "INSERT INTO revisions (page_id, digest, title, body) VALUES (?, ?, ?, ?)"
        return self._insert(sql, (page, digest, title, body)), True

    def lacks_text(self, revision: int) -> bool:
        """Whether a state (that is still there) has not been given its normalised text."""
        return self._one("SELECT 1 FROM revisions WHERE id = ? AND text_id IS NULL", revision) is not None

    def shows(self, page: int, text: int) -> bool:
        """Whether any revision of a page has this text."""
        return self._one("SELECT 1 FROM revisions WHERE text_id = ? AND page_id = ?", text, page) is not None

    def set_revision_text(self, revision: int, text: int) -> None:
        self._execute("UPDATE revisions SET text_id = ? WHERE id = ?", text, revision)

    def metadata(self, metadata: Metadata) -> int:
        """The key of a distinct metadata value."""
        m = metadata
        extra = json.dumps(dict(m.extra), ensure_ascii=False, sort_keys=True)
        values = (m.id, m.publisher, m.author, m.category, m.published_at, m.published_printed, m.oid, m.aid, extra)
        digest = xxhash.xxh3_128_digest(json.dumps(values).encode())
        row = self._one("SELECT id FROM metadata WHERE digest = ?", digest)
        if row:
            return int(row[0])
        return self._insert(
            "INSERT INTO metadata (article_id, publisher, author, category, published_at, published_printed, oid, aid, extra, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, digest),
        )

    def first_crawled_at(self, file: int, page: int, revision: int) -> str | None:
        """When a file without a crawl time was first taken as crawled, if it holds the same state as then."""
        row = self._one(
            "SELECT s.crawled_at FROM readings d JOIN sightings s ON s.id = d.sighting_id WHERE d.file_id = ? AND s.page_id = ?"
            " AND s.revision_id = ? AND s.crawled_at_from = 'mtime' ORDER BY s.crawled_at LIMIT 1",
            file, page, revision,
        )  # fmt: skip
        return row[0] if row else None

    def sighting(self, page: int, crawled_at: str, revision: int, crawled_at_from: str, metadata: int) -> tuple[int, bool]:
        """(key, whether it is new) of a crawl of a page; its check and standing follow from its readings."""
        row = self._one("SELECT id FROM sightings WHERE page_id = ? AND crawled_at = ? AND revision_id = ?", page, crawled_at, revision)
        if row:
            return row[0], False
        return self._insert(
            "INSERT INTO sightings (page_id, crawled_at, revision_id, crawled_at_from, metadata_id, standing, check_status)"
            " VALUES (?, ?, ?, ?, ?, 'counted', 'unclaimed')",
            (page, crawled_at, revision, crawled_at_from, metadata),
        ), True

    def prior_readings(self, file: int, page: int, crawled_at: str, revision: int) -> list[PriorReading]:
        """Readings of the same file for the same crawl of the same page that gave another state."""
        return [
            PriorReading(*r)
            for r in self._all(
                "SELECT d.id, d.sighting_id, d.check_status, d.check_cause, d.standing FROM readings d"
                " JOIN sightings s ON s.id = d.sighting_id"
                " WHERE d.file_id = ? AND s.page_id = ? AND s.crawled_at = ? AND s.revision_id <> ?",
                file, page, crawled_at, revision,
            )
        ]  # fmt: skip

    def reading(
        self, file: int, sighting: int, alias: int, metadata: int, article: Article,
        status: CheckStatus, cause: Cause | None, standing: Standing, read_at: str,
    ) -> int:  # fmt: skip
        """Record that a file showed a sighting; reading the same again replaces what was noted of it."""
        row = self._one("SELECT id FROM readings WHERE sighting_id = ? AND file_id = ?", sighting, file)
        values = (
            alias,
            metadata,
            standing,
            status,
            cause,
            article.check.claimed,
            article.check.recipe,
            article.encoding,
            read_at,
        )
        if row:
            self._execute(
                "UPDATE readings SET alias_id = ?, metadata_id = ?, standing = ?, check_status = ?, check_cause = ?, claimed = ?,"
                " recipe = ?, encoding = ?, read_at = ? WHERE id = ?",
                *values, row[0],
            )  # fmt: skip
            return int(row[0])
        return self._insert(
            "INSERT INTO readings (alias_id, metadata_id, standing, check_status, check_cause, claimed, recipe, encoding, read_at,"
            " file_id, sighting_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, file, sighting),
        )

    def supersede_reading(self, reading: int) -> None:
        self._execute("UPDATE readings SET standing = 'superseded' WHERE id = ?", reading)

    def delete_reading(self, reading: int) -> None:
        """Forget a reading that another one of the same crawl replaced."""
        self._execute("UPDATE files SET reading_id = NULL WHERE reading_id = ?", reading)
        self._execute("DELETE FROM readings WHERE id = ?", reading)

    def readings_of(self, sighting: int) -> list[tuple[Standing, CheckStatus, Cause | None, int, bytes]]:
        """(standing, check, cause, metadata, its digest) of every reading of a sighting, by metadata digest."""
        return [
            (r[0], r[1], r[2], r[3], r[4])
            for r in self._all(
                "SELECT d.standing, d.check_status, d.check_cause, d.metadata_id, m.digest FROM readings d"
                " JOIN metadata m ON m.id = d.metadata_id WHERE d.sighting_id = ? ORDER BY m.digest, d.id",
                sighting,
            )
        ]

    def update_sighting(self, sighting: int, standing: Standing, status: CheckStatus, cause: Cause | None, metadata: int) -> None:
        self._execute(
            "UPDATE sightings SET standing = ?, check_status = ?, check_cause = ?, metadata_id = ? WHERE id = ?",
            standing, status, cause, metadata, sighting,
        )  # fmt: skip

    def delete_sighting(self, sighting: int) -> None:
        """Forget a sighting without readings, and its state if nothing else showed it. Its text keeps its row: the candidate
        index may still name it."""
        row = self._one("SELECT revision_id, page_id FROM sightings WHERE id = ?", sighting)
        if row is None:
            return
        self._execute("UPDATE pages SET current_sighting_id = NULL WHERE id = ? AND current_sighting_id = ?", row[1], sighting)
        self._execute("DELETE FROM changes WHERE sighting_id = ? OR previous_id = ?", sighting, sighting)
        self._execute("DELETE FROM sightings WHERE id = ?", sighting)
        self._execute("DELETE FROM revisions WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sightings WHERE revision_id = ?)", row[0], row[0])

    def set_cause(self, sighting: int, cause: Cause) -> None:
        """Another cause for a mismatch, now that more of the page's history is known."""
        self._execute("UPDATE sightings SET check_cause = ? WHERE id = ?", cause, sighting)
        self._execute(
            "UPDATE readings SET check_cause = ? WHERE sighting_id = ? AND check_cause IN ('altered', 'stale')"
            " AND standing = 'counted'",
            cause, sighting,
        )  # fmt: skip

    def set_current(self, page: int, sighting: int | None) -> None:
        self._execute("UPDATE pages SET current_sighting_id = ? WHERE id = ?", sighting, page)

    def changes_of(self, page: int) -> dict[int, tuple[int, bool, str]]:
        """The stored changes of a page: later sighting → (earlier sighting, returned, fields as JSON)."""
        rows = self._all("SELECT sighting_id, previous_id, returned, fields FROM changes WHERE page_id = ?", page)
        return {r[0]: (r[1], bool(r[2]), r[3]) for r in rows}

    def delete_change(self, sighting: int) -> None:
        self._execute("DELETE FROM changes WHERE sighting_id = ?", sighting)

    def add_change(self, page: int, change: Change, *, title: bool, body: bool, body_similarity: float) -> None:
        self._execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            change.sighting.id, change.previous.id, page, change.sighting.crawled_at, int(title), int(body), body_similarity,
            int(change.returned), fields_json(change),
        )  # fmt: skip

    # Duplicates

    def add_match(self, match: Match, recipe: str, found_at: str) -> bool:
        """Record a confirmed pair of texts; False if it was known."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO matches (a, b, relation, similarity, containment, recipe, found_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (match.a, match.b, match.relation, match.similarity, match.containment, recipe, found_at),
        )
        return cursor.rowcount == 1

    def drop_matches(self) -> None:
        self._execute("DELETE FROM matches")

    def set_signature(self, text: int, signature: bytes | None, characters: int) -> None:
        self._execute("UPDATE texts SET signature = ?, characters = ? WHERE id = ?", signature, characters, text)

    # Regrouping by other URL rules

    def all_aliases(self) -> list[tuple[int, int, str, str, str]]:
        """(alias, page, spelling, oid, aid) of every alias."""
        return [(r[0], r[1], r[2], r[3], r[4]) for r in self._all("SELECT id, page_id, spelling, oid, aid FROM aliases ORDER BY id")]

    def misplaced_readings(self) -> list[tuple[int, int, int, int]]:
        """(reading, sighting, revision, page it belongs to) where a reading's alias is another page's than its sighting."""
        return [
            (r[0], r[1], r[2], r[3])
            for r in self._all(
                "SELECT d.id, s.id, s.revision_id, a.page_id FROM readings d JOIN aliases a ON a.id = d.alias_id"
                " JOIN sightings s ON s.id = d.sighting_id WHERE a.page_id <> s.page_id ORDER BY d.id"
            )
        ]

    def copy_revision(self, revision: int, page: int) -> tuple[int, bool]:
        """(key, whether it is new) of the same state under another page."""
        row = self._one("SELECT digest, title, body, text_id FROM revisions WHERE id = ?", revision)
        assert row is not None
        there, new = self.revision(page, row[0], row[1], row[2])
        if row[3] is not None:
            self.set_revision_text(there, row[3])
        return there, new

    def copy_sighting(self, sighting: int, page: int, revision: int) -> tuple[int, bool]:
        """(key, whether it is new) of the same crawl under another page."""
        row = self._one("SELECT crawled_at, crawled_at_from, metadata_id FROM sightings WHERE id = ?", sighting)
        assert row is not None
        return self.sighting(page, row[0], revision, row[1], row[2])

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

    def kept_sightings(self, page: int) -> list[KeptSighting]:
        """Every sighting of a page in the order of its history: by crawl time, then state digest."""
        return [
            KeptSighting(r[0], r[1], r[2], r[3], r[4], r[5], r[6], Metadata(r[7], r[8], r[9], r[10]))
            for r in self._all(
                "SELECT s.id, s.crawled_at, s.revision_id, r.digest, s.standing, s.check_status, s.check_cause,"
                " m.publisher, m.author, m.category, m.published_at"
                " FROM sightings s JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id"
                " WHERE s.page_id = ? ORDER BY s.crawled_at, r.digest",
                page,
            )
        ]

    def claims_of(self, sighting: int) -> list[str]:
        """The distinct claims of a sighting's readings."""
        return [r[0] for r in self._all("SELECT DISTINCT claimed FROM readings WHERE sighting_id = ? ORDER BY 1", sighting)]

    def checkpoint(self) -> None:
        """Fold the write-ahead log back into the database where readers allow it."""
        try:
            self._execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError:
            return


_FILE = "id, size, mtime_ns, inode, ctime_ns, content, reading_id IS NOT NULL, gone"


def _file(row: tuple[Any, ...]) -> FileRow:
    return FileRow(row[0], Stat(row[1], row[2], row[3], row[4]), row[5], bool(row[6]), bool(row[7]))


def fields_json(change: Change) -> str:
    """Tracked metadata that differ, as stored: name → [before, after]."""
    return json.dumps({name: [before, after] for name, before, after in change.fields}, ensure_ascii=False, sort_keys=True)
