"""Checks of a database that may be damaged, and of rows that do not fit each other."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import sqlite_utils

from dedup.errors import DatabaseMissingError
from dedup.model import Match
from dedup.store import schema, settings, statistics, wal
from dedup.store.connection import connect
from dedup.store.corruption import damage_message
from dedup.store.database import Database
from dedup.store.lock import current_holder
from dedup.store.matches import MATCH_COLUMNS, match_from_row
from dedup.store.texts import TEXTS_WITHOUT_BODY

_Row = TypeVar("_Row")


BASE_TABLES = ("crawl_directories", "pages", "aliases", "metadata", "revisions", "sightings", "files", "readings")
"""Tables that nothing else in the database could be made from, with keys of their own."""


DERIVED_TABLES = frozenset(
    {
        "texts",
        "text_fingerprints",
        "followers",
        "matches",
        "changes",
        "batches",
        "revision_log",
        "summaries",
        "clusters",
        "cluster_members",
        "dirty_pages",
        "dirty_texts",
    }
)
"""Tables that are made from the others."""


REBUILDABLE_TABLES = frozenset({"summaries", "clusters", "cluster_members", "dirty_pages", "dirty_texts", "revision_log"})
"""Tables of which everything is made from the others, when they are empty."""


@dataclass(frozen=True, slots=True)
class MisfitCount:
    """How many rows a question found, and names for the first of them, for people."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableExtent:
    """Of the rows of a table that are known of (by itself, its indexes or what names them), how many can be read."""

    table: str
    known_count: int
    readable_count: int


@dataclass(frozen=True, slots=True)
class StateWithText:
    """A revision beside its text: title and body as the bytes that are stored; `is_counted`: some crawl of it is; `is_pruned`: its body
    was let go, and nothing can be made of it. Without a text, or where that is not there, the last four are None."""

    id: int
    url: str
    digest: bytes
    title: bytes
    body: bytes
    is_counted: bool
    is_pruned: bool
    text_id: int | None
    text_digest: bytes | None
    characters: int | None
    signature: bytes | None
    fingerprints: bytes | None


MAX_EXAMPLES = 3
"""Rows of a kind that are named."""


_BETWEEN = "BETWEEN ?1 AND ?2 ORDER BY 1 LIMIT ?2 - ?1 + 1"
"""Keys between two; once all that there can be are found, no page beyond them is met."""


_URL_OF_PAGE = "coalesce((SELECT url FROM pages WHERE id = {}), 'a page that is not there')"


_PATH_OF_FILE = "(SELECT o.path_text FROM crawl_directories o WHERE o.id = f.directory_id) || '/' || f.path_text"


_READINGS_OF_REVISION = "SELECT 1 FROM sightings s JOIN readings d ON d.sighting_id = s.id WHERE s.revision_id = r.id"


_UNCOUNTED_REVISIONS = (
    "FROM revisions r WHERE r.text_id IS NOT NULL AND r.pruned_at IS NULL"
    f" AND EXISTS ({_READINGS_OF_REVISION}) AND NOT EXISTS ({_READINGS_OF_REVISION} AND (d.status = 'counted' OR d.status = 'superseded'))"
)


