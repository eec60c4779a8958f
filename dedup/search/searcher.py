"""Answers queries from the search index: newest revisions first, each candidate compared with its row in the database."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from dedup import store
from dedup.files.descriptors import is_exhausted
from dedup.search import index_file, index_tables
from dedup.search.coverage import (
    IndexCoverage,
    IndexUnreadableError,
    index_coverage,
    index_errors,
    measure_coverage,
    no_coverage,
    open_index,
    read_current_state,
)
from dedup.search.highlight import HighlightedText, highlight, snippet
from dedup.search.query import SearchQuery, Term, parse_query
from dedup.search.tokenizer import PUBLISHER, TITLE, URL, blank_separators
from dedup.store import Database
from dedup.store.rows import SearchHitRow
from dedup.text.normalise import fold
from dedup.text.publishers import PublisherResolver

MAX_ROWS_CHECKED = 300
"""Rows that are compared for one page of results. A page may therefore have fewer hits than asked for; the next page continues."""
_CHUNK_ROWS = 32
_MAX_REVISION_ID = (1 << 63) - 1
_NOTHING_COVERED = IndexCoverage(0, 0)

_MISSING = "there is no search index yet; 'dedup scan' builds it in steps, 'dedup reindex --search' at once"
_DAMAGED = "the search index cannot be read ({problem}); 'dedup reindex --search' rebuilds it"
_WRONG_INDEX = (
    "the search index belongs to another database or another version of dedup; the next 'dedup scan' rebuilds it,"
    " 'dedup reindex --search' at once"
)
_BAD_CURSOR = "'{cursor}' is not a valid cursor"


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A revision that matches a query.

    `crawled_at` is its last counted crawl. `current`: its page shows it now. `snippet` is the part of its body around the first match,
    None if the body was pruned.
    """

    url: str
    state_digest: bytes
    title: HighlightedText
    publisher: str
    crawled_at: str
    current: bool
    snippet: HighlightedText | None
    pruned_at: str | None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of results, newest revisions first. `next_cursor` is the cursor of the next page, None on the last one.

    A `problem` says why nothing could be searched.
    """

    hits: tuple[SearchHit, ...] = ()
    next_cursor: str | None = None
    coverage: IndexCoverage = _NOTHING_COVERED
    problem: str = ""


def search_revisions(
    database: Database,
    publishers: PublisherResolver,
    query_text: str,
    cursor: str | None = None,
    limit: int = 20,
    max_rows: int = MAX_ROWS_CHECKED,
) -> SearchPage:
    """Return one page of the revisions that match a query. `cursor` is the `next_cursor` of the previous page.

    At most `max_rows` rows are compared, so a page may have fewer than `limit` hits, even none, and still have a next one. Problems
    with the query or the index are in the page; errors of the database are raised.

    A database that was opened just before sees everything that is indexed. One that has read before may be older than the index, which
    then looks like that of another history: its coverage is 0.
    """
    query = parse_query(query_text)
    before_revision = _MAX_REVISION_ID if cursor is None else _decode_cursor(cursor)
    problem = query.problem or ("" if before_revision is not None else _BAD_CURSOR.format(cursor=cursor))
    if not problem and not index_file.is_available():
        problem = index_file.NOT_AVAILABLE
    if problem or before_revision is None:
        return SearchPage(coverage=index_coverage(database), problem=problem)
    try:
        with closing(open_index(database)) as index:
            state = read_current_state(database, index)
            if state is None:
                return SearchPage(coverage=no_coverage(database), problem=_WRONG_INDEX)
            candidates = _candidates(index, query, publishers, before_revision)
            hits, next_cursor = _collect_page(database, publishers, query, candidates, limit, max_rows)
            return SearchPage(hits, next_cursor, measure_coverage(database, index, state))
    except FileNotFoundError:
        return SearchPage(coverage=no_coverage(database), problem=_MISSING)
    except (OSError, ValueError, IndexUnreadableError) as error:
        if isinstance(error, OSError) and is_exhausted(error):
            raise
        return SearchPage(coverage=no_coverage(database), problem=_DAMAGED.format(problem=error))


def _candidates(index: sqlite3.Connection, query: SearchQuery, publishers: PublisherResolver, before_revision: int) -> Iterator[int]:
    with index_errors():
        yield from index_tables.matching_revisions(index, query.to_fts5(publishers), before_revision)


def _collect_page(
    database: Database, publishers: PublisherResolver, query: SearchQuery, candidates: Iterator[int], limit: int, max_rows: int
) -> tuple[tuple[SearchHit, ...], str | None]:
    """Compare at most `max_rows` candidates with their rows. Returns (at most `limit` hits, cursor of the next page or None)."""
    hits: list[SearchHit] = []
    last = _MAX_REVISION_ID
    checked_count = 0
    while True:
        chunk = list(islice(candidates, min(max(limit + 1, _CHUNK_ROWS), max_rows - checked_count)))
        if not chunk:
            return tuple(hits), None if checked_count < max_rows else _encode_cursor(last)
        for row in store.search.hits(database, chunk):
            if _is_match(row, query, publishers):
                if len(hits) == limit:
                    return tuple(hits), _encode_cursor(last)
                hits.append(_build_hit(row, query, publishers))
                last = row.id
        checked_count += len(chunk)
        if len(hits) < limit:
            last = chunk[-1]


def _is_match(row: SearchHitRow, query: SearchQuery, publishers: PublisherResolver) -> bool:
    """Return whether a row contains every included term of a query and no excluded one."""
    field_texts = {
        "": (row.title, row.body or "", row.url, row.publisher), TITLE: (row.title,), URL: (row.url,), PUBLISHER: (row.publisher,),
    }  # fmt: skip
    blanked_texts: dict[str, list[str]] = {}

    def has(term: Term) -> bool:
        field = term.field_prefix
        if field not in blanked_texts:
            blanked_texts[field] = [blank_separators(fold(text)) for text in field_texts[field]]
        return any(term.pattern.search(text) for text in blanked_texts[field]) or (
            field == PUBLISHER and _has_publisher(row, term, publishers)
        )

    return all(has(term) is not term.excluded for term in query.terms)


def _has_publisher(row: SearchHitRow, term: Term, publishers: PublisherResolver) -> bool:
    """Return whether a term occurs in one of the names of the row's publisher."""
    name = publishers.canonical_name(row.publisher, row.oid, row.url)
    return term.occurs_in(name) or any(name == publisher.name for publisher in publishers.find_by_name(term.occurs_in))


def _build_hit(row: SearchHitRow, query: SearchQuery, publishers: PublisherResolver) -> SearchHit:
    included_terms = [term for term in query.terms if not term.excluded and term.field_prefix in ("", TITLE)]
    body_terms = [term for term in included_terms if term.field_prefix == ""]
    return SearchHit(
        row.url, row.digest, highlight(row.title, included_terms), publishers.canonical_name(row.publisher, row.oid, row.url),
        row.crawled_at, row.is_current, None if row.body is None else snippet(row.body, body_terms), row.pruned_at,
    )  # fmt: skip


def _encode_cursor(revision: int) -> str:
    """Encode a revision id as an opaque cursor for URLs, so that it does not look like a count or a position."""
    return base64.urlsafe_b64encode(revision.to_bytes(8, "big")).rstrip(b"=").decode()


def _decode_cursor(cursor: str) -> int | None:
    """The revision id of a cursor, or None if the cursor is not valid."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    revision = int.from_bytes(raw, "big")
    return revision if len(raw) == 8 and 0 <= revision <= _MAX_REVISION_ID else None
