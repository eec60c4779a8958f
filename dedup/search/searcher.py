"""Asking the search index: the newest revisions first, each held against its row before it is shown."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from dedup import store
from dedup.files.descriptors import is_exhausted
from dedup.search import index_file
from dedup.search.highlight import HighlightedText, highlight, snippet
from dedup.search.query import SearchQuery, Term, parse_query
from dedup.search.tokenizer import PUBLISHER, RECIPE, TITLE, URL, blank_separators
from dedup.store import Database
from dedup.store.rows import SearchHitRow
from dedup.text.normalise import fold
from dedup.text.publishers import PublisherResolver

MAX_ROWS_CHECKED = 300
"""Rows that are held against a query at once; a page of results may be short for that, and the next one goes on."""
TAIL_REVISIONS = 32
"""Revisions, the last that are held, by which an index shows that it is of this database's past."""
_CHUNK_ROWS = 32
_MAX_REVISION_ID = (1 << 63) - 1

NOT_AVAILABLE = "the SQLite of this machine has no full-text search (FTS5)"
_MISSING = "there is no search index yet; 'dedup scan' makes one little by little, 'dedup reindex --search' at once"
_DAMAGED = "the search index cannot be read ({problem}); 'dedup reindex --search' makes it again"
_WRONG_INDEX = (
    "the search index is another database's or of another version; the next 'dedup scan' makes it again, 'dedup reindex --search' at once"
)
_BAD_CURSOR = "'{before}' is no place in its results"