MISFIT_QUERIES = {
    "revisions that no crawl shows": f"SELECT {_URL_OF_PAGE.format('r.page_id')} FROM revisions r WHERE NOT EXISTS"
    " (SELECT 1 FROM sightings s WHERE s.revision_id = r.id)",
    "crawls that no file shows": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM sightings s WHERE NOT EXISTS"
    " (SELECT 1 FROM readings d WHERE d.sighting_id = s.id)",
    "crawls of another page's revision": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM sightings s"
    " JOIN revisions r ON r.id = s.revision_id WHERE r.page_id <> s.page_id",
    "files whose reading is another file's": f"SELECT {_PATH_OF_FILE} FROM files f JOIN readings d ON d.id = f.current_reading_id"
    " WHERE d.file_id <> f.id",
    "files that are neither an article nor a fault": f"SELECT {_PATH_OF_FILE} FROM files f WHERE f.gone = 0"
    " AND f.current_reading_id IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM faults t WHERE t.directory_id = f.directory_id"
    " AND t.path = CASE f.folder WHEN x'' THEN f.name ELSE CAST(f.folder || x'2f' || f.name AS BLOB) END)",
    "readings of another page's address": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM readings d JOIN aliases a ON a.id = d.alias_id"
    " JOIN sightings s ON s.id = d.sighting_id WHERE a.page_id <> s.page_id",
    "texts with a signature and without passages": "SELECT (SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
    " WHERE r.text_id = t.id LIMIT 1) AS url FROM texts t WHERE t.signature IS NOT NULL AND url IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM text_fingerprints x WHERE x.text_id = t.id)",
    "states with a text though only readings that do not count show them": f"SELECT {_URL_OF_PAGE.format('r.page_id')}"
    f" {_UNCOUNTED_REVISIONS}",
    "texts that are looked up though their bodies were pruned": "SELECT (SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
    f" WHERE r.text_id = t.id LIMIT 1) FROM texts t WHERE t.id IN ({TEXTS_WITHOUT_BODY}) AND (t.signature IS NOT NULL"
    " OR EXISTS (SELECT 1 FROM text_fingerprints x WHERE x.text_id = t.id))",
    "matches by other rules than those in force": "SELECT m.match_recipe FROM matches m"
    " WHERE m.match_recipe <> (SELECT value FROM settings WHERE key = 'recipe.matches')"
    f" AND m.text_a_id NOT IN ({TEXTS_WITHOUT_BODY}) AND m.text_b_id NOT IN ({TEXTS_WITHOUT_BODY})",
    "pages without a summary of their current crawl": "SELECT p.url FROM pages p LEFT JOIN summaries v ON v.page_id = p.id"
    " LEFT JOIN sightings s ON s.id = p.current_sighting_id WHERE v.last_crawled_at IS NOT s.crawled_at"
    " AND NOT EXISTS (SELECT 1 FROM dirty_pages d WHERE d.page_id = p.id)",
    "clusters that do not have the articles they tell of": f"SELECT {_URL_OF_PAGE.format('c.page_id')} FROM clusters c WHERE c.size <> 1 +"
    " (SELECT count(*) FROM cluster_members m WHERE m.cluster_id = c.page_id)",
}
"""What rows do not fit → what names them for people."""


_WRONG_CURRENT_SIGHTING = (
    "SELECT p.id FROM pages p WHERE p.current_sighting_id IS NOT (SELECT s.id FROM sightings s JOIN revisions r ON r.id = s.revision_id"
    " WHERE s.page_id = p.id AND s.status = 'counted' ORDER BY s.crawled_at DESC, r.digest DESC LIMIT 1)"
)


STRAY_CHANGES_QUERY = (
    "SELECT c.sighting_id FROM changes c LEFT JOIN sightings y ON y.id = c.sighting_id LEFT"
    " JOIN sightings x ON x.id = c.previous_sighting_id"
    " WHERE x.id IS NULL OR y.id IS NULL OR x.page_id <> c.page_id OR y.page_id <> c.page_id OR x.status <> 'counted'"
    " OR y.status <> 'counted' OR c.at <> y.crawled_at OR x.id = y.id"
)


_STATES_QUERY = (
    f"SELECT r.id, {_URL_OF_PAGE.format('r.page_id')}, r.digest, CAST(r.title AS BLOB), CAST(r.body AS BLOB),"
    " EXISTS (SELECT 1 FROM sightings s WHERE s.revision_id = r.id AND s.status = 'counted'),"
    " r.pruned_at IS NOT NULL, r.text_id, t.digest, t.characters, t.signature, x.fingerprints"
    " FROM revisions r LEFT JOIN texts t ON t.id = r.text_id LEFT JOIN text_fingerprints x ON x.text_id = r.text_id"
    f" WHERE r.id {_BETWEEN}"
)


