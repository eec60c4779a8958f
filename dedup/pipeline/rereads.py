"""Files that are read again because a setting that interprets them changed.

The bytes are unchanged, so nothing happened: the new interpretation replaces the old one. The earlier reading is deleted, and its
sighting too if no other file supports it. No alert is raised. A pending alert that no longer holds is withdrawn. If the same change or
mismatch now has another time, its alert is sent with that time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dedup import store
from dedup.changes.classify import ClassificationRules
from dedup.pipeline.batch import FileArticle
from dedup.pipeline.classifications import PageChange
from dedup.pipeline.crawl_directories import may_have_file
from dedup.pipeline.events import Policy, RecordedArticle, change_event, change_key, change_payload, mismatch_event, mismatch_key
from dedup.pipeline.extract import Extraction
from dedup.pipeline.page_history import recompute_pages, recompute_sightings
from dedup.rules import Event
from dedup.store import Transaction, outbox
from dedup.store.changes import ChangeKey
from dedup.store.files import FilePath
from dedup.store.rows import FileRow

_MismatchKey = tuple[int, bytes, str]
"""(page, digest of the state, crawl time)."""


def is_reread(row: FileRow, extraction: Extraction) -> bool:
    """Return whether a file still has its recorded bytes, so that only their interpretation may differ. A file that had a fault and is an
    article now does not count: that is news."""
    if row.reread_digest is not None and row.reread_digest == row.content_digest == extraction.content_digest:
        return row.is_article or extraction.article is None
    too_large = any(f.kind == "too_large" for f in extraction.faults)
    return too_large and row.is_article and not row.is_gone and row.stamp == extraction.file.stamp


def is_deferred(row: FileRow, extraction: Extraction) -> bool:
    """Return whether a queued file cannot be read now: its recorded reading stays, and the file stays in the queue."""
    return row.reread_digest is not None and not row.is_gone and any(f.kind == "unreadable" for f in extraction.faults)


@dataclass(frozen=True, slots=True)
class QueuedCopies:
    """Queued files whose bytes another file of the batch has: the articles they hold, or the readings that a fault replaces."""

    articles: list[FileArticle]
    fault_readings: list[int | None]
    file_ids: set[int]


def find_copies(transaction: Transaction, extractions: Iterable[Extraction], excluded_ids: Collection[int]) -> QueuedCopies:
    """Find files that are queued with the bytes of these extractions and are no longer there to be read, but for `excluded_ids`.

    What the bytes say now holds for those files too.
    """
    copies = QueuedCopies([], [], set())
    if not store.rereads.has_queued(transaction):
        return copies
    extractions_by_content = {e.content_digest: e for e in extractions if e.content_digest is not None}
    files_by_content = store.rereads.queued_by_content(transaction, set(extractions_by_content))
    queued_files = [
        (extractions_by_content[content_digest], file_id, path)
        for content_digest, files in files_by_content.items()
        for file_id, path in files
        if file_id not in excluded_ids
    ]
    rows_by_path = store.files.find_by_path(transaction, (path for _, _, path in queued_files))
    for extraction, file_id, path in queued_files:
        row = rows_by_path[path]
        if row.content_digest != extraction.content_digest or not row.is_article or not _is_missing(row, path, extraction):
            continue  # the file has other bytes by now, or is read itself
        if extraction.article is None or extraction.url is None:
            copies.fault_readings.append(row.reading_id)
        elif not row.is_pruned:
            copies.articles.append(_to_copy(extraction, file_id, path, row))
        copies.file_ids.add(file_id)
    return copies


def _is_missing(row: FileRow, path: FilePath, extraction: Extraction) -> bool:
    directory_id, folder, name = path
    return row.is_gone or (directory_id == extraction.file.directory_id and not may_have_file(extraction.file.directory_path, folder, name))


def _to_copy(extraction: Extraction, file_id: int, path: FilePath, row: FileRow) -> FileArticle:
    directory_id, folder, name = path
    file = replace(extraction.file, directory_id=directory_id, folder=folder, name=name, stamp=row.stamp)
    assert extraction.article is not None
    assert extraction.url is not None
    return FileArticle(
        replace(extraction, file=file), extraction.article, extraction.url, file_id, row, is_unchanged=True, is_reread=True, is_copy=True
    )


@dataclass(frozen=True, slots=True)
class Rereads:
    """Readings that a batch replaces because it reads their files again, and the state of their pages before that.

    `sightings_by_reading` maps a replaced reading to (its sighting, its page). `dropped_readings` are those that a fault replaces. The
    sets of changes and mismatches are filled only if there are alert rules.
    """

    sightings_by_reading: dict[int, tuple[int, int]]
    dropped_readings: frozenset[int]
    page_ids: frozenset[int]
    urls_by_page: dict[int, str]
    changes_before: frozenset[ChangeKey] = frozenset()
    mismatches_before: frozenset[_MismatchKey] = frozenset()

    def is_news(self, page_change: PageChange, arrived_sightings: Collection[int]) -> bool:
        """Return whether a change is more than another interpretation: it leads to a sighting that arrived with this batch."""
        return page_change.page_id not in self.page_ids or page_change.change.sighting.id in arrived_sightings

    def replaced_sighting(self, reading_id: int) -> int | None:
        """Return the sighting of a reading that is replaced; None for any other reading."""
        sighting_and_page = self.sightings_by_reading.get(reading_id)
        return sighting_and_page[0] if sighting_and_page else None


def begin_rereads(
    transaction: Transaction,
    policy: Policy,
    *,
    file_ids: Collection[int],
    article_readings: Iterable[int | None],
    fault_readings: Iterable[int | None],
) -> Rereads:
    """Take files from the queue and note the state of the pages of the readings to replace, by articles or by faults."""
    dropped_readings = frozenset(r for r in fault_readings if r is not None)
    reading_ids = [*(r for r in article_readings if r is not None), *dropped_readings]
    sightings_by_reading = store.readings.sightings(transaction, reading_ids)
    page_ids = frozenset(page for _, page in sightings_by_reading.values())
    changes, mismatches = _load_alertable(transaction, page_ids) if policy.alerting.rules else (frozenset(), frozenset())
    urls_by_page = store.pages.urls(transaction, page_ids)
    if file_ids:
        store.rereads.unqueue(transaction, file_ids)
    return Rereads(sightings_by_reading, dropped_readings, page_ids, urls_by_page, changes, mismatches)


def _load_alertable(transaction: Transaction, page_ids: Collection[int]) -> tuple[frozenset[ChangeKey], frozenset[_MismatchKey]]:
    return (
        frozenset(store.changes.keys_of_pages(transaction, page_ids)),
        frozenset(store.sightings.mismatches_of_pages(transaction, page_ids)),
    )


def delete_dropped_readings(transaction: Transaction, rereads: Rereads, rules: ClassificationRules) -> list[PageChange]:
    """Delete the readings of files that are faults now; returns the changes that follow."""
    if not rereads.dropped_readings:
        return []
    store.readings.delete(transaction, rereads.dropped_readings)
    affected = [rereads.sightings_by_reading[r] for r in rereads.dropped_readings if r in rereads.sightings_by_reading]
    recompute_sightings(transaction, {sighting for sighting, _ in affected})
    return recompute_pages(transaction, sorted({page for _, page in affected}), rules)


def finish_rereads(
    transaction: Transaction,
    rereads: Rereads,
    policy: Policy,
    page_changes: Sequence[PageChange],
    articles: Sequence[RecordedArticle],
    now: str,
) -> None:
    """Withdraw and re-send alerts of the reread pages, and delete pages that no sighting shows any more.

    `page_changes` are the changes that followed, `articles` the articles that were read again.
    """
    if not rereads.page_ids:
        return
    if policy.alerting.rules:
        _update_outbox(transaction, rereads, policy, page_changes, articles, now)
    store.pages.delete_without_sightings(transaction, rereads.page_ids)


def _update_outbox(
    transaction: Transaction,
    rereads: Rereads,
    policy: Policy,
    page_changes: Sequence[PageChange],
    articles: Sequence[RecordedArticle],
    now: str,
) -> None:
    urls = rereads.urls_by_page
    changes, mismatches = _load_alertable(transaction, rereads.page_ids)
    obsolete_keys = [change_key(urls[page], a, b, at) for page, a, b, at in rereads.changes_before - changes]
    obsolete_keys += [mismatch_key(urls[page], state, at) for page, state, at in rereads.mismatches_before - mismatches]
    outbox.withdraw(transaction, obsolete_keys, now)
    events = [
        *_withdrawn_change_events(transaction, urls, page_changes, changes - rereads.changes_before),
        *_withdrawn_mismatch_events(transaction, articles),
    ]
    if events:
        outbox.write(transaction, events, policy.alerting, now)


def _withdrawn_change_events(
    transaction: Transaction, urls: dict[int, str], page_changes: Sequence[PageChange], new_changes: Collection[ChangeKey]
) -> Iterator[Event]:
    """Yield the events of new changes whose alert was withdrawn under another time."""
    keys = [
        (s, change_key(urls[s.page_id], s.change.previous.digest, s.change.sighting.digest, ""))
        for s in page_changes
        if (s.page_id, s.change.previous.digest, s.change.sighting.digest, s.change.sighting.crawled_at) in new_changes
    ]
    withdrawn_keys = store.alerts.withdrawn_with_prefix(transaction, (key for _, key in keys))
    for page_change, key in keys:
        event = change_event(page_change, urls[page_change.page_id], backlog=True) if key in withdrawn_keys else None
        if event is not None:
            yield replace(event, payload=change_payload(page_change))


def _withdrawn_mismatch_events(transaction: Transaction, articles: Sequence[RecordedArticle]) -> Iterator[Event]:
    """Yield the events of mismatches whose alert was withdrawn under another time."""
    keys = [(a, mismatch_key(a.url, a.extraction.state_digest, "")) for a in articles if a.is_mismatched]
    withdrawn_keys = store.alerts.withdrawn_with_prefix(transaction, (key for _, key in keys))
    causes = store.sightings.mismatch_causes(transaction, (a.sighting_id for a, key in keys if key in withdrawn_keys))
    for article, key in keys:
        if key in withdrawn_keys and article.sighting_id in causes:
            yield mismatch_event(article, causes[article.sighting_id])
