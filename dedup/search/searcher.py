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
from dedup.search.highlight import Pieces, marked, snippet
from dedup.search.query import Query, Term, parse
from dedup.search.tokenizer import PUBLISHER, RECIPE, TITLE, URL, blanked
from dedup.store import Database
from dedup.store.rows import FoundRow
from dedup.text.normalise import fold
from dedup.text.publishers import Publishers

LOOKED_AT = 300
"""Rows that are held against a query at once; a page of results may be short for that, and the next one goes on."""
TAIL = 32
"""Revisions, the last that are held, by which an index shows that it is of this database's past."""
_CHUNK = 32
_MOST_KEY = (1 << 63) - 1

NOT_OFFERED = "the SQLite of this machine has no full-text search (FTS5)"
_MISSING = "there is no search index yet; 'dedup scan' makes one little by little, 'dedup reindex --search' at once"
_DAMAGED = "the search index cannot be read ({problem}); 'dedup reindex --search' makes it again"
_ANOTHERS = (
    "the search index is another database's or of another version; the next 'dedup scan' makes it again, 'dedup reindex --search' at once"
)
_NO_PLACE = "'{before}' is no place in its results"


@dataclass(frozen=True, slots=True)
class Reach:
    """How many revisions can be found, of how many there are."""

    held: int
    all: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A revision that was found. `state` is its digest; `crawled_at` when it was last seen; `current`: its page shows it now; `text`
    what stands around the first hit in its body, None where that was pruned."""

    url: str
    state: bytes
    title: Pieces
    publisher: str
    crawled_at: str
    current: bool
    text: Pieces | None
    pruned_at: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results, the newest revisions first; `next` is where the next page begins, None: that was all. With a `problem`
    nothing could be looked for, and this is why."""

    hits: tuple[Hit, ...] = ()
    next: str | None = None
    reach: Reach = Reach(0, 0)
    problem: str = ""


def find(
    database: Database, publishers: Publishers, asked: str, before: str | None = None, limit: int = 20, looked_at: int = LOOKED_AT
) -> Found:
    """What somebody looks for, whatever that is; `before` is what an earlier page gave as `next`. A page may have fewer than `limit`
    hits (none even) and still a next one: so many rows at most are `looked_at`. Errors of the database itself are raised.

    A reader that was opened for this sees all that the index has; one that was asked something before may be behind it, and is told
    a reach of 0 then, since the index could as well be another state's.
    """
    query = parse(asked)
    place = _MOST_KEY if before is None else _place(before)
    problem = query.problem or ("" if place is not None else _NO_PLACE.format(before=before))
    if not problem and not index_file.offered():
        problem = NOT_OFFERED
    if problem or place is None:
        return Found(reach=reach(database), problem=problem)
    try:
        with closing(_opened(database)) as index:
            with _of_index():
                standing = index_file.standing(index)
            if (standing.uuid, standing.recipe) != (store.settings.get(database, "uuid"), RECIPE):
                return Found(reach=Reach(0, _all(database)), problem=_ANOTHERS)
            hits, following = _page(database, publishers, query, _candidates(index, query, publishers, place), limit, looked_at)
            return Found(hits, following, _reach(database, index, standing))
    except FileNotFoundError:
        return Found(reach=Reach(0, _all(database)), problem=_MISSING)
    except (OSError, ValueError, _IndexError) as error:
        if isinstance(error, OSError) and is_exhausted(error):
            raise
        return Found(reach=Reach(0, _all(database)), problem=_DAMAGED.format(problem=error))


class _IndexError(Exception):
    """SQLite cannot ask the index; the database is another file, and its errors are others."""


@contextmanager
def _of_index() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _IndexError(str(error)) from error


def _opened(database: Database) -> sqlite3.Connection:
    with _of_index():
        return index_file.open_reading(database.search_path())


def reach(database: Database) -> Reach:
    """How far search reaches; nothing is held where there is no index that fits."""
    with suppress(OSError, ValueError, _IndexError), closing(_opened(database)) as index:
        with _of_index():
            standing = index_file.standing(index)
        if (standing.uuid, standing.recipe) == (store.settings.get(database, "uuid"), RECIPE):
            return _reach(database, index, standing)
    return Reach(0, _all(database))


