"""Read a database that may be damaged, and find rows that contradict each other."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

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
"""Tables with ids that cannot be derived from the rest of the database."""


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
"""Tables that are derived from the others."""


REBUILDABLE_TABLES = frozenset({"summaries", "clusters", "cluster_members", "dirty_pages", "dirty_texts", "revision_log"})
"""Derived tables that are completely rebuilt when they are empty."""


@dataclass(frozen=True, slots=True)
class RowReport:
    """The number of rows that a check found, and printable names of the first `MAX_EXAMPLES`."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableExtent:
    """The number of known rows of a table (from the table, its indexes and the references to it), and the number of readable ones."""

    table: str
    known_count: int
    readable_count: int


@dataclass(frozen=True, slots=True)
class StateWithText:
    """A revision and its text. Title and body are the stored bytes. `is_counted`: it has a counted sighting. `is_pruned`: its body was
    deleted. Without a text, or if the text is missing, the last four fields are None."""

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


class DirectoryIdentity(NamedTuple):
    """A crawl directory, and (st_dev, st_ino) when it last had content."""

    path: bytes
    device: int | None
    inode: int | None


class StateContent(NamedTuple):
    """A state of a page: its digest, and title and body as the stored bytes."""

    page_id: int
    digest: bytes
    title: bytes
    body: bytes


class NewestFile(NamedTuple):
    """The latest time stamp of a present file, in nanoseconds since the epoch, and its printable path."""

    time_ns: int
    path: str


MAX_EXAMPLES = 3
"""Rows that a RowReport names."""


_BETWEEN = "BETWEEN ?1 AND ?2 ORDER BY 1 LIMIT ?2 - ?1 + 1"
"""Selects ids from ?1 to ?2. The limit ends the read at the last possible row, before a damaged page behind it."""


_URL_OF_PAGE = "coalesce((SELECT url FROM pages WHERE id = {}), 'a missing page')"


_URL_OF_TEXT = "(SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id WHERE r.text_id = t.id LIMIT 1)"


_HAS_FINGERPRINTS = "EXISTS (SELECT 1 FROM text_fingerprints x WHERE x.text_id = t.id)"


_FAULT_AT_FILE = (
    "SELECT 1 FROM faults t WHERE t.directory_id = f.directory_id"
    " AND t.path = CASE f.folder WHEN x'' THEN f.name ELSE CAST(f.folder || x'2f' || f.name AS BLOB) END"
)


_PATH_OF_FILE = "(SELECT o.path_text FROM crawl_directories o WHERE o.id = f.directory_id) || '/' || f.path_text"


_READINGS_OF_REVISION = "SELECT 1 FROM sightings s JOIN readings d ON d.sighting_id = s.id WHERE s.revision_id = r.id"


_UNCOUNTED_REVISIONS = (
    "FROM revisions r WHERE r.text_id IS NOT NULL AND r.pruned_at IS NULL"
    f" AND EXISTS ({_READINGS_OF_REVISION}) AND NOT EXISTS ({_READINGS_OF_REVISION} AND (d.status = 'counted' OR d.status = 'superseded'))"
)


TEXTS_WITHOUT_FINGERPRINTS = "texts with a signature but no fingerprints"