@dataclass(frozen=True, slots=True)
class IndexCoverage:
    """How many revisions can be found, of how many there are."""

    indexed: int
    total: int


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A revision that was found. `state_digest` is its digest; `crawled_at` when it was last seen; `current`: its page shows it now;
    `snippet` what stands around the first hit in its body, None where that was pruned."""

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
    """A page of results, the newest revisions first; `next_cursor` is where the next page begins, None: that was all. With a `problem`
    nothing could be looked for, and this is why."""

    hits: tuple[SearchHit, ...] = ()
    next_cursor: str | None = None
    coverage: IndexCoverage = IndexCoverage(0, 0)
    problem: str = ""


def search_revisions(
    database: Database,
    publishers: PublisherResolver,
    query_text: str,
    cursor: str | None = None,
    limit: int = 20,
    max_rows: int = MAX_ROWS_CHECKED,
) -> SearchPage:
    """What somebody looks for, whatever that is; `cursor` is what an earlier page gave as `next_cursor`. A page may have fewer than `limit`
    hits (none even) and still a next one: it looks at `max_rows` rows at most. Errors of the database itself are raised.

    A reader that was opened for this sees all that the index has; one that was asked something before may be behind it, and is told
    a reach of 0 then, since the index could as well be another state's.
    """
    query = parse_query(query_text)
    before_revision = _MAX_REVISION_ID if cursor is None else _decode_cursor(cursor)
    problem = query.problem or ("" if before_revision is not None else _BAD_CURSOR.format(before=cursor))
    if not problem and not index_file.is_available():
        problem = NOT_AVAILABLE
    if problem or before_revision is None:
        return SearchPage(coverage=index_coverage(database), problem=problem)
    try:
        with closing(_open_index(database)) as index:
            with _index_errors():
                index_state = index_file.read_state(index)
            if (index_state.uuid, index_state.recipe) != (store.settings.get(database, "uuid"), RECIPE):
                return SearchPage(coverage=IndexCoverage(0, _count_revisions(database)), problem=_WRONG_INDEX)
            hits, next_cursor = _collect_page(
                database, publishers, query, _candidates(index, query, publishers, before_revision), limit, max_rows
            )
            return SearchPage(hits, next_cursor, _measure_coverage(database, index, index_state))
    except FileNotFoundError:
        return SearchPage(coverage=IndexCoverage(0, _count_revisions(database)), problem=_MISSING)
    except (OSError, ValueError, _SearchIndexError) as error:
        if isinstance(error, OSError) and is_exhausted(error):
            raise
        return SearchPage(coverage=IndexCoverage(0, _count_revisions(database)), problem=_DAMAGED.format(problem=error))


class _SearchIndexError(Exception):
    """SQLite cannot ask the index; the database is another file, and its errors are others."""


@contextmanager
def _index_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _SearchIndexError(str(error)) from error


def _open_index(database: Database) -> sqlite3.Connection:
    with _index_errors():
        return index_file.open_for_reading(database.search_index_path())


def index_coverage(database: Database) -> IndexCoverage:
    """How far search reaches; nothing is held where there is no index that fits."""
    with suppress(OSError, ValueError, _SearchIndexError), closing(_open_index(database)) as index:
        with _index_errors():
            index_state = index_file.read_state(index)
        if (index_state.uuid, index_state.recipe) == (store.settings.get(database, "uuid"), RECIPE):
            return _measure_coverage(database, index, index_state)
    return IndexCoverage(0, _count_revisions(database))


def is_same_history(database: Database, index_state: index_file.IndexState, indexed: dict[int, bytes]) -> bool:
    """Whether what the index took in last is what the database has there, or had and knows to have altered since."""
    altered = store.search.log_entries_after(database, index_state.altered_position, 10 * TAIL_REVISIONS)
    if altered is None:
        return False
    altered_revisions = {revision for _, revision in altered}
    stored_digests = store.search.state_digests_of(database, indexed)
    return len(altered) == 10 * TAIL_REVISIONS or all(
        stored_digests.get(r) == state or r in altered_revisions for r, state in indexed.items()
    )


def _measure_coverage(database: Database, index: sqlite3.Connection, index_state: index_file.IndexState) -> IndexCoverage:
    with _index_errors():
        last_indexed = index_file.last_indexed(index, TAIL_REVISIONS)
        pending_count = int(index.execute("SELECT count(*) FROM reindex_queue").fetchone()[0])
    if not is_same_history(database, index_state, last_indexed):
        return IndexCoverage(0, _count_revisions(database))
    return IndexCoverage(
        index_state.indexed, index_state.indexed + pending_count + store.search.count_revisions_after(database, index_state.last_revision)
    )


def _count_revisions(database: Database) -> int:
    return store.statistics.count(database, "revisions")


def _candidates(index: sqlite3.Connection, query: SearchQuery, publishers: PublisherResolver, before_revision: int) -> Iterator[int]:
    sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? ORDER BY rowid DESC"
    with _index_errors():
        for (revision,) in index.execute(sql, (query.to_fts5(publishers), before_revision)):
            yield revision


def _collect_page(
    database: Database, publishers: PublisherResolver, query: SearchQuery, candidates: Iterator[int], limit: int, max_rows: int
) -> tuple[tuple[SearchHit, ...], str | None]:
    hits: list[SearchHit] = []
    last = _MAX_REVISION_ID
    rows_checked = 0
    chunk: list[int] = []
    while True:
        chunk = [
            revision for revision, _ in zip(candidates, range(min(max(limit + 1, _CHUNK_ROWS), max_rows - rows_checked)), strict=False)
        ]
        if not chunk:
            return tuple(hits), None if rows_checked < max_rows else _encode_cursor(last)
        for row in store.search.hits(database, chunk):
            if _is_match(row, query, publishers):
                if len(hits) == limit:
                    return tuple(hits), _encode_cursor(last)
                hits.append(_build_hit(row, query, publishers))
                last = row.id
        rows_checked += len(chunk)
        if len(hits) < limit:
            last = chunk[-1]


def _is_match(row: SearchHitRow, query: SearchQuery, publishers: PublisherResolver) -> bool:
    """Whether the row has all that is wanted and nothing of what is excluded."""
    texts = {TITLE: (row.title,), URL: (row.url,), PUBLISHER: (row.publisher,)}
    blanked_texts: dict[str, list[str]] = {}

    def has(term: Term) -> bool:
        if term.field_prefix not in blanked_texts:
            looked = texts.get(term.field_prefix) or (row.title, row.body or "", row.url, row.publisher)
            blanked_texts[term.field_prefix] = [blank_separators(fold(text)) for text in looked]
        return any(term.pattern.search(text) for text in blanked_texts[term.field_prefix]) or (
            term.field_prefix == PUBLISHER and _has_publisher(row, term, publishers)
        )

    return all(has(term) is not term.excluded for term in query.terms)


def _has_publisher(row: SearchHitRow, term: Term, publishers: PublisherResolver) -> bool:
    publisher = publishers.canonical_name(row.publisher, row.oid, row.url)
    return term.occurs_in(publisher) or any(publisher == known.name for known in publishers.find_by_name(term.occurs_in))


def _build_hit(row: SearchHitRow, query: SearchQuery, publishers: PublisherResolver) -> SearchHit:
    included_terms = [term for term in query.terms if not term.excluded and term.field_prefix in ("", TITLE)]
    body_terms = [term for term in included_terms if term.field_prefix == ""]
    return SearchHit(
        row.url, row.digest, highlight(row.title, included_terms), publishers.canonical_name(row.publisher, row.oid, row.url),
        row.crawled_at, row.is_current, None if row.body is None else snippet(row.body, body_terms), row.pruned_at,
    )  # fmt: skip


def _encode_cursor(revision: int) -> str:
    """A place in the results, as a page's address may bear it: no number that would seem to count something."""
    return base64.urlsafe_b64encode(revision.to_bytes(8, "big")).rstrip(b"=").decode()


def _decode_cursor(cursor: str) -> int | None:
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    revision = int.from_bytes(raw, "big")
    return revision if len(raw) == 8 and 0 <= revision <= _MAX_REVISION_ID else None


def pieces_to_text(pieces: Sequence[tuple[str, bool]]) -> str:
    """The text of pieces."""
    return "".join(text for text, _ in pieces)
