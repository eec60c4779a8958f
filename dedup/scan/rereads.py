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
from dedup.scan.events import Met, Policy, change_key, changed, mismatch_key, mismatched, told_of
from dedup.scan.extract import Examined
from dedup.scan.judgements import Settled
from dedup.scan.page_history import settle_pages, settle_sightings
from dedup.store import Transaction, outbox
from dedup.store.files import Path
from dedup.store.rows import FileRow


def is_reread(row: FileRow, e: Examined) -> bool:
    """Whether a file has the bytes that are recorded of it, and only their interpretation may differ. One that could not be read as an
    article and now can be is news."""
    if row.stale is not None and row.stale == row.content == e.content:
        return row.is_article or e.article is None
    too_large = any(f.kind == "too_large" for f in e.faults)
    return too_large and row.is_article and not row.gone and row.stat == e.found.stat


def is_put_off(row: FileRow, e: Examined) -> bool:
    """Whether a file that is to be read again may not be read now: what is recorded of it stays, and it stays in the queue."""
    return row.stale is not None and not row.gone and any(f.kind == "unreadable" for f in e.faults)


@dataclass(slots=True)
class Rereads:
    """What a batch reads again: `replaced` are the earlier readings, `pages` those that they are of."""

    transaction: Transaction
    policy: Policy
    files: set[int] = field(default_factory=set)
    replaced: dict[int, tuple[int, int]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    _changes: set[tuple[int, bytes, bytes, str]] = field(default_factory=set)
    _mismatches: set[tuple[int, bytes, str]] = field(default_factory=set)
    _urls: dict[int, str] = field(default_factory=dict)

    @property
    def pages(self) -> set[int]:
        """Pages of which a crawl is read again."""
        return {page for _, page in self.replaced.values()}

    def copies(self, contents: Iterable[bytes]) -> dict[bytes, list[tuple[int, Path]]]:
        """Content → other files that are queued with the same bytes: at other paths, some of which may be gone. What the bytes say now
        holds for them too."""
        if not store.rereads.any_queued(self.transaction):
            return {}
        found = store.rereads.queued_by_content(self.transaction, set(contents))
        return {
            content: others for content, of_content in found.items() if (others := [(f, p) for f, p in of_content if f not in self.files])
        }

    def begin(self, articles: Mapping[int, int | None], faults: Mapping[int, int | None]) -> None:
        """File → the reading that is replaced by another article, or by a fault. Takes note of what was known of their pages."""
        transaction = self.transaction
        readings = [r for r in (*articles.values(), *faults.values()) if r is not None]
        self.replaced = store.readings.sightings(transaction, readings)
        self.dropped = {r for r in faults.values() if r is not None}
        if self.policy.alerting.rules:
            self._changes, self._mismatches = (
                store.changes.keys_of_pages(transaction, self.pages),
                store.sightings.mismatches_of_pages(transaction, self.pages),
            )
        self._urls = store.pages.urls(transaction, self.pages)
        if self.files:
            store.rereads.unqueue(transaction, self.files)

    def drop(self) -> list[Settled]:
        """Forget the readings of files that are faults now; returns the changes that follow."""
        if not self.dropped:
            return []
        store.readings.delete(self.transaction, self.dropped)
        settle_sightings(self.transaction, {self.replaced[r][0] for r in self.dropped if r in self.replaced})
        return settle_pages(self.transaction, sorted({self.replaced[r][1] for r in self.dropped if r in self.replaced}), self.policy.rules)

    def is_news(self, settled: Settled, arrived: frozenset[int]) -> bool:
        """Whether a change is more than another interpretation: it leads to a sighting that arrived with this batch."""
        return settled.page not in self.pages or settled.change.sighting.id in arrived

    def finish(self, settled: Sequence[Settled], met: Sequence[Met], now: str) -> None:
        """Put the outbox right, and forget pages that nothing shows any more. `settled` are the changes that followed, `met` the
        articles that were read again."""
        transaction = self.transaction
        if not self.pages:
            return
        if self.policy.alerting.rules:
            urls = self._urls
            changes, mismatches = (
                store.changes.keys_of_pages(transaction, self.pages),
                store.sightings.mismatches_of_pages(transaction, self.pages),
            )
            over = [change_key(urls[page], a, b, at) for page, a, b, at in self._changes - changes]
            over += [mismatch_key(urls[page], state, at) for page, state, at in self._mismatches - mismatches]
            outbox.withdraw(transaction, over, now)
            events = [*self._changes_held_back(settled, changes - self._changes), *self._mismatches_held_back(met)]
            if events:
                outbox.write(transaction, events, self.policy.alerting, now)
        store.pages.delete_without_sightings(transaction, self.pages)

    def _changes_held_back(self, settled: Sequence[Settled], new: set[tuple[int, bytes, bytes, str]]) -> Iterator[Event]:
        keys = [
            (s, change_key(self._urls[s.page], s.change.previous.digest, s.change.sighting.digest, ""))
            for s in settled
            if (s.page, s.change.previous.digest, s.change.sighting.digest, s.change.sighting.crawled_at) in new
        ]
        held_back = store.alerts.withdrawn_with_prefix(self.transaction, (key for _, key in keys))
        for s, key in keys:
            event = changed(s, self._urls[s.page], backlog=True) if key in held_back else None
            if event is not None:
                yield replace(event, told=told_of(s))

    def _mismatches_held_back(self, met: Sequence[Met]) -> Iterator[Event]:
        keys = [(m, mismatch_key(m.url, m.e.state, "")) for m in met if m.mismatched]
        held_back = store.alerts.withdrawn_with_prefix(self.transaction, (key for _, key in keys))
        causes = store.sightings.mismatch_causes(self.transaction, (m.sighting for m, key in keys if key in held_back))
        for m, key in keys:
            if key in held_back and m.sighting in causes:
                yield mismatched(m, causes[m.sighting])
