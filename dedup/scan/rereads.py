"""Files that are read again because a setting that interprets them changed.

The bytes are the same, so nothing happened: what they say now replaces what they said before. The earlier reading goes, and its
sighting with it where no other file supports that. No alert is made of it. An alert that was not sent yet is withdrawn where it no
longer holds; where the same change or mismatch is now known at another time, it is sent with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dedup import store
from dedup.rules import Event
from dedup.scan.events import Policy, RecordedArticle, change_event, change_key, change_payload, mismatch_event, mismatch_key
from dedup.scan.extract import Extraction
from dedup.scan.judgements import PageChange
from dedup.scan.page_history import recompute_pages, recompute_sightings
from dedup.store import Transaction, outbox
from dedup.store.changes import ChangeKey
from dedup.store.files import FilePath
from dedup.store.rows import FileRow


def is_reread(row: FileRow, extraction: Extraction) -> bool:
    """Whether a file has the bytes that are recorded of it, and only their interpretation may differ. One that could not be read as an
    article and now can be is news."""
    if row.reread_digest is not None and row.reread_digest == row.content_digest == extraction.content_digest:
        return row.is_article or extraction.article is None
    too_large = any(f.kind == "too_large" for f in extraction.faults)
    return too_large and row.is_article and not row.is_gone and row.stamp == extraction.file.stamp


def is_deferred(row: FileRow, extraction: Extraction) -> bool:
    """Whether a file that is to be read again may not be read now: what is recorded of it stays, and it stays in the queue."""
    return row.reread_digest is not None and not row.is_gone and any(f.kind == "unreadable" for f in extraction.faults)


@dataclass(slots=True)
class Rereads:
    """What a batch reads again: `replaced_readings` are the earlier readings, `page_ids` those that they are of."""

    transaction: Transaction
    policy: Policy
    file_ids: set[int] = field(default_factory=set)
    replaced_readings: dict[int, tuple[int, int]] = field(default_factory=dict)
    dropped_readings: set[int] = field(default_factory=set)
    _changes_before: set[ChangeKey] = field(default_factory=set)
    _mismatches_before: set[tuple[int, bytes, str]] = field(default_factory=set)
    _urls_by_page: dict[int, str] = field(default_factory=dict)

    @property
    def page_ids(self) -> set[int]:
        """Pages of which a crawl is read again."""
        return {page for _, page in self.replaced_readings.values()}

    def find_copies(self, content_digests: Iterable[bytes]) -> dict[bytes, list[tuple[int, FilePath]]]:
        """Content → other files that are queued with the same bytes: at other paths, some of which may be gone. What the bytes say now
        holds for them too."""
        if not store.rereads.has_queued(self.transaction):
            return {}
        files_by_content = store.rereads.queued_by_content(self.transaction, set(content_digests))
        return {
            content: others
            for content, of_content in files_by_content.items()
            if (others := [(f, p) for f, p in of_content if f not in self.file_ids])
        }

    def begin(self, articles: Mapping[int, int | None], faults: Mapping[int, int | None]) -> None:
        """File → the reading that is replaced by another article, or by a fault. Takes note of what was known of their pages."""
        transaction = self.transaction
        reading_ids = [r for r in (*articles.values(), *faults.values()) if r is not None]
        self.replaced_readings = store.readings.sightings(transaction, reading_ids)
        self.dropped_readings = {r for r in faults.values() if r is not None}
        if self.policy.alerting.rules:
            self._changes_before, self._mismatches_before = (
                store.changes.keys_of_pages(transaction, self.page_ids),
                store.sightings.mismatches_of_pages(transaction, self.page_ids),
            )
        self._urls_by_page = store.pages.urls(transaction, self.page_ids)
        if self.file_ids:
            store.rereads.unqueue(transaction, self.file_ids)

    def delete_dropped_readings(self) -> list[PageChange]:
        """Forget the readings of files that are faults now; returns the changes that follow."""
        if not self.dropped_readings:
            return []
        store.readings.delete(self.transaction, self.dropped_readings)
        recompute_sightings(self.transaction, {self.replaced_readings[r][0] for r in self.dropped_readings if r in self.replaced_readings})
        return recompute_pages(
            self.transaction,
            sorted({self.replaced_readings[r][1] for r in self.dropped_readings if r in self.replaced_readings}),
            self.policy.rules,
        )

    def is_news(self, page_change: PageChange, arrived_sightings: frozenset[int]) -> bool:
        """Whether a change is more than another interpretation: it leads to a sighting that arrived with this batch."""
        return page_change.page_id not in self.page_ids or page_change.change.sighting.id in arrived_sightings

    def finish(self, page_changes: Sequence[PageChange], articles: Sequence[RecordedArticle], now: str) -> None:
        """Put the outbox right, and forget pages that nothing shows any more. `page_changes` are the changes that followed, `articles` the
        articles that were read again."""
        transaction = self.transaction
        if not self.page_ids:
            return
        if self.policy.alerting.rules:
            urls = self._urls_by_page
            changes, mismatches = (
                store.changes.keys_of_pages(transaction, self.page_ids),
                store.sightings.mismatches_of_pages(transaction, self.page_ids),
            )
            obsolete_keys = [change_key(urls[page], a, b, at) for page, a, b, at in self._changes_before - changes]
            obsolete_keys += [mismatch_key(urls[page], state, at) for page, state, at in self._mismatches_before - mismatches]
            outbox.withdraw(transaction, obsolete_keys, now)
            events = [
                *self._withdrawn_change_events(page_changes, changes - self._changes_before),
                *self._withdrawn_mismatch_events(articles),
            ]
            if events:
                outbox.write(transaction, events, self.policy.alerting, now)
        store.pages.delete_without_sightings(transaction, self.page_ids)

    def _withdrawn_change_events(self, page_changes: Sequence[PageChange], new_changes: set[ChangeKey]) -> Iterator[Event]:
        keys = [
            (s, change_key(self._urls_by_page[s.page_id], s.change.previous.digest, s.change.sighting.digest, ""))
            for s in page_changes
            if (s.page_id, s.change.previous.digest, s.change.sighting.digest, s.change.sighting.crawled_at) in new_changes
        ]
        withdrawn_keys = store.alerts.withdrawn_with_prefix(self.transaction, (key for _, key in keys))
        for s, key in keys:
            event = change_event(s, self._urls_by_page[s.page_id], backlog=True) if key in withdrawn_keys else None
            if event is not None:
                yield replace(event, payload=change_payload(s))

    def _withdrawn_mismatch_events(self, articles: Sequence[RecordedArticle]) -> Iterator[Event]:
        keys = [(m, mismatch_key(m.url, m.extraction.state_digest, "")) for m in articles if m.is_mismatched]
        withdrawn_keys = store.alerts.withdrawn_with_prefix(self.transaction, (key for _, key in keys))
        causes = store.sightings.mismatch_causes(self.transaction, (m.sighting_id for m, key in keys if key in withdrawn_keys))
        for m, key in keys:
            if key in withdrawn_keys and m.sighting_id in causes:
                yield mismatch_event(m, causes[m.sighting_id])
