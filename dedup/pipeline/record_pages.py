"""Second step of recording a batch: find or allocate the page, alias, metadata and revision of each article, and date its crawl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dedup import store
from dedup.model import TimeSource
from dedup.pipeline.batch import ArticleKeys, FileArticle, IdAllocator
from dedup.store import Database
from dedup.store.database import Row
from dedup.store.pages import metadata_values
from dedup.store.rows import ExistingState
from dedup.text import times
from dedup.text.urls import strip_credentials


class NewRevision(NamedTuple):
    """A revision to insert: its page and the first article of the batch that shows it."""

    page_id: int
    source: FileArticle


@dataclass(frozen=True, slots=True)
class PageBatch:
    """The keys of the articles of a batch, in their order, and the rows to insert for them. `new_revisions` is by id."""

    keys: list[ArticleKeys]
    new_pages: list[tuple[int, str]]
    new_aliases: list[Row]
    new_metadata: list[tuple[int, int, bytes, Row]]
    new_revisions: dict[int, NewRevision]


class _Pages(NamedTuple):
    """The page of each article, the pages that are stored, and (id, URL) of those to insert."""

    ids: list[int]
    known: frozenset[int]
    new: list[tuple[int, str]]


class _CrawlTime(NamedTuple):
    at: str
    source: TimeSource


def identify_articles(database: Database, ids: IdAllocator, articles: Sequence[FileArticle]) -> PageBatch:
    """Return the keys of the articles and the rows that are not stored yet. Nothing is written."""
    pages = _find_pages(database, ids, articles)
    alias_ids, new_aliases = _find_aliases(database, ids, articles, pages)
    metadata, new_metadata = _find_metadata(database, ids, articles, pages)
    states, new_revisions = _find_revisions(database, ids, articles, pages)
    crawl_times = _date_crawls(database, articles, pages.ids, states)
    keys = [
        ArticleKeys(
            page_id,
            page_id in pages.known,
            alias_id,
            metadata_id,
            metadata_digest,
            state.revision_id,
            state.text_id,
            state.is_pruned,
            crawl_time.at,
            crawl_time.source,
        )
        for page_id, alias_id, (metadata_id, metadata_digest), state, crawl_time in zip(
            pages.ids, alias_ids, metadata, states, crawl_times, strict=True
        )
    ]
    return PageBatch(keys, pages.new, new_aliases, new_metadata, new_revisions)


def _find_pages(database: Database, ids: IdAllocator, articles: Sequence[FileArticle]) -> _Pages:
    ids_by_url = store.pages.find_by_url(database, {article.url for article in articles})
    known_pages = frozenset(ids_by_url.values())
    new_pages = [(ids.next_id("pages"), url) for url in dict.fromkeys(a.url for a in articles) if url not in ids_by_url]
    ids_by_url |= {url: page_id for page_id, url in new_pages}
    return _Pages([ids_by_url[article.url] for article in articles], known_pages, new_pages)


def _find_aliases(database: Database, ids: IdAllocator, articles: Sequence[FileArticle], pages: _Pages) -> tuple[list[int], list[Row]]:
    """Return the alias id of each article, and the alias rows to insert: (id, page, URL as printed, oid, aid)."""
    keys = [
        (page_id, strip_credentials(a.article.url), a.article.metadata.oid, a.article.metadata.aid)
        for page_id, a in zip(pages.ids, articles, strict=True)
    ]
    ids_by_key = store.pages.find_aliases(database, (key for key in dict.fromkeys(keys) if key[0] in pages.known))
    new_rows: list[Row] = []
    for key in keys:
        if key not in ids_by_key:
            ids_by_key[key] = ids.next_id("aliases")
            new_rows.append((ids_by_key[key], *key))
    return [ids_by_key[key] for key in keys], new_rows


def _find_metadata(
    database: Database, ids: IdAllocator, articles: Sequence[FileArticle], pages: _Pages
) -> tuple[list[tuple[int, bytes]], list[tuple[int, int, bytes, Row]]]:
    """Return (id, digest) of the metadata of each article, and the rows to insert: (id, page, digest, values)."""
    values = [metadata_values(article.article.metadata) for article in articles]
    keys = [(page_id, digest) for page_id, (digest, _) in zip(pages.ids, values, strict=True)]
    ids_by_key = store.pages.find_metadata(database, (key for key in dict.fromkeys(keys) if key[0] in pages.known))
    new_rows: list[tuple[int, int, bytes, Row]] = []
    for key, (digest, row) in zip(keys, values, strict=True):
        if key not in ids_by_key:
            ids_by_key[key] = ids.next_id("metadata")
            new_rows.append((ids_by_key[key], key[0], digest, row))
    return [(ids_by_key[key], key[1]) for key in keys], new_rows


def _find_revisions(
    database: Database, ids: IdAllocator, articles: Sequence[FileArticle], pages: _Pages
) -> tuple[list[ExistingState], dict[int, NewRevision]]:
    """Return the revision of each article, and the revisions to insert."""
    keys = [(page_id, article.extraction.state_digest) for page_id, article in zip(pages.ids, articles, strict=True)]
    states_by_key = store.revisions.find_by_state(database, (key for key in keys if key[0] in pages.known))
    new_revisions: dict[int, NewRevision] = {}
    for key, article in zip(keys, articles, strict=True):
        if key not in states_by_key:
            states_by_key[key] = state = ExistingState(ids.next_id("revisions"), None, is_pruned=False)
            new_revisions[state.revision_id] = NewRevision(key[0], article)
    return [states_by_key[key] for key in keys], new_revisions


def _date_crawls(
    database: Database, articles: Sequence[FileArticle], page_ids: Sequence[int], states: Sequence[ExistingState]
) -> list[_CrawlTime]:
    """Return the crawl time of each article: the one the file prints; else the one recorded when the file began to show this state, if it
    has shown nothing else since; else the file's mtime."""
    undated_ids = (a.file_id for a in articles if not a.article.crawled_at and a.file_row is not None)
    latest_readings = store.readings.latest_of_files(database, undated_ids)
    crawl_times: list[_CrawlTime] = []
    for article, page_id, state in zip(articles, page_ids, states, strict=True):
        latest = latest_readings.get(article.file_id)
        if article.article.crawled_at:
            crawl_times.append(_CrawlTime(article.article.crawled_at, "file"))
        elif latest and (latest.page_id, latest.revision_id, latest.crawled_at_source) == (page_id, state.revision_id, "mtime"):
            crawl_times.append(_CrawlTime(latest.crawled_at, "mtime"))
        else:
            crawl_times.append(_CrawlTime(times.from_ns(article.extraction.file.stamp.mtime_ns), "mtime"))
    return crawl_times
