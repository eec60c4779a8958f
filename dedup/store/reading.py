"""What is asked of the database. A reader sees the state of one moment; a writer inherits the same questions."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from dedup.model import CLUSTERED, NO_COMMIT, Match, Numbers
from dedup.store.asking import marks
from dedup.store.deliveries import Deliveries
from dedup.store.rows import ArticleRow, BoilerplateRow, ChangeRow, DirectoryRow, RevisionRow, StateBody, TextRow, TimelineRow
from dedup.store.searching import Searchable

_ARTICLE = """
SELECT p.id, p.url, r.text_id, r.digest, r.title, m.publisher, m.published_at, s.crawled_at, m.article_id, s.check_status,
       coalesce((SELECT o.path_text || '/' || f.path_text FROM readings d JOIN files f ON f.id = d.file_id
                 JOIN directories o ON o.id = f.directory_id WHERE d.sighting_id = s.id
                 ORDER BY f.gone, f.path_text LIMIT 1), ''),
       NOT EXISTS (SELECT 1 FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id AND f.gone = 0),
       EXISTS (SELECT 1 FROM texts t WHERE t.id = r.text_id AND t.crowded = 1), m.oid, r.pruned_at
FROM {first}pages p JOIN sightings s ON {sighting} JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id
"""
_COUNTED = (
    "s.page_id = p.id AND s.id = (SELECT x.id FROM sightings x WHERE x.revision_id = s.revision_id"
    " AND x.standing = 'counted' ORDER BY x.crawled_at DESC LIMIT 1)"
)
_SHOWN = {
    False: _ARTICLE.format(first="", sighting="s.id = p.current_sighting_id"),
    True: _ARTICLE.format(first="", sighting=_COUNTED),
}
"""Articles as their pages stand now, or (True) every counted revision, by its latest crawl."""
ARTICLE_OF_PAGE = _ARTICLE.format(first="wanted w CROSS JOIN ", sighting=_COUNTED) + " WHERE p.id = w.page AND r.text_id = w.text"
"""The same of the pages and texts in a table `wanted`."""


class Reader(Deliveries, Searchable):
    """Questions to an open database."""

    # Texts and matches

    def signatures(self, beyond: int = 0) -> Iterator[tuple[int, bytes]]:
        """(text, signature) of every text long enough for near duplicates, in order of the keys, from the one after `beyond`."""
        yield from self._connection.execute("SELECT id, signature FROM texts WHERE id > ? AND signature IS NOT NULL ORDER BY id", (beyond,))

    def last_batch(self) -> tuple[bytes, int]:
        """(token, last text with a signature) of the newest commit that brought texts with signatures."""
        row = self._one("SELECT token, text_id FROM batches ORDER BY id DESC LIMIT 1")
        return (row[0], row[1]) if row else (NO_COMMIT, 0)

    def batch_text(self, token: bytes) -> int | None:
        """The last text as of the commit with this token; None for one that this database does not know (any more)."""
        if token == NO_COMMIT:
            return 0
        found: int | None = self._value("SELECT text_id FROM batches WHERE token = ?", token)
        return found

    def text_by_digest(self, digest: bytes) -> int | None:
        found: int | None = self._value("SELECT id FROM texts WHERE digest = ?", digest)
        return found

    def texts(self) -> Iterator[TextRow]:
        """Every text that a revision with a body has, in order of their keys, for recomputing what is derived from it."""
        for (number,) in self._all("SELECT DISTINCT text_id FROM revisions WHERE text_id IS NOT NULL ORDER BY 1"):
            row = self._one(_TEXT, number)
            assert row is not None
            if row[1] is not None:
                yield TextRow(*row)

    def body_of_text(self, text: int) -> str | None:
        """The body of any revision with this text; None where none is left."""
        found: str | None = self._value("SELECT body FROM revisions WHERE text_id = ? AND pruned_at IS NULL LIMIT 1", text)
        return found

    def urls_of_texts(self, a: int, b: int) -> tuple[str, str]:
        """The canonical URLs of two different pages of which one shows text `a` and the other text `b`."""
        row = self._one(
            "SELECT p.url, q.url FROM revisions r JOIN pages p ON p.id = r.page_id JOIN revisions s ON s.text_id = ?"
            " JOIN pages q ON q.id = s.page_id WHERE r.text_id = ? AND p.id <> q.id LIMIT 1",
            b, a,
        )  # fmt: skip
        assert row is not None
        return row[0], row[1]

    def url_of_text(self, text: int) -> str | None:
        """The canonical URL of a page that shows a text, now if there is one that does, else in any revision."""
        found: str | None = self._value(
            "SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id LEFT JOIN sightings s ON s.id = p.current_sighting_id"
            " WHERE r.text_id = ? ORDER BY s.revision_id IS NOT r.id, p.url LIMIT 1",
            text,
        )
        return found

    def body_of_revision(self, revision: int) -> StateBody:
        """Title and body of a state."""
        row = self._one(f"SELECT {STATE_BODY} FROM revisions r WHERE r.id = ?", revision)
        assert row is not None
        return StateBody(*row)

    def matched_articles(self, *, every: bool = False) -> list[ArticleRow]:
        """Articles whose text another page shows too, or that a stored match names: each page's current one, or with `every`
        all its revisions."""
        return [
            article(r)
            for r in self._connection.execute(
                _SHOWN[every] + " WHERE r.text_id IN (SELECT a FROM matches UNION SELECT b FROM matches UNION"
                " SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
            )
        ]

    def pairs(self) -> list[Match]:
        """Every stored match of two texts."""
        return [match(r) for r in self._connection.execute(f"SELECT {MATCH} FROM matches m ORDER BY a, b")]

    def match_between(self, a: int, b: int) -> Match | None:
        """The stored match of two texts."""
        row = self._one(f"SELECT {MATCH} FROM matches m WHERE m.a = ? AND m.b = ?", min(a, b), max(a, b))
        return match(row) if row else None

    def matches_between(self, a: int, b: int) -> list[tuple[bytes, bytes, Match | None]]:
        """(state of page `a`, state of page `b`, their match) of any revisions of two pages; None: their texts are the same."""
        rows = self._all(
            f"SELECT x.digest, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.a = x.text_id JOIN revisions y ON y.text_id = m.b"
            " WHERE x.page_id = ?1 AND y.page_id = ?2 UNION ALL"
            f" SELECT x.digest, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.b = x.text_id JOIN revisions y ON y.text_id = m.a"
            " WHERE x.page_id = ?1 AND y.page_id = ?2",
            a, b,
        )  # fmt: skip
        same = self._all(
            "SELECT x.digest, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id WHERE x.page_id = ? AND y.page_id = ?",
            a, b,
        )  # fmt: skip
        return [(r[0], r[1], match(r[2:])) for r in rows] + [(r[0], r[1], None) for r in same]

    def stored_passages(self, beyond: int = 0) -> Iterator[tuple[int, bytes]]:
        """(text, the packed keys under which it stands for a story) in order of the keys, from the text after `beyond`."""
        yield from self._connection.execute("SELECT text_id, keys FROM passages WHERE text_id > ? ORDER BY text_id", (beyond,))

    def represented(self, text: int) -> list[int]:
        """The texts that one stands for in its buckets."""
        return [r[0] for r in self._all("SELECT text_id FROM represented WHERE by = ? ORDER BY text_id", text)]

    def publisher_of_text(self, text: int) -> int | None:
        """The publisher of the first article with a text; None for one that is not looked up by passages."""
        found: int | None = self._value("SELECT publisher_id FROM passages WHERE text_id = ?", text)
        return found

    def publisher_id(self, house: str) -> int | None:
        """The key of a house; None for one that no article is from."""
        found: int | None = self._value("SELECT id FROM publishers WHERE name = ?", house)
        return found

    def publisher_name(self, publisher: int) -> str:
        return str(self._value("SELECT name FROM publishers WHERE id = ?", publisher))

    def boilerplate(self, publisher: str | None = None) -> list[BoilerplateRow]:
        """Passages known of one publisher, or of all, by publisher, then by when they were learned."""
        return [
            BoilerplateRow(*r)
            for r in self._all(
                "SELECT b.name, o.name, b.passage, b.shown, b.articles, b.status, b.since FROM boilerplate b"
                " JOIN publishers o ON o.id = b.publisher_id WHERE ?1 IS NULL OR o.name = ?1 ORDER BY o.name, b.since, b.id",
                publisher,
            )
        ]

    def articles_with_text(self, text: int, *, every: bool = False) -> list[ArticleRow]:
        """Articles with this text: of pages that show it now, or with `every` in any revision."""
        return [article(r) for r in self._all(_SHOWN[every] + " WHERE r.text_id = ? ORDER BY p.url", text)]

    def cluster_size(self, text: int, relations: Collection[str]) -> int:
        """How many pages show this text now, or one that matches it in one of these relations."""
        named = marks(relations)
        sql = (
            f"SELECT count(DISTINCT s.page_id) FROM (SELECT ?1 AS id UNION SELECT b FROM matches WHERE a = ?1 AND relation IN ({named})"
            f" UNION SELECT a FROM matches WHERE b = ?1 AND relation IN ({named})) t JOIN revisions r ON r.text_id = t.id"
            " JOIN sightings s ON s.revision_id = r.id JOIN pages p ON p.id = s.page_id AND p.current_sighting_id = s.id"
        )
        return int(self._value(sql, text, *relations, *relations))

    # Pages

    def page_by_url(self, url: str) -> int | None:
        found: int | None = self._value("SELECT id FROM pages WHERE url = ?", url)
        return found

    def pages_by_id(self, article_id: str) -> list[tuple[int, str]]:
        """(page, URL) of the pages whose files claim this id."""
        return [
            (r[0], r[1])
            for r in self._all(
                "SELECT DISTINCT p.id, p.url FROM metadata m JOIN sightings s ON s.metadata_id = m.id"
                " JOIN pages p ON p.id = s.page_id WHERE m.article_id = ? ORDER BY p.url",
                article_id,
            )
        ]

    def pages_by_path(self, directory: bytes, folder: bytes, name: bytes) -> list[tuple[int, str]]:
        """(page, URL) that a file shows now, or where it is a fault now, that it showed before."""
        return [
            (r[0], r[1])
            for r in self._all(
                "SELECT DISTINCT p.id, p.url FROM files f JOIN directories o ON o.id = f.directory_id"
                " JOIN readings d ON d.id = coalesce(f.reading_id, (SELECT max(id) FROM readings WHERE file_id = f.id))"
                " JOIN sightings s ON s.id = d.sighting_id JOIN pages p ON p.id = s.page_id"
                " WHERE o.path = ? AND f.folder = ? AND f.name = ?",
                directory, folder, name,
            )
        ]  # fmt: skip

    def known_directories(self) -> list[DirectoryRow]:
        """Every crawl directory that the database knows, by path."""
        files = dict(self._all("SELECT directory_id, count(*) FROM files GROUP BY directory_id"))
        gone = dict(self._all("SELECT directory_id, count(*) FROM files INDEXED BY files_gone WHERE gone = 1 GROUP BY directory_id"))
        rows = self._all("SELECT id, path, scanned_at, forgotten_at FROM directories ORDER BY path")
        return [DirectoryRow(r[0], r[1], files.get(r[0], 0) - gone.get(r[0], 0), gone.get(r[0], 0), r[2], r[3]) for r in rows]

    def directories_in_use(self) -> dict[bytes, int]:
        """Path → key of every crawl directory that was not retired."""
        return dict(self._all("SELECT path, id FROM directories WHERE forgotten_at IS NULL ORDER BY path"))

    def directory_paths(self) -> list[bytes]:
        return [r[0] for r in self._all("SELECT path FROM directories ORDER BY path")]

    def current_state(self, page: int) -> bytes | None:
        """The digest of the state that a page shows now; None where no crawl of it counts."""
        found: bytes | None = self._value(
            "SELECT r.digest FROM pages p JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
            " WHERE p.id = ?",
            page,
        )
        return found

    def text_of_revision(self, revision: int) -> int | None:
        found: int | None = self._value("SELECT text_id FROM revisions WHERE id = ?", revision)
        return found

    def publisher_of_revision(self, revision: int) -> tuple[str, str]:
        """(publisher as printed, oid) of the latest crawl that showed a state."""
        row = self._one(
            "SELECT m.publisher, m.oid FROM sightings s JOIN metadata m ON m.id = s.metadata_id WHERE s.revision_id = ?"
            " ORDER BY s.crawled_at DESC LIMIT 1",
            revision,
        )
        assert row is not None
        return row[0], row[1]

    def body_of_state(self, page: int, digest: bytes) -> str | None:
        """The body of a page's state; None where it was pruned."""
        row = self._one("SELECT body, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, digest)
        assert row is not None
        return None if row[1] is not None else str(row[0])

    def page_url(self, page: int) -> str:
        return str(self._value("SELECT url FROM pages WHERE id = ?", page))

    def aliases(self, page: int) -> list[str]:
        """Every spelling of the page's URL that files had, without the canonical one."""
        rows = self._all(
            "SELECT DISTINCT a.spelling FROM aliases a JOIN pages p ON p.id = a.page_id"
            " WHERE p.id = ? AND a.spelling NOT IN ('', p.url) ORDER BY 1",
            page,
        )
        return [r[0] for r in rows]

    def timeline(self, page: int) -> list[TimelineRow]:
        """The page's sightings by crawl time, then state digest, one row for each path that showed them."""
        return [
            timeline_row(r)
            for r in self._all(
                "SELECT s.id, s.crawled_at, s.crawled_at_from, s.revision_id, r.digest, s.standing, d.check_status, d.check_cause,"
                " o.path_text || '/' || f.path_text, f.gone FROM sightings s JOIN revisions r ON r.id = s.revision_id"
                " JOIN readings d ON d.sighting_id = s.id JOIN files f ON f.id = d.file_id JOIN directories o ON o.id = f.directory_id"
                " WHERE s.page_id = ? ORDER BY s.crawled_at, r.digest, f.path_text",
                page,
            )
        ]

    def revisions(self, page: int) -> list[RevisionRow]:
        """The page's states with at least one counted sighting, by first crawl, then digest: the shown order."""
        return [
            RevisionRow(*r)
            for r in self._all(
                "SELECT r.id, r.digest, r.title, min(s.crawled_at), max(s.crawled_at), count(*),"
                " min(CASE s.check_status WHEN 'verified' THEN 0 WHEN 'unclaimed' THEN 1 ELSE 2 END), r.pruned_at"
                " FROM revisions r JOIN sightings s ON s.revision_id = r.id"
                " WHERE r.page_id = ? AND s.standing = 'counted' GROUP BY r.id ORDER BY 4, r.digest",
                page,
            )
        ]

    def changes(self, page: int) -> list[ChangeRow]:
        """The page's changes in the order of its history."""
        return [
            ChangeRow(r[0], r[1], r[2], bool(r[3]), bool(r[4]), r[5], bool(r[6]), r[7], r[8], r[9], bool(r[10]), bool(r[11]))
            for r in self._all(
                "SELECT x.revision_id, y.revision_id, c.at, c.title_changed, c.body_changed, c.body_similarity, c.returned, c.fields,"
                " c.kind, c.severity, c.stealth, c.corrected FROM changes c JOIN sightings x ON x.id = c.previous_id"
                " JOIN sightings y ON y.id = c.sighting_id"
                " JOIN revisions r ON r.id = y.revision_id WHERE c.page_id = ? ORDER BY c.at, r.digest",
                page,
            )
        ]

    def faults_between(self, since: str, until: str) -> dict[str, int]:
        """Kind → faults that came within a time, both ends included, and are still there."""
        rows = self._all("SELECT kind, count(*) FROM faults WHERE since BETWEEN ? AND ? GROUP BY kind ORDER BY kind", since, until)
        return {r[0]: r[1] for r in rows}

    # Status

    def count(self, table: str, where: str = "1") -> int:
        """Rows of one of the tables (names come from the program, never from outside)."""
        return int(self._value(f"SELECT count(*) FROM {table} WHERE {where}"))

    def counted_revisions(self) -> int:
        """Revisions that a counted sighting shows."""
        others = (
            "SELECT count(DISTINCT s.revision_id) FROM sightings s WHERE s.standing <> 'counted' AND NOT EXISTS"
            " (SELECT 1 FROM sightings o WHERE o.revision_id = s.revision_id AND o.standing = 'counted')"
        )
        return self.count("revisions") - int(self._value(others))

    def checks_counted(self) -> tuple[dict[str, int], dict[str, int]]:
        """(check → crawls, cause of a mismatch → crawls)."""
        doubted = self._all(
            "SELECT check_status, check_cause, count(*) FROM sightings WHERE check_status <> 'verified' GROUP BY 1, 2 ORDER BY 1, 2"
        )
        by = {status: sum(n for s, _, n in doubted if s == status) for status in ("mismatched", "unclaimed")}
        verified = self.count("sightings") - sum(by.values())
        return {"verified": verified, **by}, {cause: n for _, cause, n in doubted if cause is not None}

    def pruned_revisions(self) -> int:
        """Revisions whose body was pruned."""
        return self.count("revisions", "pruned_at IS NOT NULL")

    def counts_by(self, table: str, column: str, where: str = "1") -> dict[str, int]:
        """Value of a column → rows."""
        return {r[0]: r[1] for r in self._all(f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1 ORDER BY 1")}

    def exact_copies(self) -> int:
        """Pages beyond the first for each text that several pages show, in any revision."""
        shown = int(self._value("SELECT count(*) FROM (SELECT DISTINCT text_id, page_id FROM revisions WHERE text_id IS NOT NULL)"))
        return shown - int(self._value("SELECT count(DISTINCT text_id) FROM revisions"))

    def faults(self) -> list[tuple[str, str, str, str]]:
        """(path, kind, message, since) of everything that could not be read, by path."""
        return [
            (r[0], r[1], r[2], r[3])
            for r in self._all(
                "SELECT o.path_text || '/' || t.path_text, t.kind, t.message, t.since FROM faults t"
                " JOIN directories o ON o.id = t.directory_id ORDER BY 1, 2"
            )
        ]

    def faulty(self, places: Collection[tuple[int, bytes]]) -> dict[str, int]:
        """Kind of fault → files and folders that cannot be read for it, in these places: (crawl directory, folder in it, empty for all of
        it). One that could be read but for a time in it is not among them."""
        found: Counter[str] = Counter()
        for directory, folder in places:
            rows = self._all(
                "SELECT kind, count(*) FROM (SELECT min(kind) AS kind FROM faults WHERE kind <> 'unparsable_time' AND directory_id = ?1"
                " AND (?2 = x'' OR path = ?2 OR (path >= ?3 AND path < ?4)) GROUP BY path) GROUP BY kind",
                directory, folder, folder + b"/", folder + b"0",
            )  # fmt: skip
            found.update(dict(rows))
        return dict(sorted(found.items()))

    def rereads_waiting(self) -> int:
        """Files that are there and are still to be read again by the settings in force."""
        return int(self._value("SELECT count(*) FROM rereads q CROSS JOIN files f ON f.id = q.file_id WHERE f.gone = 0"))

    def database_bytes(self) -> int:
        """Bytes on disk of the database with its write-ahead log."""
        return sum(os.path.getsize(p) for p in (self.path, self.path + "-wal") if os.path.exists(p))

    def index_path(self) -> str:
        """Where the candidate index lies: beside the database."""
        return os.path.realpath(self.path) + ".index"

    def passages_path(self) -> str:
        """Where the passage index lies."""
        return os.path.realpath(self.path) + ".passages"

    def search_path(self) -> str:
        """Where the search index lies."""
        return os.path.realpath(self.path) + ".search"

    def index_bytes(self) -> int:
        """Bytes on disk of the candidate index, the passage index and the search index; 0 where there is none yet."""
        indexes = self.index_path(), self.passages_path(), self.search_path(), self.search_path() + "-wal"
        return sum(os.path.getsize(p) for p in indexes if os.path.exists(p))

    # The logical dump

    def dump(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """(table, row) of everything that is content, in an order that depends on nothing but the content."""
        for table, sql in _DUMP.items():
            for row in self._connection.execute(sql):
                yield table, row

    def dump_columns(self) -> dict[str, list[str]]:
        """Table → names of the columns that `dump` gives."""
        found = {}
        for table, sql in _DUMP.items():
            cursor = self._connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")
            found[table] = [c[0] for c in cursor.description]
        return found


STATE_BODY = "r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, r.pruned_at, r.pruned_digest"
"""What a `StateBody` is made of."""
BODILESS = (
    "SELECT r.text_id FROM revisions r INDEXED BY revisions_pruned WHERE r.pruned_at IS NOT NULL AND r.text_id IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM revisions o WHERE o.text_id = r.text_id AND o.pruned_at IS NULL)"
)
"""Texts of which every body was pruned."""
IN_CLUSTERS = ", ".join(f"'{relation}'" for relation in CLUSTERED)
"""The relations that clusters are made of, as SQL has them in a list."""
MATCH = "m.a, m.b, m.relation, m.similarity, m.containment, m.coverage, m.shared, m.longest, m.quoted, m.masked"


def timeline_row(r: tuple[Any, ...]) -> TimelineRow:
    """A sighting as one path showed it."""
    return TimelineRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], bool(r[9]))


def match(r: tuple[Any, ...]) -> Match:
    """A row of `MATCH`."""
    masked = tuple(json.loads(r[9])) if r[9] != "[]" else ()
    return Match(r[0], r[1], r[2], Numbers(r[3], r[4], r[5], r[6], r[7], r[8], masked))


_TEXT = (
    "SELECT r.text_id, (SELECT body FROM revisions WHERE text_id = r.text_id AND pruned_at IS NULL ORDER BY id LIMIT 1), m.publisher,"
    " m.oid, p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
    " JOIN sightings s ON s.revision_id = r.id JOIN metadata m ON m.id = s.metadata_id"
    " WHERE r.id = (SELECT min(id) FROM revisions WHERE text_id = ?) ORDER BY s.id LIMIT 1"
)


def article(r: tuple[Any, ...]) -> ArticleRow:
    """A row of `_ARTICLE`."""
    return ArticleRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], bool(r[11]), bool(r[12]), r[13], r[14])