CONTRADICTION_QUERIES = {
    "revisions without a sighting": f"SELECT {_URL_OF_PAGE.format('r.page_id')} FROM revisions r WHERE NOT EXISTS"
    " (SELECT 1 FROM sightings s WHERE s.revision_id = r.id)",
    "sightings without a reading": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM sightings s WHERE NOT EXISTS"
    " (SELECT 1 FROM readings d WHERE d.sighting_id = s.id)",
    "sightings of another page's revision": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM sightings s"
    " JOIN revisions r ON r.id = s.revision_id WHERE r.page_id <> s.page_id",
    "files whose current reading is another file's": f"SELECT {_PATH_OF_FILE} FROM files f JOIN readings d ON d.id = f.current_reading_id"
    " WHERE d.file_id <> f.id",
    "files that are neither an article nor a fault": f"SELECT {_PATH_OF_FILE} FROM files f WHERE f.gone = 0"
    f" AND f.current_reading_id IS NULL AND NOT EXISTS ({_FAULT_AT_FILE})",
    "readings of another page's URL": f"SELECT {_URL_OF_PAGE.format('s.page_id')} FROM readings d JOIN aliases a ON a.id = d.alias_id"
    " JOIN sightings s ON s.id = d.sighting_id WHERE a.page_id <> s.page_id",
    TEXTS_WITHOUT_FINGERPRINTS: f"SELECT {_URL_OF_TEXT} AS url FROM texts t WHERE t.signature IS NOT NULL AND url IS NOT NULL"
    f" AND NOT {_HAS_FINGERPRINTS}",
    "revisions with a text but no counted reading": f"SELECT {_URL_OF_PAGE.format('r.page_id')} {_UNCOUNTED_REVISIONS}",
    "indexed texts whose bodies were pruned": f"SELECT {_URL_OF_TEXT} FROM texts t WHERE t.id IN ({TEXTS_WITHOUT_BODY})"
    f" AND (t.signature IS NOT NULL OR {_HAS_FINGERPRINTS})",
    "matches with an outdated recipe": "SELECT m.match_recipe FROM matches m"
    " WHERE m.match_recipe <> (SELECT value FROM settings WHERE key = 'recipe.matches')"
    f" AND m.text_a_id NOT IN ({TEXTS_WITHOUT_BODY}) AND m.text_b_id NOT IN ({TEXTS_WITHOUT_BODY})",
    "pages without a summary of their current crawl": "SELECT p.url FROM pages p LEFT JOIN summaries v ON v.page_id = p.id"
    " LEFT JOIN sightings s ON s.id = p.current_sighting_id WHERE v.last_crawled_at IS NOT s.crawled_at"
    " AND NOT EXISTS (SELECT 1 FROM dirty_pages d WHERE d.page_id = p.id)",
    "clusters whose size does not match their members": f"SELECT {_URL_OF_PAGE.format('c.page_id')} FROM clusters c WHERE c.size <> 1 +"
    " (SELECT count(*) FROM cluster_members m WHERE m.cluster_id = c.page_id)",
}
"""Rows that contradict others, as named in a finding → query for a printable name of each."""


_WRONG_CURRENT_SIGHTING = (
    "SELECT p.id FROM pages p WHERE p.current_sighting_id IS NOT (SELECT s.id FROM sightings s JOIN revisions r ON r.id = s.revision_id"
    " WHERE s.page_id = p.id AND s.status = 'counted' ORDER BY s.crawled_at DESC, r.digest DESC LIMIT 1)"
)