class DamagedDatabase(Database):
    """A database that is read although it may be damaged. `without_log`: the log beside it belongs to another database and is left out."""

    def __init__(self, db: sqlite_utils.Database, path: str, *, without_log: bool) -> None:
        super().__init__(db, path)
        self.without_log = without_log


def count_database_pages(database: Database) -> int:
    return int(database.value("PRAGMA page_count"))


def unknown_migrations(database: Database) -> list[str]:
    """Names of applied migrations that this program does not know."""
    return schema.unknown_migrations(database.db)


def is_of_development(database: Database) -> bool:
    """Whether a version before the first release made the database."""
    return schema.is_of_development(database.db)


def is_older(database: Database) -> bool:
    """Whether the database lacks a migration of this program."""
    return schema.has_pending_migrations(database.db)


def schema_differences(database: Database) -> list[schema.SchemaDifference]:
    """What of the schema is not as the migrations make it."""
    return schema.differences(database.db)


def tables(database: Database) -> list[str]:
    return [r[0] for r in database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")]


def integrity_errors(database: Database, table: str | None = None, limit: int = 100) -> list[str]:
    """What PRAGMA integrity_check says of the file, or of one table and its indexes, line by line; nothing where all is well."""
    argument = limit if table is None else f"'{table}'"
    error: sqlite3.Error | None = None
    for row_limit in (-1, 20, 5, 1):  # a row is lost where what comes after it fails
        try:
            rows = database.rows(f"SELECT integrity_check FROM pragma_integrity_check({argument}) LIMIT {row_limit}")
        except sqlite3.DatabaseError as raised:
            error = error or raised
        else:
            lines = [line for (told,) in rows for line in str(told).splitlines() if line.strip() and not line.startswith("***")]
            if lines != ["ok"]:
                return lines[:limit]
            if error is None:
                return []
    return [str(error)]


def broken_foreign_keys(database: Database) -> Counter[tuple[str, str]]:
    """(table, table that it names) → rows that name one that is not there."""
    return Counter((r[0], r[2]) for r in database.connection.execute("PRAGMA foreign_key_check"))


def count_readable_rows(database: Database, table: str) -> TableExtent:
    """How much of one of the `BASE_TABLES` tables can be read, every column of it."""
    known_ids = set(_referenced_ids(database, table))
    readable_ids: set[int] = set()
    sql = f"SELECT * FROM {table} NOT INDEXED WHERE id {_BETWEEN}"
    last_id = _last_id(database, table)
    for row in read_in_ranges(lambda low, high: database.connection.execute(sql, (low, high)), 1, last_id):
        readable_ids.add(row[0])
    return TableExtent(table, len(known_ids | readable_ids), len(readable_ids))


def read_in_ranges(fetch: Callable[[int, int], Iterator[_Row]], low: int, high: int, range_size: int = 512) -> Iterator[_Row]:
    """The rows that `fetch` gives for keys between two, so many keys at once; what meets a damaged page is asked again for fewer."""
    for start in range(low, high + 1, range_size):
        ranges = [(start, min(start + range_size - 1, high))]
        while ranges:
            first, last = ranges.pop()
            try:
                rows = list(fetch(first, last))
            except sqlite3.DatabaseError:
                if first < last:
                    middle = (first + last) // 2
                    ranges += [(middle + 1, last), (first, middle)]
            else:
                yield from rows


def _last_id(database: Database, table: str) -> int:
    """The greatest key of a table, as far as it is known of."""
    try:
        return int(database.value(f"SELECT coalesce(max(id), 0) FROM {table}"))
    except sqlite3.DatabaseError:
        return max(_referenced_ids(database, table), default=0)


def _referenced_ids(database: Database, table: str) -> Iterator[int]:
    """Keys of a table that its indexes hold and that other tables name, as far as those can be read."""
    queries = [
        f'SELECT id FROM {table} INDEXED BY "{name}"'
        for name in _try_names(database, f"SELECT name FROM pragma_index_list('{table}') WHERE NOT partial")
    ]
    for other_table in _try_names(database, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        references = f"SELECT \"from\" FROM pragma_foreign_key_list('{other_table}') WHERE \"table\" = '{table}'"
        queries += [f'SELECT "{column}" FROM "{other_table}" WHERE "{column}" IS NOT NULL' for column in _try_names(database, references)]
    for sql in queries:
        try:
            yield from (r[0] for r in database.connection.execute(sql) if isinstance(r[0], int))
        except sqlite3.DatabaseError:
            continue


def _try_names(database: Database, sql: str) -> list[str]:
    try:
        return [r[0] for r in database.rows(sql)]
    except sqlite3.DatabaseError:
        return []


def count_rows(database: Database) -> int:
    """Rows of the tables that `records` looks at."""
    return sum(statistics.count(database, table) for table in BASE_TABLES)


def _count_misfits(database: Database, sql: str) -> MisfitCount:
    count, examples = 0, []
    for (name,) in database.connection.execute(sql):
        count += 1
        if count <= MAX_EXAMPLES:
            examples.append(str(name))
    return MisfitCount(count, tuple(examples))


def count_misfits(database: Database, description: str) -> MisfitCount:
    """The rows of one kind of `MISFIT_QUERIES`."""
    return _count_misfits(database, MISFIT_QUERIES[description])


def uncounted_revisions_with_texts(database: Database) -> list[int]:
    """Revisions that have a text though none of their readings counts or was superseded."""
    return [r[0] for r in database.rows(f"SELECT r.id {_UNCOUNTED_REVISIONS}")]


def pages_with_wrong_current_sighting(database: Database) -> list[int]:
    """Pages whose current sighting is not the latest counted one of theirs."""
    return [r[0] for r in database.rows(_WRONG_CURRENT_SIGHTING)]


def stray_changes(database: Database) -> list[int]:
    """Changes (by their later sighting) that do not name two counted sightings of their page, or are told for another time."""
    return [r[0] for r in database.rows(STRAY_CHANGES_QUERY)]


def sighting_ids(database: Database, *, after_id: int, limit: int) -> list[int]:
    """The keys of the next `limit` sightings, in order."""
    return [r[0] for r in database.rows("SELECT id FROM sightings WHERE id > ? ORDER BY id LIMIT ?", after_id, limit)]


def stored_matches(database: Database, batch_size: int = 500) -> Iterator[Match]:
    """Every match, by its texts; read in parts, so that no statement stays open between them."""
    cursor = (0, 0)
    while rows := database.rows(
        f"SELECT {MATCH_COLUMNS} FROM matches m WHERE (m.text_a_id, m.text_b_id) > (?, ?) ORDER BY m.text_a_id, m.text_b_id LIMIT ?",
        *cursor,
        batch_size,
    ):
        cursor = rows[-1][:2]
        yield from map(match_from_row, rows)


def sightings_with_lost_metadata(database: Database, sightings: Iterable[int]) -> set[int]:
    """Those of the sightings that have a reading whose metadata row is missing."""
    select = (
        "SELECT DISTINCT w.id FROM wanted w CROSS JOIN readings d ON d.sighting_id = w.id"
        " WHERE NOT EXISTS (SELECT 1 FROM metadata m WHERE m.id = d.metadata_id)"
    )
    return {r[0] for r in database.select_by_ids(sightings, select)}


def pages_with_mismatched_readings(database: Database) -> list[int]:
    """Pages with a counted reading that does not have the digest it claims."""
    return [
        r[0]
        for r in database.rows(
            "SELECT DISTINCT a.page_id FROM readings d JOIN aliases a ON a.id = d.alias_id"
            " WHERE d.check_status = 'mismatched' AND d.status = 'counted' ORDER BY 1"
        )
    ]


def last_signed_text_id(database: Database) -> int:
    """The greatest key of a text with a signature; 0 where there is none."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL"))


def directories(database: Database) -> list[tuple[bytes, int | None, int | None]]:
    """(path, device, inode) of every crawl directory that was ever scanned."""
    return [(r[0], r[1], r[2]) for r in database.rows("SELECT path, device, inode FROM crawl_directories ORDER BY path")]


def directory_ids(database: Database) -> dict[bytes, int]:
    """Path → key of every crawl directory that was ever scanned."""
    return dict(database.rows("SELECT path, id FROM crawl_directories"))


def newest_paths(database: Database, limit: int) -> list[bytes]:
    """Whole paths of the files that were first recorded last, of those that are there."""
    rows = database.rows(
        "SELECT d.path, f.folder, f.name FROM files f JOIN crawl_directories d ON d.id = f.directory_id WHERE f.gone = 0"
        " ORDER BY f.id DESC LIMIT ?",
        limit,
    )
    return [os.path.join(*map(bytes, row)) for row in rows]


def last_revision_id(database: Database) -> int:
    """The greatest key of a revision that is known of."""
    return _last_id(database, "revisions")


def states(database: Database, first: int, last: int) -> Iterator[StateWithText]:
    """Revisions with keys between two, in order of them."""
    for r in database.connection.execute(_STATES_QUERY, (first, last)):
        yield StateWithText(r[0], r[1], r[2], r[3], r[4], bool(r[5]), bool(r[6]), *r[7:])


def states_of_pages(database: Database, pages: Iterable[int]) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """(page, digest of the state, title, body), the last two as the bytes that are stored, of every state that has its body."""
    select = (
        "SELECT w.id, r.digest, CAST(r.title AS BLOB), CAST(r.body AS BLOB) FROM wanted w CROSS JOIN revisions r ON r.page_id = w.id"
        " WHERE r.pruned_at IS NULL"
    )
    return ((r[0], r[1], r[2], r[3]) for r in database.select_by_ids(pages, select))


def newest_write(database: Database) -> str | None:
    """When something was last written, as far as rows tell: the end of a scan, a file, a reading."""
    scan_finished_at = json.loads(settings.get(database, "last_scan") or "{}").get("finished_at")
    timestamps = [
        scan_finished_at,
        *(database.value(sql) for sql in ("SELECT max(read_at) FROM readings", "SELECT max(first_seen_at) FROM files")),
    ]
    return max((str(f) for f in timestamps if f), default=None)


def newest_file(database: Database) -> tuple[int, str] | None:
    """(nanoseconds, path) of the newest time stamp of a file that is there."""
    row = database.row(
        "SELECT max(max(f.mtime_ns, f.ctime_ns)), o.path_text || '/' || f.path_text FROM files f"
        " JOIN crawl_directories o ON o.id = f.directory_id WHERE f.gone = 0"
    )
    return (row[0], row[1]) if row and row[0] is not None else None


def count_pages_crawled_after(database: Database, at: str) -> MisfitCount:
    """Pages that were crawled after a time (ISO 8601 in UTC), as their files say."""
    return _count_misfits(
        database, f"SELECT p.url FROM sightings s JOIN pages p ON p.id = s.page_id WHERE s.crawled_at > '{at}' ORDER BY s.crawled_at DESC"
    )


@contextmanager
def open_damaged(path: str) -> Iterator[DamagedDatabase]:
    """The database at `path`, read-only, whatever it is like; errors of SQLite come out as they are.

    What lies behind the end of a file that was cut short is left out. A log that is not the database's is left out too.
    """
    schema.require_sqlite()
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    is_foreign = wal.is_foreign(os.path.realpath(path), has_writer=current_holder(path) is not None)
    connection = _try_connect(path, immutable=is_foreign)
    if connection is None:
        connection = connect(path, immutable=True)
    try:
        connection.execute("PRAGMA writable_schema=ON")  # else a file that lacks its end is refused as a whole
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        yield DamagedDatabase(sqlite_utils.Database(connection), path, without_log=is_foreign)
    finally:
        connection.close()


def _try_connect(path: str, *, immutable: bool) -> sqlite3.Connection | None:
    """A connection by which the file can be read, sound or damaged; None: only without the files that WAL wants beside it."""
    connection = connect(path, immutable=immutable)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        if damage_message(error) is None:
            connection.close()
            return None
    return connection