def continues(database: Database, standing: index_file.Standing, held: dict[int, bytes]) -> bool:
    """Whether what an index `held` last is what the database has there, or had and knows to have altered since."""
    altered = store.search.altered_after(database, standing.altered, 10 * TAIL)
    if altered is None:
        return False
    touched = {revision for _, revision in altered}
    there = store.search.state_digests_of(database, held)
    return len(altered) == 10 * TAIL or all(there.get(r) == state or r in touched for r, state in held.items())


def _reach(database: Database, index: sqlite3.Connection, standing: index_file.Standing) -> Reach:
    with _of_index():
        held = index_file.last_held(index, TAIL)
        due = int(index.execute("SELECT count(*) FROM due").fetchone()[0])
    if not continues(database, standing, held):
        return Reach(0, _all(database))
    return Reach(standing.held, standing.held + due + store.search.count_revisions_after(database, standing.last))


def _all(database: Database) -> int:
    return store.statistics.count(database, "revisions")


def _candidates(index: sqlite3.Connection, query: Query, publishers: Publishers, place: int) -> Iterator[int]:
    sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? ORDER BY rowid DESC"
    with _of_index():
        for (revision,) in index.execute(sql, (query.expression(publishers), place)):
            yield revision


def _page(
    database: Database, publishers: Publishers, query: Query, candidates: Iterator[int], limit: int, looked_at: int
) -> tuple[tuple[Hit, ...], str | None]:
    hits: list[Hit] = []
    last = _MOST_KEY
    looked = 0
    chunk: list[int] = []
    while True:
        chunk = [revision for revision, _ in zip(candidates, range(min(max(limit + 1, _CHUNK), looked_at - looked)), strict=False)]
        if not chunk:
            return tuple(hits), None if looked < looked_at else _named(last)
        for row in store.search.counted_revisions(database, chunk):
            if _fits(row, query, publishers):
                if len(hits) == limit:
                    return tuple(hits), _named(last)
                hits.append(_hit(row, query, publishers))
                last = row.id
        looked += len(chunk)
        if len(hits) < limit:
            last = chunk[-1]


def _fits(row: FoundRow, query: Query, publishers: Publishers) -> bool:
    """Whether the row has all that is wanted and nothing of what is excluded."""
    texts = {TITLE: (row.title,), URL: (row.url,), PUBLISHER: (row.publisher,)}
    blank: dict[str, list[str]] = {}

    def has(term: Term) -> bool:
        if term.place not in blank:
            looked = texts.get(term.place) or (row.title, row.body or "", row.url, row.publisher)
            blank[term.place] = [blanked(fold(text)) for text in looked]
        return any(term.pattern.search(text) for text in blank[term.place]) or (term.place == PUBLISHER and _is_by(row, term, publishers))

    return all(has(term) is not term.excluded for term in query.terms)


def _is_by(row: FoundRow, term: Term, publishers: Publishers) -> bool:
    house = publishers.house(row.publisher, row.oid, row.url)
    return term.finds(house) or any(house == known.name for known in publishers.called(term.finds))


def _hit(row: FoundRow, query: Query, publishers: Publishers) -> Hit:
    wanted = [term for term in query.terms if not term.excluded and term.place in ("", TITLE)]
    within = [term for term in wanted if term.place == ""]
    return Hit(
        row.url, row.digest, marked(row.title, wanted), publishers.house(row.publisher, row.oid, row.url), row.crawled_at, row.current,
        None if row.body is None else snippet(row.body, within), row.pruned_at,
    )  # fmt: skip


def _named(revision: int) -> str:
    """A place in the results, as a page's address may bear it: no number that would seem to count something."""
    return base64.urlsafe_b64encode(revision.to_bytes(8, "big")).rstrip(b"=").decode()


def _place(named: str) -> int | None:
    try:
        raw = base64.b64decode(named.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    place = int.from_bytes(raw, "big")
    return place if len(raw) == 8 and 0 <= place <= _MOST_KEY else None


def plain(pieces: Sequence[tuple[str, bool]]) -> str:
    """The text of pieces."""
    return "".join(text for text, _ in pieces)
