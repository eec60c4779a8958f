"""Pages, their aliases, and the metadata of their articles."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import xxhash

from dedup.model import Metadata
from dedup.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True)
class CurrentArticle:
    """The article of a page as its current sighting shows it, or its latest sighting if none counts."""

    page_id: int
    url: str
    title: str
    publisher: str
    published_at: str | None
    crawled_at: str


class PageUrl(NamedTuple):
    """A page and its canonical URL."""

    id: int
    url: str


class Alias(NamedTuple):
    """A row of `aliases`: a form in which files print the URL and the ids of a page."""

    id: int
    page_id: int
    url_printed: str
    oid: str
    aid: str


def current_articles(database: Database, pages: Collection[int]) -> dict[int, CurrentArticle]:
    """Page → its current article. Pages without sightings are left out."""
    articles: dict[int, CurrentArticle] = {}
    for page in pages:
        row = database.row(
            "SELECT p.id, p.url, r.title, m.publisher_printed, m.published_at, s.crawled_at FROM pages p"
            " JOIN sightings s ON s.id = coalesce("
            "p.current_sighting_id, (SELECT id FROM sightings WHERE page_id = p.id ORDER BY crawled_at DESC LIMIT 1))"
            " JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id WHERE p.id = ?",
            page,
        )
        if row is not None:
            articles[page] = CurrentArticle(*row)
    return articles


def current_metadata(database: Database, page: int) -> Metadata | None:
    """The metadata of a page's current sighting, or None if no sighting counts."""
    row = database.row(
        "SELECT m.publisher_printed, m.author, m.category, m.published_at, m.published_printed, m.article_id, m.oid, m.aid FROM pages p"
        " JOIN sightings s ON s.id = p.current_sighting_id JOIN metadata m ON m.id = s.metadata_id WHERE p.id = ?",
        page,
    )
    return None if row is None else Metadata(*row)


def find_by_url(database: Database, urls: Iterable[str]) -> dict[str, int]:
    """Canonical URL → page. Unknown URLs are left out."""
    select = "SELECT p.url, p.id FROM wanted w CROSS JOIN pages p ON p.url = w.url"
    return dict(database.select_by_keys("url", ((u,) for u in urls), select))


def all_aliases(database: Database) -> Iterator[Alias]:
    """Every alias, by id. They are read in blocks of 1000; the caller may write rows between them."""
    cursor = 0
    while rows := database.rows("SELECT id, page_id, url_printed, oid, aid FROM aliases WHERE id > ? ORDER BY id LIMIT 1000", cursor):
        cursor = rows[-1][0]
        yield from (Alias(*r) for r in rows)


def find_aliases(database: Database, keys: Iterable[tuple[int, str, str, str]]) -> dict[tuple[int, str, str, str], int]:
    """(page, printed URL, oid, aid) → alias. Unknown ones are left out."""
    select = (
        "SELECT a.page_id, a.url_printed, a.oid, a.aid, a.id FROM wanted w CROSS JOIN aliases a"
        " ON a.page_id = w.page AND a.url_printed = w.url_printed AND a.oid = w.oid AND a.aid = w.aid"
    )
    return {(r[0], r[1], r[2], r[3]): r[4] for r in database.select_by_keys("page, url_printed, oid, aid", keys, select)}


