"""Databases with a search index, and searches in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dedup.search import IndexProgress, SearchIndexer, SearchPage, pieces_to_text, search_revisions
from dedup.store import open_database, open_writable
from dedup.text.publishers import PublisherResolver
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile

NO_ALIASES = PublisherResolver()


def update_index(db: Path, seconds: float = float("inf")) -> IndexProgress:
    """Update the search index, as the daemon does when idle."""
    with open_writable(str(db), "test") as database:
        search = SearchIndexer(database)
        try:
            return search.update(seconds)
        finally:
            search.close()


def scan_articles(crawl: Path, db: Path, *articles: ArticleFile) -> None:
    for article in articles:
        article.write(crawl)
    running.scan(crawl, db)
    update_index(db)


def search_page(
    db: Path, query: str, before: str | None = None, limit: int = 100, publishers: PublisherResolver = NO_ALIASES
) -> SearchPage:
    with open_database(str(db)) as database:
        return search_revisions(database, publishers, query, before, limit)


def titles(db: Path, query: str, publishers: PublisherResolver = NO_ALIASES) -> list[str]:
    """Return the titles of all hits, sorted."""
    page = search_page(db, query, publishers=publishers)
    assert page.problem == ""
    assert page.next_cursor is None
    return sorted(pieces_to_text(hit.title) for hit in page.hits)


def numbered_article(number: int, body: str, **more: Any) -> ArticleFile:
    return ArticleFile(body=body, aid=f"{number:010}", **({"title": f"제목{number}"} | more))
