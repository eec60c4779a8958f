"""Changes between successive sightings of a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

from dedup.model import Change
from dedup.store import statistics
from dedup.store.database import Database, Transaction, Where, placeholders
from dedup.store.rows import (
    ChangeRow,
    ClassificationRow,
    ClassifiedChange,
    StoredChange,
)

_function_numbers = count()


class Incident(NamedTuple):
    """One edit made to many pages: from the first to the last crawl that showed it."""

    edit_digest: bytes
    first_at: str
    last_at: str
    page_count: int


class FeedCursor(NamedTuple):
    """Where a change stands in the feed: the latest first, then by URL and state."""

    at: str
    url: str
    state: bytes


_SELECT_LATEST = (
    "SELECT c.sighting_id, c.page_id, p.url, m.publisher_printed, m.oid, c.at, x.crawled_at, a.title, b.title, a.digest, b.digest, c.kind,"
    " c.severity, c.parts, c.evidence, c.silent, c.corrected, c.edit_digest, c.fields, c.body_similarity"
    " FROM changes c INDEXED BY {index} CROSS JOIN pages p ON p.id = c.page_id CROSS JOIN sightings y ON y.id = c.sighting_id"
    " CROSS JOIN metadata m ON m.id = y.metadata_id CROSS JOIN revisions b ON b.id = y.revision_id"
    " CROSS JOIN sightings x ON x.id = c.previous_sighting_id CROSS JOIN revisions a ON a.id = x.revision_id"
)
"""From the changes on, in the order of an index: who wants the first few reads no more than those."""


_CLASSIFICATION = "c.kind, c.severity, c.parts, c.evidence, c.silent, c.corrected, c.edit_digest, c.page_history, c.classified_by"


ChangeRecord = tuple[int, Change, bool, bool, float | None, ClassificationRow]
"""(page, change, whether the title changed, whether the body did, the bodies' similarity if it can be known, judgement)."""


def list_latest(
    database: Database,
    *,
    since: str | None = None,
    until: str | None = None,
    page: int | None = None,
    kinds: Collection[str] = (),
    severities: Collection[str] = (),
    silent: bool = False,
    edit_digest: bytes | None = None,
    cursor: FeedCursor | None = None,
    end_cursor: FeedCursor | None = None,
    excluded_incidents: Collection[Incident] = (),
    accepts: Callable[[str, str, str], bool] | None = None,
) -> Iterator[ClassifiedChange]:
    """Changes, the latest first: of one page, of these kinds or severities (those that were not judged among them), stealthy ones,
    of one edit; those that come after a spot, or up to it; none that is part of some incidents; those that `accepts` says yes to, by
    publisher as printed, oid and URL, before more of them is read. Times are ISO 8601 in UTC, `until` is not included."""
    index = "changes_edit_digest" if edit_digest is not None else "changes_page" if page is not None else "changes_at"
    where = Where()
    if since is not None:
        where.add("c.at >= ?", since)
    if until is not None:
        where.add("c.at < ?", until)
    if page is not None:
        where.add("c.page_id = ?", page)
    if edit_digest is not None:
        where.add("c.edit_digest = ?", edit_digest)
    if silent:
        where.add("c.silent = 1")
    if kinds:
        where.add(f"c.kind IN ({placeholders(kinds)})", *kinds)
    if severities:
        where.add(f"(c.severity IS NULL OR c.severity IN ({placeholders(severities)}))", *severities)
    if cursor is not None:
        where.add("c.at <= ? AND (c.at < ? OR (p.url, b.digest) > (?, ?))", cursor.at, cursor.at, cursor.url, cursor.state)
    if end_cursor is not None:
        where.add("c.at >= ? AND (c.at > ? OR (p.url, b.digest) <= (?, ?))", end_cursor.at, end_cursor.at, end_cursor.url, end_cursor.state)
    for incident in excluded_incidents:
        where.add("NOT (c.edit_digest IS ? AND c.at BETWEEN ? AND ?)", incident.edit_digest, incident.first_at, incident.last_at)
    if accepts is not None:
        function_name = f"accepts_{next(_function_numbers)}"  # one cannot be put in another's place while that is asked
        database.connection.create_function(function_name, 3, accepts)
        where.add(f"{function_name}(m.publisher_printed, m.oid, p.url)")
    sql = f"{_SELECT_LATEST.format(index=index)} WHERE {where} ORDER BY c.at DESC, p.url, b.digest"
    for row in database.connection.execute(sql, where.values):
        yield ClassifiedChange(*row)


def incidents(database: Database, edit_digest: bytes, min_pages: int, max_gap_hours: float) -> list[Incident]:
    """When an edit was made to so many pages at least, no more than so many hours lying between one and the next."""
    result: list[Incident] = []
    rows = database.rows("SELECT at, page_id FROM changes WHERE edit_digest = ? ORDER BY at", edit_digest)
    for run in _runs(rows, timedelta(hours=max_gap_hours)) if len(rows) >= min_pages else ():
        page_count = len({page for _, page in run})
        if page_count >= min_pages:
            result.append(Incident(edit_digest, run[0][0], run[-1][0], page_count))
    return result


def count_unclassified(database: Database) -> int:
    """Changes from before there were judgements."""
    return statistics.count(database, "changes", "classified_by IS NULL")


def pages_with_changes(database: Database) -> list[int]:
    """Pages with more sightings than one, or with a change: those that have something to be compared."""
    return [
        r[0]
        for r in database.rows(
            "SELECT page_id FROM sightings GROUP BY page_id HAVING count(*) > 1 UNION"
            " SELECT page_id FROM changes WHERE page_id IN (SELECT id FROM pages) ORDER BY 1"
        )
    ]


def of_pages(database: Database, pages: Iterable[int]) -> dict[int, dict[int, StoredChange]]:
    """Page → its stored changes, by their later sightings."""
    select = (
        "SELECT w.id, c.sighting_id, c.previous_sighting_id, c.returned, c.fields, c.page_history, c.kind"
        " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
    )
    rows = database.group_by_ids(pages, select)
    return {page: {r[0]: StoredChange(r[1], bool(r[2]), r[3], r[4], r[5]) for r in of_page} for page, of_page in rows.items()}


def states(database: Database, sightings: Iterable[int]) -> list[tuple[int, bytes, bytes, str]]:
    """(page, digest of the state before, of that after, later crawl) of the changes with these later sightings."""
    select = (
        "SELECT c.page_id, a.digest, b.digest, c.at FROM wanted w CROSS JOIN changes c ON c.sighting_id = w.id"
        " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id"
        " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
    )
    return [(r[0], r[1], r[2], r[3]) for r in database.select_by_ids(sightings, select)]


def states_around(database: Database, sightings: Iterable[int]) -> list[tuple[int, bytes, bytes, str]]:
    """The same of the changes that lead to or from these sightings."""
    ids = list(sightings)
    later_ids = {
        r[0]
        for r in database.select_by_ids(ids, "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.previous_sighting_id = w.id")
    }
    return states(database, {*ids, *later_ids})


def without_similarity(database: Database, pages: Iterable[int]) -> set[int]:
    """The later sightings of those stored changes of these pages of which the bodies could not be compared."""
    select = "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.page_id = w.id WHERE c.body_similarity IS NULL"
    return {r[0] for r in database.select_by_ids(pages, select)}


def known_comparisons(database: Database, pages: Iterable[int]) -> dict[tuple[int, int], tuple[bool, float, ClassificationRow]]:
    """(a revision, another) of these pages → whether their bodies differ and how alike they are, as stored changes tell, with the
    judgement of the one that led there; of the way back only what is the same both ways."""
    select = (
        f"SELECT x.revision_id, y.revision_id, c.body_changed, c.body_similarity, {_CLASSIFICATION}"
        " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
        " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id WHERE c.body_similarity IS NOT NULL"
    )
    comparisons: dict[tuple[int, int], tuple[bool, float, ClassificationRow]] = {}
    for r in database.select_by_ids(pages, select):
        comparisons[r[0], r[1]] = bool(r[2]), r[3], ClassificationRow(*r[4:])
        comparisons.setdefault((r[1], r[0]), (bool(r[2]), r[3], ClassificationRow()))
    return comparisons


def classifications(database: Database, sightings: Iterable[int]) -> dict[int, tuple[bool, bool, float | None, ClassificationRow]]:
    """Later sighting of a stored change → whether its title and its body changed, how similar the bodies are, and its judgement."""
    select = (
        f"SELECT c.sighting_id, c.title_changed, c.body_changed, c.body_similarity, {_CLASSIFICATION}"
        " FROM wanted w CROSS JOIN changes c ON c.sighting_id = w.id"
    )
    return {r[0]: (bool(r[1]), bool(r[2]), r[3], ClassificationRow(*r[4:])) for r in database.select_by_ids(sightings, select)}


def of_page(database: Database, page: int) -> list[ChangeRow]:
    """The page's changes in the order of its history."""
    return [
        ChangeRow(r[0], r[1], r[2], bool(r[3]), bool(r[4]), r[5], bool(r[6]), r[7], r[8], r[9], bool(r[10]), bool(r[11]))
        for r in database.rows(
            "SELECT x.revision_id, y.revision_id, c.at, c.title_changed, c.body_changed, c.body_similarity, c.returned, c.fields,"
            " c.kind, c.severity, c.silent, c.corrected FROM changes c JOIN sightings x ON x.id = c.previous_sighting_id"
            " JOIN sightings y ON y.id = c.sighting_id"
            " JOIN revisions r ON r.id = y.revision_id WHERE c.page_id = ? ORDER BY c.at, r.digest",
            page,
        )
    ]


def keys_of_pages(database: Database, pages: Iterable[int]) -> set[tuple[int, bytes, bytes, str]]:
    """(page, digest of the state before, of that after, later crawl) of every change of these pages."""
    select = (
        "SELECT c.page_id, a.digest, b.digest, c.at FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
        " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id"
        " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
    )
    return {(r[0], r[1], r[2], r[3]) for r in database.select_by_ids(pages, select)}


def delete(transaction: Transaction, sightings: Iterable[int]) -> None:
    """Forget the changes that these sightings, the later ones, were part of."""
    transaction.execute_many("DELETE FROM changes WHERE sighting_id = ?", ((s,) for s in sightings))


def insert(transaction: Transaction, changes: Iterable[ChangeRecord]) -> None:
    """Record changes that are not stored."""
    transaction.execute_many(
        "INSERT INTO changes (sighting_id, previous_sighting_id, page_id, at, title_changed, body_changed, body_similarity, returned,"
        " fields,"
        " kind, severity, parts, evidence, silent, corrected, edit_digest, page_history, classified_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (c.sighting.id, c.previous.id, page, c.sighting.crawled_at, int(title), int(body), similarity, int(c.returned),
             fields_json(c), j.kind, j.severity, j.parts, j.evidence, j.silent, j.corrected, j.edit_digest, j.page_history, j.classified_by)
            for page, c, title, body, similarity, j in changes
        ),
    )  # fmt: skip


def _runs(crawls: list[tuple[Any, ...]], max_gap: timedelta) -> Iterator[list[tuple[Any, ...]]]:
    run: list[tuple[Any, ...]] = []
    previous: datetime | None = None
    for at, page in crawls:
        crawled_at = datetime.fromisoformat(at)
        if previous is not None and crawled_at - previous > max_gap:
            yield run
            run = []
        run.append((at, page))
        previous = crawled_at
    if run:
        yield run


def fields_json(change: Change) -> str:
    """Tracked metadata that differ, as stored: name → [before, after]."""
    return json.dumps({name: [before, after] for name, before, after in change.fields}, ensure_ascii=False, sort_keys=True)
