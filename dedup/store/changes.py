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
from dedup.store.rows import ChangeRow, ClassificationRow, ClassifiedChange, StoredChange

_function_numbers = count()
"""For names of SQL functions: one cannot be replaced while a query that uses it is running."""


class Incident(NamedTuple):
    """One edit made to many pages, and the first and the last crawl that showed it."""

    edit_digest: bytes
    first_at: str
    last_at: str
    page_count: int


class FeedCursor(NamedTuple):
    """The position of a change in the feed, which is ordered by time (the latest first), then by URL and state."""

    at: str
    url: str
    state: bytes


class ChangeKey(NamedTuple):
    """The identity of a change without ids: its page, the digests of the states before and after, and the time of the later crawl."""

    page_id: int
    state_before: bytes
    state: bytes
    at: str


class RevisionComparison(NamedTuple):
    """Comparison of two revisions: whether their bodies differ, the similarity of the bodies, and the classification of the change."""

    body_changed: bool
    body_similarity: float
    classification: ClassificationRow


class StoredClassification(NamedTuple):
    """The comparison and classification stored with a change. `body_similarity` None: a body was pruned before it was computed."""

    title_changed: bool
    body_changed: bool
    body_similarity: float | None
    classification: ClassificationRow


class ChangeRecord(NamedTuple):
    """A change to be stored (`body_similarity` None: a body was pruned, and it cannot be computed)."""

    page_id: int
    change: Change
    title_changed: bool
    body_changed: bool
    body_similarity: float | None
    classification: ClassificationRow


_SELECT_LATEST = (
    "SELECT c.sighting_id, c.page_id, p.url, m.publisher_printed, m.oid, c.at, x.crawled_at, a.title, b.title, a.digest, b.digest, c.kind,"
    " c.severity, c.parts, c.evidence, c.silent, c.corrected, c.edit_digest, c.fields, c.body_similarity"
    " FROM {changes} CROSS JOIN pages p ON p.id = c.page_id CROSS JOIN sightings y ON y.id = c.sighting_id"
    " CROSS JOIN metadata m ON m.id = y.metadata_id CROSS JOIN revisions b ON b.id = y.revision_id"
    " CROSS JOIN sightings x ON x.id = c.previous_sighting_id CROSS JOIN revisions a ON a.id = x.revision_id"
)
"""Joins from `changes` on, in its order: a caller that reads the first few rows costs no more than those."""


_CHANGE_KEYS = (
    "SELECT c.page_id, a.digest, b.digest, c.at FROM wanted w CROSS JOIN changes c ON {condition}"
    " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id"
    " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
)


_CLASSIFICATION = "c.kind, c.severity, c.parts, c.evidence, c.silent, c.corrected, c.edit_digest, c.page_history, c.classified_by"


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
    """Yield changes, the latest first.

    `since` and `until` (exclusive) are ISO 8601 in UTC. `severities` also selects changes without a classification. `silent` selects silent
    changes only, `edit_digest` those that make one edit. The feed continues after `cursor` and ends with `end_cursor`. Changes that are
    part of `excluded_incidents` are left out. `accepts` is called with the printed publisher, the oid and the URL; a change it rejects is
    not read further.
    """
    index = "changes_edit_digest" if edit_digest is not None else "changes_page" if page is not None else "changes_at"
    where = Where()
    where.add_optional("c.at >= ?", since)
    where.add_optional("c.at < ?", until)
    where.add_optional("c.page_id = ?", page)
    where.add_optional("c.edit_digest = ?", edit_digest)
    if silent:
        where.add("c.silent = 1")
    if kinds:
        where.add(f"c.kind IN ({placeholders(kinds)})", *kinds)
    if severities:
        where.add(f"(c.severity IS NULL OR c.severity IN ({placeholders(severities)}))", *severities)
    _restrict_to_section(where, cursor, end_cursor)
    for incident in excluded_incidents:
        where.add("NOT (c.edit_digest IS ? AND c.at BETWEEN ? AND ?)", incident.edit_digest, incident.first_at, incident.last_at)
    if accepts is not None:
        where.add(_acceptance_condition(database, accepts))
    sql = f"{_SELECT_LATEST.format(changes=f'changes c INDEXED BY {index}')} WHERE {where} ORDER BY c.at DESC, p.url, b.digest"
    for row in database.connection.execute(sql, where.values):
        yield ClassifiedChange(*row)