_DUMP = {
    "pages": "SELECT p.url, s.crawled_at AS current_at, lower(hex(r.digest)) AS current_state FROM pages p"
    " LEFT JOIN sightings s ON s.id = p.current_sighting_id LEFT JOIN revisions r ON r.id = s.revision_id ORDER BY p.url",
    "aliases": "SELECT p.url, a.spelling, a.oid, a.aid FROM aliases a JOIN pages p ON p.id = a.page_id"
    " WHERE a.id IN (SELECT alias_id FROM readings) ORDER BY 1, 2, 3, 4",
    "revisions": "SELECT p.url, lower(hex(r.digest)) AS state, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END AS body,"
    " r.pruned_at IS NOT NULL AS pruned, lower(hex(t.digest)) AS text,"
    " t.characters, lower(hex(t.signature)) AS signature FROM revisions r JOIN pages p ON p.id = r.page_id"
    " LEFT JOIN texts t ON t.id = r.text_id ORDER BY p.url, r.digest",
    "sightings": "SELECT p.url, s.crawled_at, lower(hex(r.digest)) AS state, s.crawled_at_from, s.standing, s.check_status,"
    " s.check_cause, m.article_id, m.publisher, m.author, m.category, m.published_at, m.published_printed, m.oid, m.aid, m.extra"
    " FROM sightings s JOIN pages p ON p.id = s.page_id JOIN revisions r ON r.id = s.revision_id"
    " JOIN metadata m ON m.id = s.metadata_id ORDER BY p.url, s.crawled_at, r.digest",
    "files": "SELECT hex(f.folder) AS folder_hex, hex(f.name) AS name_hex, f.path_text AS path, lower(hex(f.content)) AS content,"
    " f.size, f.gone, p.url, s.crawled_at, lower(hex(r.digest)) AS state FROM files f LEFT JOIN readings d ON d.id = f.reading_id"
    " LEFT JOIN sightings s ON s.id = d.sighting_id LEFT JOIN pages p ON p.id = s.page_id"
    " LEFT JOIN revisions r ON r.id = s.revision_id ORDER BY f.folder, f.name, content, f.size, f.gone,"
    " p.url, s.crawled_at, r.digest, f.path_text",
    "readings": "SELECT p.url, s.crawled_at, lower(hex(r.digest)) AS state, f.path_text AS path, a.spelling, d.standing,"
    " d.check_status, d.check_cause, d.claimed, d.recipe, d.encoding, lower(hex(m.digest)) AS metadata"
    " FROM readings d JOIN sightings s ON s.id = d.sighting_id JOIN pages p ON p.id = s.page_id"
    " JOIN revisions r ON r.id = s.revision_id JOIN files f ON f.id = d.file_id JOIN aliases a ON a.id = d.alias_id"
    " JOIN metadata m ON m.id = d.metadata_id ORDER BY p.url, s.crawled_at, r.digest, f.folder, f.name,"
    " d.standing, d.check_status, d.check_cause, d.claimed, d.recipe, d.encoding, a.spelling, m.digest",
    "faults": "SELECT hex(t.path) AS path_hex, t.path_text AS path, t.kind, t.message FROM faults t ORDER BY t.path, t.kind, t.message",
    "changes": "SELECT p.url, c.at, lower(hex(a.digest)) AS state_before, lower(hex(b.digest)) AS state_after, x.crawled_at AS since,"
    " c.title_changed, c.body_changed, c.body_similarity, c.returned, c.fields, c.kind, c.severity, c.channels, c.evidence, c.stealth,"
    " c.corrected, lower(hex(c.edit)) AS edit, c.judged_by FROM changes c JOIN pages p ON p.id = c.page_id"
    " JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id"
    " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id ORDER BY p.url, c.at, b.digest",
    "matches": "SELECT min(lower(hex(a.digest)), lower(hex(b.digest))) AS text_a, max(lower(hex(a.digest)), lower(hex(b.digest)))"
    " AS text_b, x.relation, x.similarity, x.containment, x.coverage, x.shared, x.longest, x.quoted, x.masked, x.recipe"
    " FROM matches x JOIN texts a ON a.id = x.a"
    " JOIN texts b ON b.id = x.b WHERE (SELECT count(DISTINCT page_id) FROM revisions r WHERE r.text_id IN (x.a, x.b)) > 1"
    " AND EXISTS (SELECT 1 FROM revisions r WHERE r.text_id = x.a) AND EXISTS (SELECT 1 FROM revisions r WHERE r.text_id = x.b)"
    " ORDER BY 1, 2",
}
