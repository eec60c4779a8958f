"""What taking a batch in asks of the database: for many rows at once, in as many statements for a thousand files as for one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from dedup.model import Cause, Match, Metadata
from dedup.store.reading import ARTICLE_OF_PAGE, MATCH, STATE_BODY, Reader, article, match
from dedup.store.rows import (
    ARTICLE,
    FAULT,
    GONE,
    UNREAD,
    ArticleRow,
    DoubtfulReading,
    FileReading,
    FileRow,
    FirstCrawl,
    JudgedRow,
    KeptSighting,
    KnownState,
    ReadingRow,
    Recorded,
    Stat,
    StateBody,
    StoredChange,
    TextPages,
)

MOST_VARIABLES = 30_000
"""Bound values in one statement; SQLite's own limit is 32,766 by default."""

Row = tuple[Any, ...]

Path = tuple[int, bytes, bytes]
"""(crawl directory, folder, name)."""


class Lookups(Reader):
    """Questions about many keys at once. Keys that are not there are left out of the answers."""

    def mounts(self, directory: int) -> dict[bytes, tuple[int, int]]:
        """Mounts seen in a crawl directory: path relative to it → (st_dev, st_ino); and, by its absolute path, the mount that the crawl
        directory is on."""
        rows = self._all("SELECT path, device, inode FROM mounts WHERE directory_id = ?", directory)
        return {path: (device, inode) for path, device, inode in rows}

    def absent_from(self, directory: int) -> dict[bytes, int]:
        """Mounts that were absent last → the key that the next file had when they were first found to be."""
        rows = self._all("SELECT path, absent_from FROM mounts WHERE directory_id = ? AND absent_from IS NOT NULL", directory)
        return dict(rows)

    def _wanted(self, columns: str, keys: Iterable[tuple[Any, ...]], select: str) -> Iterator[tuple[Any, ...]]:
        """Rows of `select`, which joins the table `wanted` of these keys with others. The limit says how few they are: SQLite takes
        them for a million, and would read a whole table that it has statistics of to make a Bloom filter for them."""
        width = columns.count(",") + 1
        rest = iter(keys)
        while chunk := list(islice(rest, MOST_VARIABLES // width)):
            values = list(chain.from_iterable(chunk))
            few = f"SELECT * FROM (VALUES {_places(width, len(chunk))}) LIMIT {len(chunk)}"
            yield from self._connection.execute(f"WITH wanted ({columns}) AS ({few}) {select}", values)

    def _by_id(self, ids: Iterable[int], select: str) -> Iterator[tuple[Any, ...]]:
        """The same for keys that are ids."""
        return self._wanted("id", ((i,) for i in ids), select)

    def _grouped(self, ids: Iterable[int], select: str) -> dict[int, list[tuple[Any, ...]]]:
        """Id → the rows of `select`, which begin with it, without it."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        for row in self._by_id(ids, select):
            found.setdefault(row[0], []).append(row[1:])
        return found

    def next_id(self, table: str) -> int:
        """The key that the next row of a table gets: keys are given out by the one writer, within its transaction."""
        return int(self._value(f"SELECT coalesce(max(id), 0) + 1 FROM {table}"))

    # Files

    def recorded_in(self, directory: int, folder: bytes) -> dict[bytes, Recorded]:
        """Name → what is recorded of the file, of one folder; files that are gone included."""
        rows = self._connection.execute(f"SELECT {_RECORDED} FROM files f WHERE directory_id = ? AND folder = ?", (directory, folder))
        return {row[0]: row for row in rows}

    def recorded_named(self, directory: int, folder: bytes, names: Iterable[bytes]) -> dict[bytes, Recorded]:
        """The same of those files of a folder that have one of these names."""
        select = f"SELECT {_RECORDED} FROM wanted w CROSS JOIN files f ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name"
        return {row[0]: row for row in self._wanted("d, folder, name", ((directory, folder, n) for n in names), select)}

    def there_in(self, directory: int, folder: bytes) -> Iterator[tuple[int, bytes]]:
        """(file, name) of those files of a folder that are not gone."""
        yield from self._connection.execute(
            "SELECT id, name FROM files WHERE directory_id = ? AND folder = ? AND gone = 0", (directory, folder)
        )

    def files(self, paths: Iterable[Path]) -> dict[Path, FileRow]:
        """Path → file."""
        rows = self._wanted(
            "d, folder, name", paths,
            f"SELECT w.d, w.folder, w.name, {_FILE} FROM wanted w CROSS JOIN files f"
            " ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name",
        )  # fmt: skip
        return {(row[0], row[1], row[2]): _file(row[3:]) for row in rows}

    def folders(self, directory: int, top: bytes = b"") -> list[bytes]:
        """Folders from `top` down in which files are recorded. One look into the index for each, however many files it has."""
        first, last = (b"", None) if not top else (top, top + b"0")  # "0" follows "/"
        found = []
        row = self._one("SELECT folder FROM files WHERE directory_id = ? AND folder >= ? ORDER BY folder LIMIT 1", directory, first)
        while row and (last is None or row[0] < last):
            if not top or row[0] == top or row[0].startswith(top + b"/"):
                found.append(row[0])
            row = self._one("SELECT folder FROM files WHERE directory_id = ? AND folder > ? ORDER BY folder LIMIT 1", directory, row[0])
        return found

    def paths_of(self, files: Iterable[int]) -> list[tuple[int, int, bytes, bytes, bool]]:
        """(file, directory, folder, name, gone) of each."""
        rows = self._by_id(files, "SELECT f.id, f.directory_id, f.folder, f.name, f.gone FROM wanted w JOIN files f ON f.id = w.id")
        return [(r[0], r[1], r[2], r[3], bool(r[4])) for r in rows]

    def faults_at(self, paths: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], set[str]]:
        """(directory, path) → kinds of faults that stand there."""
        found: dict[tuple[int, bytes], set[str]] = {}
        select = "SELECT w.d, w.path, t.kind FROM wanted w CROSS JOIN faults t ON t.directory_id = w.d AND t.path = w.path"
        for directory, path, kind in self._wanted("d, path", paths, select):
            found.setdefault((directory, path), set()).add(kind)
        return found

    def copies_of_sightings(self, sightings: Iterable[int]) -> dict[int, list[tuple[Any, ...]]]:
        """Sighting → (file, content, directory, folder, name, whether it is gone) of every file that showed it."""
        return self._grouped(
            sightings,
            "SELECT w.id, f.id, f.content, f.directory_id, f.folder, f.name, f.gone FROM wanted w CROSS JOIN readings d"
            " ON d.sighting_id = w.id JOIN files f ON f.id = d.file_id",
        )

    # Pages and what hangs on them

    def pages(self, urls: Iterable[str]) -> dict[str, int]:
        """Canonical URL → page."""
        select = "SELECT p.url, p.id FROM wanted w CROSS JOIN pages p ON p.url = w.url"
        return dict(self._wanted("url", ((u,) for u in urls), select))

    def all_aliases(self) -> Iterator[tuple[int, int, str, str, str]]:
        """(alias, page, spelling, oid, aid) of every alias, in parts: rows may be written between them."""
        last = 0
        while some := self._all("SELECT id, page_id, spelling, oid, aid FROM aliases WHERE id > ? ORDER BY id LIMIT 1000", last):
            last = some[-1][0]
            yield from ((r[0], r[1], r[2], r[3], r[4]) for r in some)

    def aliases_among(self, keys: Iterable[tuple[int, str, str, str]]) -> dict[tuple[int, str, str, str], int]:
        """(page, spelling, oid, aid) → alias."""
        select = (
            "SELECT a.page_id, a.spelling, a.oid, a.aid, a.id FROM wanted w CROSS JOIN aliases a"
            " ON a.page_id = w.page AND a.spelling = w.spelling AND a.oid = w.oid AND a.aid = w.aid"
        )
        return {(r[0], r[1], r[2], r[3]): r[4] for r in self._wanted("page, spelling, oid, aid", keys, select)}

    def metadata_among(self, keys: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
        """(page, digest of metadata) → metadata."""
        select = "SELECT m.page_id, m.digest, m.id FROM wanted w CROSS JOIN metadata m ON m.page_id = w.page AND m.digest = w.digest"
        return {(r[0], r[1]): r[2] for r in self._wanted("page, digest", keys, select)}

    def revisions_by_state(self, states: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], KnownState]:
        """(page, state digest) → what is stored of it."""
        select = (
            "SELECT r.page_id, r.digest, r.id, r.text_id, r.pruned_at IS NOT NULL FROM wanted w"
            " CROSS JOIN revisions r ON r.page_id = w.page AND r.digest = w.digest"
        )
        return {(r[0], r[1]): KnownState(r[2], r[3], bool(r[4])) for r in self._wanted("page, digest", states, select)}

    def sightings(self, keys: Iterable[tuple[int, str, int]]) -> dict[tuple[int, str, int], int]:
        """(page, crawl time, revision) → sighting."""
        select = (
            "SELECT s.page_id, s.crawled_at, s.revision_id, s.id FROM wanted w CROSS JOIN sightings s"
            " ON s.page_id = w.page AND s.crawled_at = w.crawled_at AND s.revision_id = w.revision"
        )
        return {(r[0], r[1], r[2]): r[3] for r in self._wanted("page, crawled_at, revision", keys, select)}

    def last_readings(self, files: Iterable[int]) -> dict[int, FileReading]:
        """File → the reading of the article that it showed last."""
        select = (
            f"SELECT w.id, {_FILE_READING} FROM wanted w CROSS JOIN files f ON f.id = w.id"
            " JOIN readings d ON d.id = coalesce(f.reading_id, (SELECT max(id) FROM readings WHERE file_id = f.id))"
            " JOIN sightings s ON s.id = d.sighting_id"
        )
        return {r[0]: FileReading(*r[1:]) for r in self._by_id(files, select)}

    def readings_of_crawls(self, crawls: Iterable[tuple[int, int, str]]) -> dict[int, list[FileReading]]:
        """File → its readings of one crawl, of the (file, page, crawl time) that are asked for."""
        select = (
            f"SELECT w.file, {_FILE_READING} FROM wanted w CROSS JOIN sightings s ON s.page_id = w.page AND s.crawled_at = w.crawled_at"
            " CROSS JOIN readings d ON d.sighting_id = s.id AND d.file_id = w.file ORDER BY w.file, d.id"
        )
        found: dict[int, list[FileReading]] = {}
        for row in self._wanted("file, page, crawled_at", crawls, select):
            found.setdefault(row[0], []).append(FileReading(*row[1:]))
        return found

    def readings_of_sightings(self, sightings: Iterable[int]) -> dict[int, list[ReadingRow]]:
        """Sighting → its readings, by metadata digest."""
        rows = self._grouped(
            sightings,
            "SELECT w.id, d.standing, d.check_status, d.check_cause, d.metadata_id, m.digest, d.crawled_at_from FROM wanted w"
            " CROSS JOIN readings d ON d.sighting_id = w.id JOIN metadata m ON m.id = d.metadata_id ORDER BY w.id, m.digest, d.id",
        )
        return {sighting: [ReadingRow(*r) for r in of_sighting] for sighting, of_sighting in rows.items()}

    def doubtful_readings(self, pages: Iterable[int]) -> list[DoubtfulReading]:
        """Every counted reading of these pages whose claim may be the digest of an earlier state."""
        select = (
            f"SELECT {_DOUBTFUL} FROM wanted w CROSS JOIN aliases a ON a.page_id = w.id"
            " CROSS JOIN readings d INDEXED BY readings_doubted ON d.alias_id = a.id AND d.check_status = 'mismatched'"
            f" AND d.standing = 'counted' CROSS JOIN sightings s ON s.id = d.sighting_id WHERE {_MAY_BE_STALE}"
        )
        return [DoubtfulReading(*r) for r in self._by_id(pages, select)]

    def doubtful_readings_of(self, sightings: Iterable[int]) -> list[DoubtfulReading]:
        """Those of these sightings."""
        select = (
            f"SELECT {_DOUBTFUL} FROM wanted w CROSS JOIN sightings s ON s.id = w.id CROSS JOIN readings d ON d.sighting_id = s.id"
            f" WHERE d.check_status = 'mismatched' AND d.standing = 'counted' AND {_MAY_BE_STALE}"
        )
        return [DoubtfulReading(*r) for r in self._by_id(sightings, select)]

    def first_crawls(self, pages: Iterable[int]) -> dict[int, list[FirstCrawl]]:
        """Page → the revisions that counted crawls show."""
        select = (
            "SELECT w.id, r.id, r.digest, (SELECT min(s.crawled_at) FROM sightings s WHERE s.revision_id = r.id AND s.standing = 'counted')"
            " AS first_at, r.pruned_at IS NOT NULL FROM wanted w CROSS JOIN revisions r ON r.page_id = w.id WHERE first_at IS NOT NULL"
        )
        return {page: [FirstCrawl(*r) for r in rows] for page, rows in self._grouped(pages, select).items()}

    def kept_sightings(self, pages: Iterable[int]) -> dict[int, list[KeptSighting]]:
        """Page → every sighting of it in the order of its history: by crawl time, then state digest."""
        rows = self._grouped(
            pages,
            "SELECT w.id, s.id, s.crawled_at, s.revision_id, r.digest, s.standing, s.check_status, s.check_cause,"
            " m.publisher, m.author, m.category, m.published_at FROM wanted w CROSS JOIN sightings s ON s.page_id = w.id"
            " JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id ORDER BY w.id, s.crawled_at, r.digest",
        )
        return {
            page: [KeptSighting(r[0], r[1], r[2], r[3], r[4], r[5], r[6], Metadata(*r[7:])) for r in of_page]
            for page, of_page in rows.items()
        }

    def pages_with_changes(self) -> list[int]:
        """Pages with more sightings than one, or with a change: those that have something to be compared."""
        return [
            r[0]
            for r in self._all(
                "SELECT page_id FROM sightings GROUP BY page_id HAVING count(*) > 1 UNION"
                " SELECT page_id FROM changes WHERE page_id IN (SELECT id FROM pages) ORDER BY 1"
            )
        ]

    def changes_of(self, pages: Iterable[int]) -> dict[int, dict[int, StoredChange]]:
        """Page → its stored changes, by their later sightings."""
        select = (
            "SELECT w.id, c.sighting_id, c.previous_id, c.returned, c.fields, c.past, c.kind"
            " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
        )
        rows = self._grouped(pages, select)
        return {page: {r[0]: StoredChange(r[1], bool(r[2]), r[3], r[4], r[5]) for r in of_page} for page, of_page in rows.items()}

    def states_of_changes(self, sightings: Iterable[int]) -> list[tuple[int, bytes, bytes, str]]:
        """(page, digest of the state before, of that after, later crawl) of the changes with these later sightings."""
        select = (
            "SELECT c.page_id, a.digest, b.digest, c.at FROM wanted w CROSS JOIN changes c ON c.sighting_id = w.id"
            " JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id"
            " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
        )
        return [(r[0], r[1], r[2], r[3]) for r in self._by_id(sightings, select)]

    def states_of_changes_around(self, sightings: Iterable[int]) -> list[tuple[int, bytes, bytes, str]]:
        """The same of the changes that lead to or from these sightings."""
        ids = list(sightings)
        later = {r[0] for r in self._by_id(ids, "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.previous_id = w.id")}
        return self.states_of_changes({*ids, *later})

    def causes_of(self, sightings: Iterable[int]) -> dict[int, Cause]:
        """Sighting → why it is mismatched, of those that are."""
        select = "SELECT s.id, s.check_cause FROM wanted w CROSS JOIN sightings s ON s.id = w.id WHERE s.check_cause IS NOT NULL"
        return dict(self._by_id(sightings, select))

    def incomplete_changes(self, pages: Iterable[int]) -> set[int]:
        """The later sightings of those stored changes of these pages of which the bodies could not be compared."""
        select = "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.page_id = w.id WHERE c.body_similarity IS NULL"
        return {r[0] for r in self._by_id(pages, select)}

    def compared(self, pages: Iterable[int]) -> dict[tuple[int, int], tuple[bool, float, JudgedRow]]:
        """(a revision, another) of these pages → whether their bodies differ and how alike they are, as stored changes tell, with the
        judgement of the one that led there; of the way back only what is the same both ways."""
        select = (
            f"SELECT x.revision_id, y.revision_id, c.body_changed, c.body_similarity, {_JUDGED}"
            " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
            " JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id WHERE c.body_similarity IS NOT NULL"
        )
        found: dict[tuple[int, int], tuple[bool, float, JudgedRow]] = {}
        for r in self._by_id(pages, select):
            found[r[0], r[1]] = bool(r[2]), r[3], JudgedRow(*r[4:])
            found.setdefault((r[1], r[0]), (bool(r[2]), r[3], JudgedRow()))
        return found

    def judgements_of(self, sightings: Iterable[int]) -> dict[int, tuple[bool, bool, float | None, JudgedRow]]:
        """Later sighting of a stored change → whether its title and its body changed, how similar the bodies are, and its judgement."""
        select = (
            f"SELECT c.sighting_id, c.title_changed, c.body_changed, c.body_similarity, {_JUDGED}"
            " FROM wanted w CROSS JOIN changes c ON c.sighting_id = w.id"
        )
        return {r[0]: (bool(r[1]), bool(r[2]), r[3], JudgedRow(*r[4:])) for r in self._by_id(sightings, select)}

    def bodies(self, revisions: Collection[int]) -> dict[int, StateBody]:
        """Revision → its title and body."""
        select = f"SELECT r.id, {STATE_BODY} FROM wanted w CROSS JOIN revisions r ON r.id = w.id"
        return {r[0]: StateBody(*r[1:]) for r in self._by_id(revisions, select)}

    def verified_claims(self, revisions: Iterable[int]) -> dict[int, list[str]]:
        """Revision → the distinct claims that were found to be true of it."""
        select = (
            "SELECT DISTINCT w.id, d.claimed FROM wanted w CROSS JOIN sightings s ON s.revision_id = w.id"
            " JOIN readings d ON d.sighting_id = s.id WHERE d.check_status = 'verified' ORDER BY 1, 2"
        )
        return {revision: [r[0] for r in rows] for revision, rows in self._grouped(revisions, select).items()}

    def urls_of(self, pages: Iterable[int]) -> dict[int, str]:
        """Page → canonical URL."""
        select = "SELECT p.id, p.url FROM wanted w CROSS JOIN pages p ON p.id = w.id"
        return dict(self._by_id(pages, select))

    # Texts

    def texts_by_digest(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """Digest of a normalised text → text."""
        select = "SELECT t.digest, t.id FROM wanted w CROSS JOIN texts t ON t.digest = w.digest"
        return dict(self._wanted("digest", ((d,) for d in digests), select))

    def pages_of_texts(self, texts: Iterable[int]) -> dict[int, TextPages]:
        """Text → the first and the last of the pages that show it in any revision; the same where it is one page."""
        select = (
            "SELECT w.id, (SELECT min(page_id) FROM revisions WHERE text_id = w.id), (SELECT max(page_id) FROM revisions"
            " WHERE text_id = w.id) FROM wanted w"
        )
        return {r[0]: TextPages(r[1], r[2]) for r in self._by_id(texts, select) if r[1] is not None}

    def shown(self, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of the (text, page) pairs of which the page shows the text in any revision."""
        select = "SELECT w.text, w.page FROM wanted w WHERE EXISTS (SELECT 1 FROM revisions WHERE text_id = w.text AND page_id = w.page)"
        return {(r[0], r[1]) for r in self._wanted("text, page", pairs, select)}

    def articles_of(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], ArticleRow]:
        """(text, page) → the article, by the latest crawl that showed that text there; of those that are so."""
        rows = [article(r) for r in self._wanted("text, page", pairs, ARTICLE_OF_PAGE)]
        return {(a.text_id, a.page_id): a for a in sorted(rows, key=lambda a: a.crawled_at) if a.text_id is not None}

    def signatures_of(self, texts: Iterable[int]) -> dict[int, bytes]:
        """Text → signature, of those that have one."""
        select = "SELECT t.id, t.signature FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.signature IS NOT NULL"
        return dict(self._by_id(texts, select))

    def bodies_of_texts(self, texts: Iterable[int]) -> dict[int, str]:
        """Text → the body of a revision that has it; of those whose bodies were not all pruned."""
        select = (
            "SELECT w.id, r.body FROM wanted w CROSS JOIN revisions r"
            " ON r.id = (SELECT id FROM revisions WHERE text_id = w.id AND pruned_at IS NULL LIMIT 1)"
        )
        return dict(self._by_id(texts, select))

    def quoted_of(self, texts: Iterable[int]) -> dict[int, bytes]:
        """Text → its quoted characters (numpy.packbits), of texts whose bodies differ in quotation marks."""
        return dict(self._by_id(texts, "SELECT t.id, t.quoted FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.quoted IS NOT NULL"))

    def bodiless(self, texts: Iterable[int]) -> set[int]:
        """Those of the texts of which every body was pruned: no index holds them."""
        select = (
            "SELECT DISTINCT w.id FROM wanted w CROSS JOIN revisions r INDEXED BY revisions_pruned"
            " ON r.text_id = w.id AND r.pruned_at IS NOT NULL"
            " WHERE NOT EXISTS (SELECT 1 FROM revisions o WHERE o.text_id = w.id AND o.pruned_at IS NULL)"
        )
        return {r[0] for r in self._by_id(texts, select)}

    def matches_of(self, texts: Iterable[int]) -> dict[tuple[int, int], Match]:
        """Stored pairs that one of the texts is in."""
        select = f"SELECT {MATCH} FROM wanted w CROSS JOIN matches m ON m.a = w.id"
        wanted = list(texts)
        return {(r[0], r[1]): match(r) for s in (select, select.replace("m.a = w", "m.b = w")) for r in self._by_id(wanted, s)}

    def crowded_of(self, texts: Iterable[int]) -> set[int]:
        """Those of the texts that had more candidates than were compared."""
        return {r[0] for r in self._by_id(texts, "SELECT t.id FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.crowded = 1")}

    def characters_of(self, texts: Iterable[int]) -> dict[int, int]:
        """Text → its normalised length."""
        return dict(self._by_id(texts, "SELECT t.id, t.characters FROM wanted w CROSS JOIN texts t ON t.id = w.id"))

    def publishers_of_texts(self, texts: Iterable[int]) -> dict[int, int]:
        """Text → the publisher of the first article with it, of those that are looked up by passages."""
        return dict(self._by_id(texts, "SELECT p.text_id, p.publisher_id FROM wanted w CROSS JOIN passages p ON p.text_id = w.id"))

    def represented_by(self, texts: Iterable[int], most: int | None) -> dict[int, list[int]]:
        """Text → the earliest `most` texts that it represents in the passage index (None: all of them); texts that represent none are left
        out."""
        select = "SELECT w.id, r.text_id FROM wanted w CROSS JOIN represented r ON r.by = w.id"
        if most is not None:
            last = f"(SELECT text_id FROM represented WHERE by = w.id ORDER BY text_id LIMIT 1 OFFSET {most - 1})"
            select += f" AND r.text_id <= coalesce({last}, 1 << 62)"
        select += " ORDER BY w.id, r.text_id"
        return {text: [r[0] for r in rows] for text, rows in self._grouped(texts, select).items()}


@lru_cache(maxsize=256)
def _places(width: int, rows: int) -> str:
    return ",".join(["(" + ",".join("?" * width) + ")"] * rows)


_JUDGED = "c.kind, c.severity, c.channels, c.evidence, c.stealth, c.corrected, c.edit, c.past, c.judged_by"
_RECORDED = (
    f"f.name, f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, CASE WHEN f.gone = 1 THEN {GONE} WHEN f.content IS NULL THEN {UNREAD}"
    f" WHEN f.reading_id IS NULL THEN {FAULT} ELSE {ARTICLE} END"
)
_FILE = (
    "f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, f.content, f.reading_id IS NOT NULL, f.gone, f.gone = 1 AND EXISTS (SELECT 1"
    " FROM readings d JOIN sightings s ON s.id = d.sighting_id JOIN revisions r ON r.id = s.revision_id"
    " WHERE d.id = f.reading_id AND r.pruned_at IS NOT NULL), f.reading_id, (SELECT q.content FROM rereads q WHERE q.file_id = f.id)"
)


_DOUBTFUL = "d.id, s.page_id, s.id, s.crawled_at, s.revision_id, d.claimed, d.check_cause"
_MAY_BE_STALE = "(d.check_cause = 'altered' OR d.check_cause = 'stale')"
_FILE_READING = "d.id, d.sighting_id, d.check_status, d.standing, s.page_id, s.crawled_at, d.crawled_at_from, s.revision_id"


def _file(row: tuple[Any, ...]) -> FileRow:
    return FileRow(row[0], Stat(row[1], row[2], row[3], row[4]), row[5], bool(row[6]), bool(row[7]), bool(row[8]), row[9], row[10])