def list_by_sightings(database: Database, sightings: Iterable[int]) -> Iterator[ClassifiedChange]:
    """Yield the changes with these later sightings. A sighting without a change is left out."""
    select = _SELECT_LATEST.format(changes="wanted w CROSS JOIN changes c ON c.sighting_id = w.id")
    for row in database.select_by_ids(sightings, select):
        yield ClassifiedChange(*row)


def _acceptance_condition(database: Database, accepts: Callable[[str, str, str], bool]) -> str:
    """Return an SQL condition that calls `accepts` for the publisher of a change and the URL of its page."""
    function_name = f"accepts_{next(_function_numbers)}"
    database.connection.create_function(function_name, 3, accepts)
    return f"{function_name}(m.publisher_printed, m.oid, p.url)"


def _restrict_to_section(where: Where, cursor: FeedCursor | None, end_cursor: FeedCursor | None) -> None:
    """Restrict the feed to the changes after `cursor`, up to `end_cursor` inclusive."""
    if cursor is not None:
        where.add("c.at <= ? AND (c.at < ? OR (p.url, b.digest) > (?, ?))", cursor.at, cursor.at, cursor.url, cursor.state)
    if end_cursor is not None:
        where.add("c.at >= ? AND (c.at > ? OR (p.url, b.digest) <= (?, ?))", end_cursor.at, end_cursor.at, end_cursor.url, end_cursor.state)


def incidents(database: Database, edit_digest: bytes, min_pages: int, max_gap_hours: float) -> list[Incident]:
    """Return the times at which one edit was made to at least `min_pages` pages, with no more than `max_gap_hours` between successive
    crawls."""
    result: list[Incident] = []
    rows = database.rows("SELECT at, page_id FROM changes WHERE edit_digest = ? ORDER BY at", edit_digest)
    if len(rows) < min_pages:
        return result
    for run in _runs(rows, timedelta(hours=max_gap_hours)):
        page_count = len({page for _, page in run})
        if page_count >= min_pages:
            (first_at, _), (last_at, _) = run[0], run[-1]
            result.append(Incident(edit_digest, first_at, last_at, page_count))
    return result


def count_unclassified(database: Database) -> int:
    """Return the number of changes without a classification: they are from before classifications existed."""
    return statistics.count(database, "changes", "classified_by IS NULL")


def count_classified(database: Database) -> int:
    """Return the number of changes that have a classification."""
    return statistics.count(database, "changes", "classified_by IS NOT NULL")


def pages_with_changes(database: Database) -> list[int]:
    """Return the pages that have several sightings or a stored change, in order: those with anything to compare."""
    return [
        r[0]
        for r in database.rows(
            "SELECT page_id FROM sightings GROUP BY page_id HAVING count(*) > 1 UNION"
            " SELECT page_id FROM changes WHERE page_id IN (SELECT id FROM pages) ORDER BY 1"
        )
    ]


def of_pages(database: Database, pages: Iterable[int]) -> dict[int, dict[int, StoredChange]]:
    """Return page → its stored changes by their later sighting."""
    select = (
        "SELECT w.id, c.sighting_id, c.previous_sighting_id, c.returned, c.fields, c.page_history, c.kind"
        " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
    )
    rows = database.group_by_ids(pages, select)
    return {
        page: {
            sighting: StoredChange(previous, bool(returned), fields, page_history, kind)
            for sighting, previous, returned, fields, page_history, kind in of_page
        }
        for page, of_page in rows.items()
    }


def states(database: Database, sightings: Iterable[int]) -> list[ChangeKey]:
    """Return the keys of the changes with these later sightings."""
    return [ChangeKey(*r) for r in database.select_by_ids(sightings, _CHANGE_KEYS.format(condition="c.sighting_id = w.id"))]


def states_around(database: Database, sightings: Iterable[int]) -> list[ChangeKey]:
    """Return the keys of the changes that lead to or from these sightings."""
    ids = list(sightings)
    select = "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.previous_sighting_id = w.id"
    return states(database, {*ids, *(later for (later,) in database.select_by_ids(ids, select))})


def without_similarity(database: Database, pages: Iterable[int]) -> set[int]:
    """Return the later sightings of those stored changes of these pages whose bodies could not be compared."""
    select = "SELECT c.sighting_id FROM wanted w CROSS JOIN changes c ON c.page_id = w.id WHERE c.body_similarity IS NULL"
    return {r[0] for r in database.select_by_ids(pages, select)}