def find_metadata(database: Database, keys: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    """(page, digest of the metadata) → id of the metadata. Unknown ones are left out."""
    select = "SELECT m.page_id, m.digest, m.id FROM wanted w CROSS JOIN metadata m ON m.page_id = w.page AND m.digest = w.digest"
    return {(r[0], r[1]): r[2] for r in database.select_by_keys("page, digest", keys, select)}


def urls(database: Database, pages: Iterable[int]) -> dict[int, str]:
    """Page → canonical URL."""
    select = "SELECT p.id, p.url FROM wanted w CROSS JOIN pages p ON p.id = w.id"
    return dict(database.select_by_ids(pages, select))


def get_by_url(database: Database, url: str) -> int | None:
    """The page with this canonical URL, or None."""
    page_id: int | None = database.value("SELECT id FROM pages WHERE url = ?", url)
    return page_id


def find_by_article_id(database: Database, article_id: str) -> list[PageUrl]:
    """Pages that have metadata with this article id, by URL."""
    return [
        PageUrl(*r)
        for r in database.rows(
            "SELECT DISTINCT p.id, p.url FROM metadata m JOIN sightings s ON s.metadata_id = m.id"
            " JOIN pages p ON p.id = s.page_id WHERE m.article_id = ? ORDER BY p.url",
            article_id,
        )
    ]


def find_by_path(database: Database, directory: bytes, folder: bytes, name: bytes) -> list[PageUrl]:
    """Pages that a file shows now, or showed last if it is a fault now.

    `directory`: absolute path of the crawl directory; `folder`: relative to it.
    """
    return [
        PageUrl(*r)
        for r in database.rows(
            "SELECT DISTINCT p.id, p.url FROM files f JOIN crawl_directories o ON o.id = f.directory_id"
            " JOIN readings d ON d.id = coalesce(f.current_reading_id, (SELECT max(id) FROM readings WHERE file_id = f.id))"
            " JOIN sightings s ON s.id = d.sighting_id JOIN pages p ON p.id = s.page_id"
            " WHERE o.path = ? AND f.folder = ? AND f.name = ?",
            directory, folder, name,
        )
    ]  # fmt: skip


def current_state(database: Database, page: int) -> bytes | None:
    """The digest of a page's current state, or None if no sighting counts."""
    digest: bytes | None = database.value(
        "SELECT r.digest FROM pages p JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
        " WHERE p.id = ?",
        page,
    )
    return digest


def url(database: Database, page: int) -> str:
    """The canonical URL of a page."""
    return str(database.value("SELECT url FROM pages WHERE id = ?", page))


def aliases(database: Database, page: int) -> list[str]:
    """Every printed form of a page's URL, without the canonical one."""
    rows = database.rows(
        "SELECT DISTINCT a.url_printed FROM aliases a JOIN pages p ON p.id = a.page_id"
        " WHERE p.id = ? AND a.url_printed NOT IN ('', p.url) ORDER BY 1",
        page,
    )
    return [r[0] for r in rows]


def delete_without_sightings(transaction: Transaction, pages: Iterable[int]) -> None:
    """Delete those of `pages` that have no sightings, with their aliases."""
    ids = [
        (r[0],)
        for r in transaction.select_by_ids(
            pages,
            "SELECT p.id FROM wanted w CROSS JOIN pages p ON p.id = w.id"
            " WHERE NOT EXISTS (SELECT 1 FROM sightings s WHERE s.page_id = p.id)",
        )
    ]
    transaction.connection.executemany("DELETE FROM aliases WHERE page_id = ?", ids)
    transaction.connection.executemany("DELETE FROM pages WHERE id = ?", ids)


def get_or_insert(transaction: Transaction, url: str) -> int:
    """The id of the page with this canonical URL. Inserts the page if it is unknown."""
    row = transaction.row("SELECT id FROM pages WHERE url = ?", url)
    return row[0] if row else transaction.insert("INSERT INTO pages (url) VALUES (?)", (url,))


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert pages. `rows`: (id, canonical URL, current sighting)."""
    transaction.execute_many("INSERT INTO pages (id, url, current_sighting_id) VALUES (?, ?, ?)", rows)


def insert_aliases(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert aliases. `rows`: (id, page, printed URL, oid, aid)."""
    transaction.execute_many("INSERT INTO aliases (id, page_id, url_printed, oid, aid) VALUES (?, ?, ?, ?, ?)", rows)


def insert_metadata(transaction: Transaction, rows: Iterable[tuple[int, int, bytes, Row]]) -> None:
    """Insert metadata. `rows`: (id, page, digest, values), the last two from `metadata_values`."""
    transaction.execute_many(
        "INSERT INTO metadata (id, page_id, digest, article_id, publisher_printed, author, category, published_at, published_printed,"
        " oid, aid,"
        " extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((row_id, page, digest, *values) for row_id, page, digest, values in rows),
    )


def set_current(transaction: Transaction, rows: Iterable[tuple[int, int | None]]) -> None:
    """Set the current sighting of pages. `rows`: (page, sighting or None)."""
    transaction.execute_many("UPDATE pages SET current_sighting_id = ? WHERE id = ?", ((sighting, page) for page, sighting in rows))


def move_alias(transaction: Transaction, alias: int, page: int) -> None:
    """Assign an alias to another page."""
    transaction.execute("UPDATE aliases SET page_id = ? WHERE id = ?", page, alias)


def delete_empty(transaction: Transaction) -> None:
    """Delete every page that has neither sightings nor aliases."""
    transaction.execute(
        "DELETE FROM pages WHERE NOT EXISTS (SELECT 1 FROM sightings s WHERE s.page_id = pages.id)"
        " AND NOT EXISTS (SELECT 1 FROM aliases a WHERE a.page_id = pages.id)"
    )


def metadata_values(metadata: Metadata) -> tuple[bytes, Row]:
    """(XXH3-128 digest, column values from `article_id` to `extra`) of metadata."""
    m = metadata
    extra = json.dumps(dict(m.extra), ensure_ascii=False, sort_keys=True) if m.extra else "{}"
    values = (m.id, m.publisher, m.author, m.category, m.published_at, m.published_printed, m.oid, m.aid, extra)
    return xxhash.xxh3_128_digest(json.dumps(values).encode()), values
