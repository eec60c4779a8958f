"""Putting a long history right around the crawls that changed: the work does not grow with the number of crawls.

A change depends on the two crawls it lies between; on whether the page showed its state before; on the runs of the last
`history.MOST_RUNS` states; and on whether an article was there. So a crawl that comes, goes or changes can alter

* the change that leads to it, and the one that leads from it,
* the next changes of state, as many as look back so far,
* the change that leads to the next crawl of the same state, which is a return now or is not any more, and those after that likewise,
* what follows until an article was removed or restored, where that alters whether one was there.

These are judged again in their order, and only where something that they were judged with is different.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from dedup import store
from dedup.changes import Past, Rules
from dedup.model import Change
from dedup.scan import history
from dedup.scan.judgements import Settled, Superseded, is_as_stored, judged, sighting_of, was_removed
from dedup.store import Transaction
from dedup.store.rows import KeptSighting
from dedup.store.timeline import BEGINNING, ChangeAt, Place, Position

LOOK_BACK = history.MOST_RUNS - 1
"""Runs before one that take part in judging the change that leads to it."""


@dataclass(slots=True)
class Vicinity:
    """The changes of one page around the crawls that changed. `settled` are those that were judged, each with the change that was
    stored in its place; `superseded` are those that were replaced or are none any more."""

    transaction: Transaction
    page: int
    rules: Rules
    settled: list[tuple[Settled, ChangeAt | None]] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
    _due: list[Position] = field(default_factory=list)

    def settle(self, touched: Mapping[int, Place]) -> None:
        """Put right what depends on these sightings: they came, went, or count otherwise, or have other metadata."""
        for sighting, place in touched.items():
            counted = store.timeline.counted_at(self.transaction, self.page, place.at)
            stored = None if counted is not None and counted.id == sighting else store.timeline.change_at(self.transaction, sighting)
            if stored is not None:
                self._drop(stored)
        for place in touched.values():
            self._due += [place.at, *self._following(place.at)]
        self._due += self._returns(touched.values())
        heapq.heapify(self._due)
        last: Position | None = None
        while self._due:
            at = heapq.heappop(self._due)
            if at != last:
                self._settle_at(at)
            last = at

    def _following(self, at: Position) -> list[Position]:
        """What may be judged otherwise because of a crawl at a position, beside the change that leads to it."""
        after = store.timeline.counted_after(self.transaction, self.page, at)
        change = store.timeline.change_after(self.transaction, self.page, at)
        found = [(after.crawled_at, after.digest)] if after else []
        return [*found, *([change.at] if change else []), *store.timeline.state_changes_after(self.transaction, self.page, at, LOOK_BACK)]

    def _returns(self, touched: Collection[Place]) -> list[Position]:
        """The crawls that were the first of a state and are not any more, or are now; with what follows them."""
        earliest: dict[int, Place] = {}
        for place in touched:
            earliest[place.revision] = min(place, earliest.get(place.revision, place), key=lambda p: p.at)
        found: list[Position] = []
        own = {(p.revision, p.at[0]) for p in touched}
        for revision, place in earliest.items():
            for at in store.timeline.crawls_of_revision(self.transaction, revision):
                if at < place.at[0]:
                    break  # it was the first and is
                if (revision, at) not in own:
                    found += [
                        (at, place.at[1]),
                        *store.timeline.state_changes_after(self.transaction, self.page, (at, place.at[1]), LOOK_BACK),
                    ]
                    break
        return found

    def _settle_at(self, at: Position) -> None:
        """Put right the change that leads to the sighting at a position."""
        transaction = self.transaction
        sighting = store.timeline.counted_at(transaction, self.page, at)
        previous = store.timeline.counted_before(transaction, self.page, at) if sighting else None
        if sighting is None:
            return
        stored = store.timeline.change_at(transaction, sighting.id)
        change = self._change(previous, sighting) if previous else None
        past = self._past(change) if change else Past()
        if change is None:
            if stored is not None:
                self._drop(stored)
                self._pass_on(at)
            return
        if stored is not None and not stored.incomplete and is_as_stored(change, past, stored.stored):
            return
        bodies = store.revisions.bodies(transaction, {change.previous.revision, change.sighting.revision})
        pruned = any(state.body is None for state in bodies.values())
        found, row = judged(
            self.page, change, past, bodies, store.changes.known_comparisons(transaction, [self.page]) if pruned else {}, self.rules
        )
        if stored is not None:
            self._drop(stored)
        store.changes.insert(transaction, [row])
        self.settled.append((found, stored))
        self._pass_on(at)

    def _drop(self, stored: ChangeAt) -> None:
        self.superseded += store.changes.states(self.transaction, [stored.sighting])
        store.changes.delete(self.transaction, [stored.sighting])

    def _pass_on(self, at: Position) -> None:
        """Have what follows looked at if it is judged by whether an article was there, and that is different now."""
        after = store.timeline.change_after(self.transaction, self.page, at)
        while after is not None and after.stored.past is None:  # never judged
            after = store.timeline.change_after(self.transaction, self.page, after.at)
        if after is not None and was_removed(after.stored) != store.timeline.is_removed_before(self.transaction, self.page, after.at):
            heapq.heappush(self._due, after.at)

    def _change(self, previous: KeptSighting, sighting: KeptSighting) -> Change | None:
        found = history.changes([sighting_of(previous), sighting_of(sighting)])
        if not found:
            return None
        first = next(store.timeline.crawls_of_revision(self.transaction, sighting.revision_id), sighting.crawled_at)
        return replace(found[0], returned=found[0].state_changed and first < sighting.crawled_at)

    def _past(self, change: Change) -> Past:
        at = (change.sighting.crawled_at, change.sighting.digest)
        removed = store.timeline.is_removed_before(self.transaction, self.page, at)
        if not change.state_changed or not change.returned:
            return Past(was_removed=removed)
        before = store.timeline.run_starts_before(self.transaction, self.page, at, LOOK_BACK)
        returned = [True] + [start.returned for start in before]
        positions = [at] + [start.at for start in before]
        if len(before) < LOOK_BACK:
            first = store.timeline.counted_after(self.transaction, self.page, BEGINNING)
            assert first is not None
            returned.append(False)
            positions.append((first.crawled_at, first.digest))
        return replace(history.past(returned[::-1], positions[::-1]), was_removed=removed)