def known_comparisons(database: Database, pages: Iterable[int]) -> dict[tuple[int, int], RevisionComparison]:
    """Return (revision, other revision) of these pages → what stored changes say of the two. For the opposite direction the classification
    is empty, as only the comparison of the bodies is symmetric."""
    select = (
        f"SELECT x.revision_id, y.revision_id, c.body_changed, c.body_similarity, {_CLASSIFICATION}"
        " FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
        " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id WHERE c.body_similarity IS NOT NULL"
    )
    comparisons: dict[tuple[int, int], RevisionComparison] = {}
    for before, after, body_changed, body_similarity, *classification in database.select_by_ids(pages, select):
        comparisons[before, after] = RevisionComparison(bool(body_changed), body_similarity, ClassificationRow(*classification))
        comparisons.setdefault((after, before), RevisionComparison(bool(body_changed), body_similarity, ClassificationRow()))
    return comparisons


def classifications(database: Database, sightings: Iterable[int]) -> dict[int, StoredClassification]:
    """Return later sighting → what is stored of its change."""
    select = (
        f"SELECT c.sighting_id, c.title_changed, c.body_changed, c.body_similarity, {_CLASSIFICATION}"
        " FROM wanted w CROSS JOIN changes c ON c.sighting_id = w.id"
    )
    return {
        sighting: StoredClassification(bool(title_changed), bool(body_changed), body_similarity, ClassificationRow(*classification))
        for sighting, title_changed, body_changed, body_similarity, *classification in database.select_by_ids(sightings, select)
    }


def of_page(database: Database, page: int) -> list[ChangeRow]:
    """Return the changes of a page in the order of its history."""
    rows = database.rows(
        "SELECT x.revision_id, y.revision_id, c.at, c.title_changed, c.body_changed, c.body_similarity, c.returned, c.fields,"
        " c.kind, c.severity, c.silent, c.corrected FROM changes c JOIN sightings x ON x.id = c.previous_sighting_id"
        " JOIN sightings y ON y.id = c.sighting_id JOIN revisions r ON r.id = y.revision_id WHERE c.page_id = ? ORDER BY c.at, r.digest",
        page,
    )
    return [
        ChangeRow(
            before, after, at, bool(title_changed), bool(body_changed), similarity, bool(returned), fields, kind, severity, bool(silent),
            bool(corrected),
        )
        for before, after, at, title_changed, body_changed, similarity, returned, fields, kind, severity, silent, corrected in rows
    ]  # fmt: skip


def keys_of_pages(database: Database, pages: Iterable[int]) -> set[ChangeKey]:
    """Return the key of every change of these pages."""
    return {ChangeKey(*r) for r in database.select_by_ids(pages, _CHANGE_KEYS.format(condition="c.page_id = w.id"))}


def delete(transaction: Transaction, sightings: Iterable[int]) -> None:
    """Delete the changes with these later sightings."""
    transaction.execute_many("DELETE FROM changes WHERE sighting_id = ?", ((s,) for s in sightings))


def insert(transaction: Transaction, changes: Iterable[ChangeRecord]) -> None:
    """Insert changes that are not stored yet."""
    transaction.execute_many(
        "INSERT INTO changes (sighting_id, previous_sighting_id, page_id, at, title_changed, body_changed, body_similarity, returned,"
        " fields, kind, severity, parts, evidence, silent, corrected, edit_digest, page_history, classified_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (c.sighting.id, c.previous.id, page, c.sighting.crawled_at, int(title), int(body), similarity, int(c.returned),
             fields_json(c), j.kind, j.severity, j.parts, j.evidence, j.silent, j.corrected, j.edit_digest, j.page_history, j.classified_by)
            for page, c, title, body, similarity, j in changes
        ),
    )  # fmt: skip


def _runs(crawls: list[tuple[Any, ...]], max_gap: timedelta) -> Iterator[list[tuple[Any, ...]]]:
    """Split (time, page), in the order of time, into runs without a gap of more than `max_gap`."""
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
    """Return the tracked metadata that differ as stored: JSON, name → [before, after]."""
    return json.dumps({name: [before, after] for name, before, after in change.fields}, ensure_ascii=False, sort_keys=True)