STRAY_CHANGES_QUERY = (
    "SELECT c.sighting_id FROM changes c LEFT JOIN sightings y ON y.id = c.sighting_id"
    " LEFT JOIN sightings x ON x.id = c.previous_sighting_id"
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
    """A database that may be damaged. `without_log`: the log next to it belongs to another database and is ignored."""

    def __init__(self, db: sqlite_utils.Database, path: str, *, without_log: bool) -> None:
        super().__init__(db, path)
        self.without_log = without_log


def count_database_pages(database: Database) -> int:
    """Return the number of pages of the database file."""
    return int(database.value("PRAGMA page_count"))


def unknown_migrations(database: Database) -> list[str]:
    """Return the names of applied migrations that this program does not know."""
    return schema.unknown_migrations(database.db)


def is_of_development(database: Database) -> bool:
    """Return whether a version before the first release made the database."""
    return schema.is_of_development(database.db)


def is_older(database: Database) -> bool:
    """Return whether the database lacks a migration of this program."""
    return schema.has_pending_migrations(database.db)


def schema_differences(database: Database) -> list[schema.SchemaDifference]:
    """Return how the schema differs from the one that the migrations make."""
    return schema.differences(database.db)


def tables(database: Database) -> list[str]:
    """Return the names of the tables, in order, without those of SQLite."""
    return [r[0] for r in database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")]


def integrity_errors(database: Database, table: str | None = None, limit: int = 100) -> list[str]:
    """Return the lines of PRAGMA integrity_check for the file, or for one table and its indexes; none if it is sound."""
    argument = limit if table is None else f"'{table}'"
    error: sqlite3.Error | None = None
    for row_limit in (-1, 20, 5, 1):  # an error in a later row loses the earlier ones
        try:
            rows = database.rows(f"SELECT integrity_check FROM pragma_integrity_check({argument}) LIMIT {row_limit}")
        except sqlite3.DatabaseError as raised:
            error = error or raised
        else:
            lines = [line for (report,) in rows for line in str(report).splitlines() if line.strip() and not line.startswith("***")]
            if lines != ["ok"]:
                return lines[:limit]
            if error is None:
                return []
    return [str(error)]


def broken_foreign_keys(database: Database) -> Counter[tuple[str, str]]:
    """Return (table, referenced table) → the number of rows that refer to a missing row."""
    return Counter((r[0], r[2]) for r in database.connection.execute("PRAGMA foreign_key_check"))


def count_readable_rows(database: Database, table: str) -> TableExtent:
    """Read every column of one of the `BASE_TABLES` and count the rows that can be read."""
    known_ids = set(_referenced_ids(database, table))
    readable_ids: set[int] = set()
    sql = f"SELECT * FROM {table} NOT INDEXED WHERE id {_BETWEEN}"
    last_id = _last_id(database, table)
    for row in read_in_ranges(lambda low, high: database.connection.execute(sql, (low, high)), 1, last_id):
        readable_ids.add(row[0])
    return TableExtent(table, len(known_ids | readable_ids), len(readable_ids))


def read_in_ranges(fetch: Callable[[int, int], Iterator[_Row]], low: int, high: int, range_size: int = 512) -> Iterator[_Row]:
    """Yield the rows that `fetch` returns for the ids from `low` to `high`, `range_size` ids at a time. A range that meets a damaged page
    is divided until every readable row is found."""
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
    """Return the greatest known id of a table."""
    try:
        return int(database.value(f"SELECT coalesce(max(id), 0) FROM {table}"))
    except sqlite3.DatabaseError:
        return max(_referenced_ids(database, table), default=0)


def _referenced_ids(database: Database, table: str) -> Iterator[int]:
    """Yield the ids of a table that its indexes hold and that other tables refer to, as far as those can be read."""
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
    """Return the number of rows of the `BASE_TABLES`."""
    return sum(statistics.count(database, table) for table in BASE_TABLES)


def _report_rows(database: Database, sql: str) -> RowReport:
    count, examples = 0, []
    for (name,) in database.connection.execute(sql):
        count += 1
        if count <= MAX_EXAMPLES:
            examples.append(str(name))
    return RowReport(count, tuple(examples))


def find_contradictions(database: Database, description: str) -> RowReport:
    """Run one of the `CONTRADICTION_QUERIES`."""
    return _report_rows(database, CONTRADICTION_QUERIES[description])


def uncounted_revisions_with_texts(database: Database) -> list[int]:
    """Return the revisions that have a text although none of their readings is counted or superseded."""
    return [r[0] for r in database.rows(f"SELECT r.id {_UNCOUNTED_REVISIONS}")]


def pages_with_wrong_current_sighting(database: Database) -> list[int]:
    """Return the pages whose current sighting is not their latest counted one."""
    return [r[0] for r in database.rows(_WRONG_CURRENT_SIGHTING)]


def stray_changes(database: Database) -> list[int]:
    """Return the changes, by their later sighting, that do not refer to two counted sightings of their page or have another time than the
    later one."""
    return [r[0] for r in database.rows(STRAY_CHANGES_QUERY)]


def sighting_ids(database: Database, *, after_id: int, limit: int) -> list[int]:
    """Return the next `limit` ids of sightings after `after_id`, in order."""
    return [r[0] for r in database.rows("SELECT id FROM sightings WHERE id > ? ORDER BY id LIMIT ?", after_id, limit)]


def stored_matches(database: Database, batch_size: int = 500) -> Iterator[Match]:
    """Yield every match by its texts. They are read in batches, so no statement stays open between them."""
    cursor = (0, 0)
    while rows := database.rows(
        f"SELECT {MATCH_COLUMNS} FROM matches m WHERE (m.text_a_id, m.text_b_id) > (?, ?) ORDER BY m.text_a_id, m.text_b_id LIMIT ?",
        *cursor,
        batch_size,
    ):
        cursor = rows[-1][:2]
        yield from map(match_from_row, rows)


def sightings_with_lost_metadata(database: Database, sightings: Iterable[int]) -> set[int]:
    """Return those of the sightings that have a reading whose metadata row is missing."""
    select = (
        "SELECT DISTINCT w.id FROM wanted w CROSS JOIN readings d ON d.sighting_id = w.id"
        " WHERE NOT EXISTS (SELECT 1 FROM metadata m WHERE m.id = d.metadata_id)"
    )
    return {r[0] for r in database.select_by_ids(sightings, select)}


def pages_with_mismatched_readings(database: Database) -> list[int]:
    """Return the pages with a counted reading whose digest is not the claimed one."""
    return [
        r[0]
        for r in database.rows(
            "SELECT DISTINCT a.page_id FROM readings d JOIN aliases a ON a.id = d.alias_id"
            " WHERE d.check_status = 'mismatched' AND d.status = 'counted' ORDER BY 1"
        )
    ]


def last_signed_text_id(database: Database) -> int:
    """Return the greatest id of a text with a signature, 0 without one."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL"))


def directories(database: Database) -> list[DirectoryIdentity]:
    """Return every crawl directory that was ever scanned, by path."""
    return [DirectoryIdentity(*r) for r in database.rows("SELECT path, device, inode FROM crawl_directories ORDER BY path")]


def directory_ids(database: Database) -> dict[bytes, int]:
    """Return path → id of every crawl directory that was ever scanned."""
    return dict(database.rows("SELECT path, id FROM crawl_directories"))


def newest_paths(database: Database, limit: int) -> list[bytes]:
    """Return the absolute paths of the present files that were first recorded last, the newest first."""
    rows = database.rows(
        "SELECT d.path, f.folder, f.name FROM files f JOIN crawl_directories d ON d.id = f.directory_id WHERE f.gone = 0"
        " ORDER BY f.id DESC LIMIT ?",
        limit,
    )
    return [os.path.join(*map(bytes, row)) for row in rows]


def last_revision_id(database: Database) -> int:
    """Return the greatest known id of a revision."""
    return _last_id(database, "revisions")


def states(database: Database, first: int, last: int) -> Iterator[StateWithText]:
    """Yield the revisions with ids from `first` to `last`, in order."""
    rows = database.connection.execute(_STATES_QUERY, (first, last))
    for revision, url, digest, title, body, is_counted, is_pruned, *text in rows:
        yield StateWithText(revision, url, digest, title, body, bool(is_counted), bool(is_pruned), *text)


def states_of_pages(database: Database, pages: Iterable[int]) -> Iterator[StateContent]:
    """Yield every state of these pages that has its body."""
    select = (
        "SELECT w.id, r.digest, CAST(r.title AS BLOB), CAST(r.body AS BLOB) FROM wanted w CROSS JOIN revisions r ON r.page_id = w.id"
        " WHERE r.pruned_at IS NULL"
    )
    return map(StateContent._make, database.select_by_ids(pages, select))


def newest_write(database: Database) -> str | None:
    """Return when something was last written according to the rows: the end of a scan, a file or a reading."""
    scan_finished_at = json.loads(settings.get(database, "last_scan") or "{}").get("finished_at")
    timestamps = (
        scan_finished_at,
        database.value("SELECT max(read_at) FROM readings"),
        database.value("SELECT max(first_seen_at) FROM files"),
    )
    return max((str(t) for t in timestamps if t), default=None)


def newest_file(database: Database) -> NewestFile | None:
    """Return the present file with the latest time stamp, None if there is no file."""
    row = database.row(
        "SELECT max(max(f.mtime_ns, f.ctime_ns)), o.path_text || '/' || f.path_text FROM files f"
        " JOIN crawl_directories o ON o.id = f.directory_id WHERE f.gone = 0"
    )
    return NewestFile(*row) if row and row[0] is not None else None


def pages_crawled_after(database: Database, at: str) -> RowReport:
    """Report the pages that were crawled after a time (ISO 8601 in UTC), according to their files."""
    return _report_rows(
        database, f"SELECT p.url FROM sightings s JOIN pages p ON p.id = s.page_id WHERE s.crawled_at > '{at}' ORDER BY s.crawled_at DESC"
    )


@contextmanager
def open_damaged(path: str) -> Iterator[DamagedDatabase]:
    """Open the database at `path` read-only even if it is damaged. SQLite errors are not translated.

    The missing end of a truncated file and a log of another database are ignored. Raises DatabaseMissingError if there is no file.
    """
    schema.require_sqlite()
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    is_foreign = wal.is_foreign(os.path.realpath(path), has_writer=current_holder(path) is not None)
    connection = _try_connect(path, immutable=is_foreign)
    if connection is None:
        connection = connect(path, immutable=True)
    try:
        connection.execute("PRAGMA writable_schema=ON")  # otherwise SQLite refuses a truncated file as a whole
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        yield DamagedDatabase(sqlite_utils.Database(connection), path, without_log=is_foreign)
    finally:
        connection.close()


def _try_connect(path: str, *, immutable: bool) -> sqlite3.Connection | None:
    """Return a connection that can read the file, sound or damaged. None if SQLite cannot create the side files of WAL."""
    connection = connect(path, immutable=immutable)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        if damage_message(error) is None:
            connection.close()
            return None
    return connection
